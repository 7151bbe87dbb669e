// SPDX-License-Identifier: Apache-2.0
#include "resource.hpp"

#include "message.hpp"
#include "support/fake_host.hpp"
#include "support/watch_probe.hpp"
#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

using backplane::test::FakeHost;

class CoapResource : public testing::Test {
 protected:
  Resource& make(ValueType type = ValueType::kAny) {
    ResourceOptions options;
    options.target = parse_target("/line1/temperature");
    options.title = "Line 1";
    options.type = type;
    return *(resource_ = std::make_unique<Resource>(host_, std::move(options)));
  }
  Status put(std::string_view payload, std::initializer_list<TestOption> options = {}) {
    const Pdu pdu = make_pdu(COAP_REQUEST_CODE_PUT, options, payload);
    return resource_->put(payload_of(pdu.get()), pdu.get(),
                          [this](const Status& status) { settled_ = status; });
  }
  FakeHost fake_;
  Host host_{fake_.raw()};
  std::unique_ptr<Resource> resource_;
  std::optional<Status> settled_;
};

TEST_F(CoapResource, HasWhatWasPutAsItsResourcesContentType) {
  Resource& resource = make();
  ASSERT_TRUE(put("42.5").is_ok());
  EXPECT_EQ(text(resource.payload()), "42.5");
  EXPECT_EQ(resource.format(), kJson);
  EXPECT_EQ(resource.value().body().tag, BP_T_ENCODED);
  EXPECT_EQ(resource.value().header<std::string>(BP_H_CONTENT_TYPE), "application/json");
  EXPECT_EQ(settled_->code(), BP_UNAVAILABLE) << "nobody watches";
  ASSERT_TRUE(put("text", {{COAP_OPTION_CONTENT_FORMAT, ""}}).is_ok());
  EXPECT_EQ(resource.format(), kTextPlain);
  EXPECT_EQ(resource.value().body().tag, BP_T_STRING);
}

TEST_F(CoapResource, TakesGarbageVerbatimWhenItHasNoType) {
  Resource& resource = make();
  ASSERT_TRUE(put("{no json").is_ok());
  EXPECT_EQ(text(resource.payload()), "{no json");
}

TEST_F(CoapResource, KeepsItsValueWhenAPayloadIsNotOfItsType) {
  Resource& resource = make(ValueType::kNumber);
  ASSERT_TRUE(put("1.5").is_ok());
  settled_.reset();
  EXPECT_EQ(put("high").code(), BP_INVALID_ARGUMENT);
  EXPECT_FALSE(settled_);
  EXPECT_EQ(resource.value().body().get<double>(), 1.5);
  EXPECT_EQ(text(resource.payload()), "1.5");
}

TEST_F(CoapResource, EncodesAnOwnWrite) {
  Resource& resource = make();
  ASSERT_TRUE(resource.write(MessageBuilder(20.25).view()).is_ok());
  EXPECT_EQ(text(resource.payload()), "20.25");
  EXPECT_EQ(resource.format(), kJson);
  EXPECT_EQ(resource.value().body().get<double>(), 20.25);
  StackArena<> arena;
  const ValueView list = arena.list({1, 2});
  ASSERT_TRUE(resource.write(MessageBuilder(list).view()).is_ok());
  EXPECT_EQ(text(resource.payload()), "[1,2]");
  const std::string etag = text(resource.etag());
  EXPECT_THROW(static_cast<void>(resource.write(MessageBuilder(ValueView::reference(1)).view())),
               Error);
  EXPECT_EQ(text(resource.payload()), "[1,2]") << "a write that fails changes nothing";
  EXPECT_EQ(text(resource.etag()), etag);
}

TEST_F(CoapResource, NamesEachValueByAnotherETag) {
  Resource& resource = make();
  const std::string before = text(resource.etag());
  ASSERT_TRUE(put("1").is_ok());
  const std::string after = text(resource.etag());
  EXPECT_NE(before, after);
  EXPECT_EQ(after.size(), 8u);
  make();
  EXPECT_NE(text(resource_->etag()), before) << "nor the same after a restart";
}

TEST_F(CoapResource, SaysHowLongAValueIsFresh) {
  Resource& resource = make();
  EXPECT_EQ(resource.max_age(), std::nullopt);
  MessageBuilder message(1);
  message.header(BP_H_EXPIRY_NS, int64_t{10'000'000'000});
  ASSERT_TRUE(resource.write(message.view()).is_ok());
  EXPECT_GE(resource.max_age().value_or(0), 8u);
  EXPECT_LE(resource.max_age().value_or(99), 10u);
}

TEST_F(CoapResource, DescribesItself) {
  Resource& resource = make();
  EXPECT_EQ(resource.link(), (Link{"/line1/temperature", "Line 1", "", "", "50", {}, true}));
  ASSERT_TRUE(put("42.5", {{COAP_OPTION_CONTENT_FORMAT, "\x3c"}}).is_ok());
  EXPECT_EQ(resource.link().ct, "60");
  EXPECT_EQ(resource.link().sz, 4u);
}

}  // namespace
}  // namespace backplane::coap::test
