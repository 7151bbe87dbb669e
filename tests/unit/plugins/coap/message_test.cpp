// SPDX-License-Identifier: Apache-2.0
#include "message.hpp"

#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

TEST(CoapMessage, CarriesHeadersAsOptionsAndBack) {
  const Pdu pdu = make_pdu(COAP_REQUEST_CODE_POST, {});
  const std::byte etag[] = {std::byte{1}, std::byte{2}};
  MessageBuilder in;
  in.header(BP_H_ETAG, std::span<const std::byte>(etag))
      .header("accept", "application/cbor")
      .header("if-none-match", true)
      .header("uri-query", "a=1")
      .header("hop-limit", 3u)
      .header("2048", "opaque")
      .header("user property", "of MQTT")
      .header(BP_H_HOPS, 2u);
  EXPECT_TRUE(has_header_options(in));
  add_header_options(pdu.get(), in);

  MessageBuilder out;
  add_option_headers(out, pdu.get(), kJson);
  const MessageView view(out);
  EXPECT_EQ(view.header<std::string>(BP_H_CONTENT_TYPE), "application/json");
  EXPECT_EQ(view.header(BP_H_ETAG)->len, 2u);
  EXPECT_EQ(view.header<std::string>("accept"), "application/cbor");
  EXPECT_EQ(view.header<bool>("if-none-match"), true);
  EXPECT_EQ(view.header<std::string>("uri-query"), "a=1");
  EXPECT_EQ(view.header<uint32_t>("hop-limit"), 3u);
  EXPECT_EQ(view.header("2048")->tag, BP_T_BYTES);
  EXPECT_FALSE(view.header("user property"));
  EXPECT_FALSE(view.header(BP_H_HOPS));
}

TEST(CoapMessage, TakesANumberFromText) {  // of a route's headers, the command's, MQTT's
  const Pdu pdu = make_pdu(COAP_REQUEST_CODE_POST, {});
  MessageBuilder in;
  in.header("hop-limit", "16");
  add_header_options(pdu.get(), in);
  EXPECT_EQ(option_uint(pdu.get(), COAP_OPTION_HOP_LIMIT), 16u);
}

TEST(CoapMessage, LetsNoPeerSetAHeaderOfTheKernel) {
  // Every header of a peer's has a text as its key, but for the few that the plugin makes itself.
  const Pdu pdu = make_pdu(COAP_REQUEST_CODE_POST, {{11, "x"}, {2048, "1"}, {2050, "2"}});
  MessageBuilder out;
  add_option_headers(out, pdu.get(), kNoFormat);
  for (const bp_pair& header : MessageView(out).headers()) {
    EXPECT_EQ(header.key.tag, BP_T_STRING);
  }
}

TEST(CoapMessage, RefusesValuesThatDoNotFitTheirOption) {
  const auto refused = [](ValueView key, ValueView value) {
    const Pdu pdu = make_pdu(COAP_REQUEST_CODE_POST, {});
    MessageBuilder in;
    in.headers({Pair(key, value)});
    try {
      add_header_options(pdu.get(), in);
    } catch (const Error& error) {
      return error.status().code();
    }
    return BP_OK;
  };
  EXPECT_EQ(refused("accept", "no/type"), BP_INVALID_ARGUMENT);
  EXPECT_EQ(refused("if-match", 2.5), BP_INVALID_ARGUMENT);
  EXPECT_EQ(refused("hop-limit", 1.5), BP_INVALID_ARGUMENT);
  EXPECT_EQ(refused("hop-limit", "16 hops"), BP_INVALID_ARGUMENT);
  EXPECT_EQ(refused("hop-limit", ""), BP_INVALID_ARGUMENT);
  EXPECT_EQ(refused("uri-query", std::string(5000, 'x').c_str()), BP_INVALID_ARGUMENT);
  EXPECT_EQ(refused("accept", 50u), BP_OK);
}

TEST(CoapMessage, DescribesAnAnswer) {
  const Pdu pdu =
      make_pdu(COAP_RESPONSE_CODE_CONTENT,
               {{COAP_OPTION_CONTENT_FORMAT, "\x32"}, {COAP_OPTION_MAXAGE, "\x05"}}, "42.5");
  MessageBuilder out;
  fill_message(out, pdu.get(), payload_of(pdu.get()));
  const MessageView view(out);
  EXPECT_EQ(view.body().tag, BP_T_ENCODED);
  EXPECT_EQ(view.header<uint32_t>(BP_H_STATUS), 205u);
  EXPECT_EQ(view.header<int64_t>(BP_H_EXPIRY_NS), 5'000'000'000);
  const Pdu empty = make_pdu(COAP_RESPONSE_CODE_CHANGED, {});
  MessageBuilder nothing;
  fill_message(nothing, empty.get(), Bytes());
  EXPECT_TRUE(MessageView(nothing).body().is_null());
}

TEST(CoapMessage, MapsQualityOfServiceToTypes) {
  const auto type = [](ValueView qos) {
    MessageBuilder in;
    in.header(BP_H_QOS, qos);
    return type_of(in);
  };
  EXPECT_EQ(type_of(MessageView()), COAP_MESSAGE_CON);
  EXPECT_EQ(type(0u), COAP_MESSAGE_NON);
  EXPECT_EQ(type(1u), COAP_MESSAGE_CON);
  EXPECT_THROW(type(2u), Error);
}

TEST(CoapMessage, NamesMethods) {
  for (const char* name : {"GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "iPATCH"}) {
    EXPECT_EQ(method_name(method_of(name)), name);
  }
  EXPECT_EQ(method_of("JUMP"), COAP_EMPTY_CODE);
}

TEST(CoapMessage, RoundsAgesToSecondsThatAnOptionHolds) {
  EXPECT_EQ(max_age_of(1'999'999'999), 1u);
  EXPECT_EQ(max_age_of(-5), 0u);
  EXPECT_EQ(max_age_of(INT64_MAX), UINT32_MAX);
}

}  // namespace
}  // namespace backplane::coap::test
