// SPDX-License-Identifier: Apache-2.0
#include "outbound.hpp"

#include <gtest/gtest.h>

namespace backplane::route {
namespace {

/// What a destination would see.
class Composed {
 public:
  explicit Composed(const HeaderSources& sources) {
    compose_headers(sources, headers_);
    message_.headers = headers_.data();
    message_.n_headers = static_cast<uint32_t>(headers_.size());
  }
  MessageView view() const { return message_; }

 private:
  std::vector<bp_pair> headers_;
  bp_message message_{};
};

TEST(OutboundHeaders, CarryWhatMeansSomethingElsewhere) {
  MessageBuilder from;
  from.header("unit", "Cel").header(BP_H_CORRELATION, "c").header(BP_H_TRACEPARENT, "00-1-2-00");
  from.header(BP_H_SERVER_TIME, Time(std::chrono::seconds(1))).header(1000, "of a newer version");
  const Composed sut({.from = from, .hops = 1});
  EXPECT_EQ(sut.view().header<std::string>("unit"), "Cel");
  EXPECT_TRUE(sut.view().header(BP_H_CORRELATION));
  EXPECT_TRUE(sut.view().header(BP_H_TRACEPARENT));
  EXPECT_TRUE(sut.view().header(BP_H_SERVER_TIME));
  EXPECT_TRUE(sut.view().header(1000));
}

TEST(OutboundHeaders, LeaveOutWhatBelongsToTheSourcesExchange) {
  MessageBuilder from;
  const uint32_t kIds[] = {BP_H_PATH,      BP_H_STATUS,    BP_H_METHOD,  BP_H_REPLY_TO,
                           BP_H_PEER_USER, BP_H_PEER_UID,  BP_H_QOS,     BP_H_PEER_CERTIFICATE,
                           BP_H_RETAIN,    BP_H_ETAG,      BP_H_OPTIONS, BP_H_PEER_ADDRESS,
                           BP_H_TRAILERS,  BP_H_EXPIRY_NS, BP_H_CREATE};
  for (const uint32_t id : kIds) from.header(id, 1);
  const Composed sut({.from = from, .hops = 1});
  for (const uint32_t id : kIds) EXPECT_FALSE(sut.view().header(id)) << id;
}

TEST(OutboundHeaders, CountOneHopAndNotTwice) {
  MessageBuilder from;
  from.header(BP_H_HOPS, 4u);
  const Composed sut({.from = from, .hops = 5});
  EXPECT_EQ(sut.view().header<int>(BP_H_HOPS), 5);
  EXPECT_EQ(sut.view().headers().size(), 1u);
}

TEST(OutboundHeaders, KeepTheContentTypeOnlyWhileTheBodyIsWhatCame) {
  MessageBuilder from;
  from.header(BP_H_CONTENT_TYPE, "application/json").header(BP_H_NATIVE_TYPE, "x");
  const Composed same({.from = from, .keeps_body = true, .hops = 1});
  EXPECT_EQ(same.view().header<std::string>(BP_H_CONTENT_TYPE), "application/json");
  EXPECT_TRUE(same.view().header(BP_H_NATIVE_TYPE));
  const Composed other({.from = from, .keeps_body = false, .hops = 1});
  EXPECT_FALSE(other.view().header(BP_H_CONTENT_TYPE));
  EXPECT_FALSE(other.view().header(BP_H_NATIVE_TYPE));
  const Composed made(
      {.from = from, .keeps_body = false, .content_type = "application/cbor", .hops = 1});
  EXPECT_EQ(made.view().header<std::string>(BP_H_CONTENT_TYPE), "application/cbor");
}

TEST(OutboundHeaders, OfTheConfigurationReplaceCarriedAndMadeOnes) {
  MessageBuilder from;
  from.header("unit", "Cel").header(BP_H_CONTENT_TYPE, "application/json").header(BP_H_QOS, 0u);
  MessageBuilder configured;
  configured.header("unit", "K").header(BP_H_CONTENT_TYPE, "text/plain").header(BP_H_QOS, 1u);
  const Composed sut({.from = from,
                      .configured = configured,
                      .keeps_body = false,
                      .content_type = "application/json",
                      .hops = 1});
  EXPECT_EQ(sut.view().header<std::string>("unit"), "K");
  EXPECT_EQ(sut.view().header<std::string>(BP_H_CONTENT_TYPE), "text/plain");
  EXPECT_EQ(sut.view().header<int>(BP_H_QOS), 1);
  EXPECT_EQ(sut.view().headers().size(), 4u) << "each once, and the hops";
}

TEST(OutboundHeaders, TellWhatIsLeftOfTheExpiry) {
  MessageBuilder from;
  from.header(BP_H_EXPIRY_NS, int64_t{1000});
  const Composed sut({.from = from, .expiry_ns = 400, .hops = 1});
  EXPECT_EQ(sut.view().header<int64_t>(BP_H_EXPIRY_NS), 400);
}

}  // namespace
}  // namespace backplane::route
