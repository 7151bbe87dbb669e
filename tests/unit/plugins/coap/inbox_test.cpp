// SPDX-License-Identifier: Apache-2.0
#include "inbox.hpp"

#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

Pdu block(uint32_t number, bool more, std::string_view payload, std::string_view tag = {}) {
  Pdu pdu = make_pdu(COAP_REQUEST_CODE_PUT, {{COAP_OPTION_URI_PATH, "a"}});
  EXPECT_TRUE(add_uint_option(pdu.get(), COAP_OPTION_BLOCK1, block_value(number, more, 0)));
  if (!tag.empty()) {
    EXPECT_TRUE(add_option(pdu.get(), COAP_OPTION_RTAG, tag));
  }
  coap_add_data(pdu.get(), payload.size(), bytes(payload).data());
  return pdu;
}

class CoapInbox : public testing::Test {
 protected:
  coap_pdu_code_t take(const Pdu& pdu, int peer = 0) {
    out_ = Incoming();
    evicted_ += inbox_.take(pdu.get(), key(pdu, peer), out_);
    return out_.code;
  }
  static std::string key(const Pdu& pdu, int peer) {
    return body_key(reinterpret_cast<const coap_session_t*>(&kPeers[peer]), pdu.get());
  }
  static constexpr char kPeers[4] = {};
  Inbox inbox_{64, 2};
  Incoming out_;
  size_t evicted_ = 0;
};

TEST_F(CoapInbox, TakesABodyOfOneDatagramAsItIs) {
  const Pdu pdu = make_pdu(COAP_REQUEST_CODE_PUT, {}, "42.5");
  EXPECT_EQ(take(pdu), COAP_EMPTY_CODE);
  EXPECT_EQ(text(out_.bytes), "42.5");
  EXPECT_TRUE(out_.storage.empty());
  EXPECT_FALSE(out_.block1);
}

TEST_F(CoapInbox, AsksForTheNextBlockUntilTheLast) {
  const std::string first(16, 'a');
  EXPECT_EQ(take(block(0, true, first)), COAP_RESPONSE_CODE_CONTINUE);
  EXPECT_EQ(out_.block1, block_value(0, true, 0));
  EXPECT_EQ(take(block(1, false, "b")), COAP_EMPTY_CODE);
  EXPECT_EQ(text(out_.bytes), first + "b");
  EXPECT_EQ(out_.block1, block_value(1, false, 0));
  EXPECT_EQ(inbox_.size(), 0u);
}

TEST_F(CoapInbox, RefusesWhatIsTooLong) {
  EXPECT_EQ(take(make_pdu(COAP_REQUEST_CODE_PUT, {}, std::string(65, 'a'))),
            COAP_RESPONSE_CODE_REQUEST_TOO_LARGE);
  EXPECT_EQ(out_.size1, 64u);
  const std::string part(16, 'a');
  for (uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(take(block(i, true, part)), COAP_RESPONSE_CODE_CONTINUE);
  }
  EXPECT_EQ(take(block(4, false, "b")), COAP_RESPONSE_CODE_REQUEST_TOO_LARGE);
  EXPECT_EQ(inbox_.size(), 0u);
}

TEST_F(CoapInbox, KeepsBodiesApartByPeerPathAndTag) {
  const std::string part(16, 'a');
  EXPECT_EQ(take(block(0, true, part, "x"), 0), COAP_RESPONSE_CODE_CONTINUE);
  EXPECT_EQ(take(block(1, false, "b", "y"), 0), COAP_RESPONSE_CODE_INCOMPLETE);
  EXPECT_EQ(take(block(1, false, "b", "x"), 1), COAP_RESPONSE_CODE_INCOMPLETE);
  EXPECT_EQ(take(block(1, false, "b", "x"), 0), COAP_EMPTY_CODE);
}

TEST_F(CoapInbox, DropsTheOldestOfTooManyBodies) {
  const std::string part(16, 'a');
  for (int peer = 0; peer < 3; ++peer) {
    EXPECT_EQ(take(block(0, true, part), peer), COAP_RESPONSE_CODE_CONTINUE);
  }
  EXPECT_EQ(evicted_, 1u);
  EXPECT_EQ(take(block(1, false, "b"), 0), COAP_RESPONSE_CODE_INCOMPLETE);
  EXPECT_EQ(take(block(1, false, "b"), 2), COAP_EMPTY_CODE);
}

TEST_F(CoapInbox, ForgetsAPeer) {
  EXPECT_EQ(take(block(0, true, std::string(16, 'a')), 1), COAP_RESPONSE_CODE_CONTINUE);
  inbox_.forget(reinterpret_cast<const coap_session_t*>(&kPeers[0]));
  EXPECT_EQ(inbox_.size(), 1u);
  inbox_.forget(reinterpret_cast<const coap_session_t*>(&kPeers[1]));
  EXPECT_EQ(inbox_.size(), 0u);
}

}  // namespace
}  // namespace backplane::coap::test
