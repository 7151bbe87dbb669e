// SPDX-License-Identifier: Apache-2.0
#include "plugins/formats/codec.hpp"

#include "values.hpp"
#include <backplane/sdk/boundary.hpp>

#include <gmock/gmock.h>

namespace backplane::formats {
namespace {

using test::bytes, test::encoded;
using testing::HasSubstr;

/// A CALL that completes inline, as the kernel would make it.
class Call {
 public:
  explicit Call(ValueView body) {
    in_.body = body;
    op_.struct_size = sizeof op_;
    op_.verb = BP_V_CALL;
    op_.in = &in_;
    op_.error = &error_;
  }
  ~Call() { Buffer::adopt(op_.out.owner); }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  template <class Codec>
  Status run(Codec codec) {
    return Status(boundary(&error_, [&] { return codec.call(Op(&op_)); }));
  }
  MessageView out() const { return op_.out; }
  std::string message() const { return {error_.message, error_.message_len}; }

 private:
  bp_message in_ = {{}, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0};
  bp_error error_{};
  bp_op op_{};
};

const Format& format(std::string_view name) { return *find_format(name).value(); }

TEST(Codec, DecodesBytesStringsAndEncodedValues) {
  for (const ValueView body : {bytes("[1]"), ValueView("[1]"), encoded(BP_FORMAT_JSON, "[1]")}) {
    Call call(body);
    ASSERT_TRUE(call.run(Decoder(format("json"), {})).is_ok()) << call.message();
    EXPECT_EQ(call.out().body().at(0), ValueView(int64_t{1}));
    EXPECT_NE(call.out().raw().owner, nullptr);
  }
}

TEST(Codec, RefusesABodyInAnotherFormat) {
  Call call(encoded(BP_FORMAT_CBOR, "\x01"));
  EXPECT_EQ(call.run(Decoder(format("json"), {})).code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(call.message(), HasSubstr("application/cbor"));
}

TEST(Codec, RefusesToDecodeWhatIsNoPayload) {
  Call call(7);
  EXPECT_EQ(call.run(Decoder(format("cbor"), {})).code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(call.message(), HasSubstr("got int"));
}

TEST(Codec, EncodesWithTheContentTypeAsHeader) {
  const struct {
    std::string_view name;
    std::string_view type;
    uint16_t id;
    std::string_view payload;
  } rows[] = {{"json", "application/json", BP_FORMAT_JSON, "42"},
              {"cbor", "application/cbor", BP_FORMAT_CBOR, "\x18\x2a"}};
  for (const auto& row : rows) {
    Call call(42);
    ASSERT_TRUE(call.run(Encoder(format(row.name))).is_ok());
    EXPECT_EQ(call.out().body(), encoded(row.id, row.payload));
    EXPECT_EQ(call.out().header<std::string_view>(BP_H_CONTENT_TYPE), row.type);
  }
}

TEST(Codec, ReportsWhatCannotBeEncoded) {
  Call call(ValueView::reference(1));
  EXPECT_EQ(call.run(Encoder(format("json"))).code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(call.message(), HasSubstr("reference"));
}

TEST(Codec, HoldsTheLimitsOfItsInstance) {
  Call call(bytes("[1,2,3]"));
  EXPECT_EQ(call.run(Decoder(format("json"), {1024, 64, 3})).code(), BP_RESOURCE_EXHAUSTED);
}

TEST(Codec, NamesTheFormatsThatExist) {
  EXPECT_THAT(find_format("xml").status().to_string(), HasSubstr("json, cbor"));
}

}  // namespace
}  // namespace backplane::formats
