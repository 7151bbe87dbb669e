// SPDX-License-Identifier: Apache-2.0
#include "properties.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace backplane::mqtt {
namespace {

mosquitto_message received(const char* topic, std::string_view payload, int qos = 1,
                           bool retain = false) {
  mosquitto_message message{};
  message.mid = 7;
  message.topic = const_cast<char*>(topic);
  message.payload = const_cast<char*>(payload.data());
  message.payloadlen = static_cast<int>(payload.size());
  message.qos = qos;
  message.retain = retain;
  return message;
}

/// What is published, as if it had been received.
Inbound round_trip(MessageView message, const Exchange& exchange = {}) {
  const Payload payload(message.body());
  const PropertyList properties = publish_properties(message, payload, exchange);
  const mosquitto_message raw =
      received("a/b", {static_cast<const char*>(payload.data()), payload.size()});
  return make_inbound(raw, properties.get());
}

TEST(Properties, CarryTheHeadersThatMqttHasThereAndBack) {
  MessageBuilder message("21.5");
  const std::string correlation("\0\1x", 3);
  message.header(BP_H_CONTENT_TYPE, "application/json")
      .header(BP_H_EXPIRY_NS, std::chrono::nanoseconds(std::chrono::milliseconds(1500)))
      .header(BP_H_REPLY_TO, "answers/7")
      .header(BP_H_CORRELATION, ValueView::bytes(correlation.data(), correlation.size()))
      .header("unit", "Cel")
      .header("line", 3);

  const Inbound inbound = round_trip(message);
  const MessageView out = inbound.message;

  EXPECT_EQ(out.header<std::string>(BP_H_CONTENT_TYPE), "application/json");
  EXPECT_EQ(out.header<std::chrono::nanoseconds>(BP_H_EXPIRY_NS), std::chrono::seconds(2))
      << "rounded up to whole seconds";
  EXPECT_EQ(out.header<std::string>(BP_H_REPLY_TO), "answers/7");
  const auto bytes = out.header(BP_H_CORRELATION)->payload().value();
  EXPECT_EQ(std::memcmp(bytes.data(), correlation.data(), 3), 0);
  EXPECT_EQ(out.header<std::string>("unit"), "Cel");
  EXPECT_EQ(out.header<std::string>("line"), "3");
  EXPECT_EQ(out.body(), ValueView::encoded(std::as_bytes(std::span("21.5", 4)), BP_FORMAT_JSON));
}

TEST(Properties, KeepRepeatedUserPropertiesInTheirOrder) {
  MessageBuilder message("x");
  message.header("a", "1").header("b", "2").header("a", "3");

  const Inbound inbound = round_trip(message);

  std::string seen;
  for (const bp_pair& header : MessageView(inbound.message).headers()) {
    if (header.key.tag == BP_T_STRING) {
      seen += *ValueView(header.key).get<std::string>() + *ValueView(header.val).get<std::string>();
    }
  }
  EXPECT_EQ(seen, "a1b2a3");
}

TEST(Properties, OfAnExchangeReplaceThoseOfTheMessage) {
  MessageBuilder message("x");
  message.header(BP_H_REPLY_TO, "mine").header(BP_H_CORRELATION, ValueView::bytes("m", 1));

  const Inbound inbound = round_trip(message, {"ours", std::as_bytes(std::span("o", 1))});

  EXPECT_EQ(MessageView(inbound.message).header<std::string>(BP_H_REPLY_TO), "ours");
  EXPECT_EQ(std::to_integer<char>(
                MessageView(inbound.message).header(BP_H_CORRELATION)->payload()->front()),
            'o');
}

TEST(Properties, DoNotCarryHeadersThatArePrivateToTheProcess) {
  MessageBuilder message("x");
  message.header(BP_H_PEER_USER, "root").header(BP_H_HOPS, 3).header(BP_H_QOS, 1);
  const Payload payload{ValueView("x")};

  const PropertyList properties = publish_properties(message, payload);

  int count = 0;
  for (const auto* at = properties.get(); at != nullptr; at = mosquitto_property_next(at)) {
    ++count;
  }
  EXPECT_EQ(count, 1) << "the content type alone";
}

TEST(Properties, RefuseTextThatTheyCannotHold) {
  MessageBuilder message("x");
  message.header("a", std::string_view("b\0c", 3));
  const Payload payload{ValueView("x")};
  EXPECT_THROW(static_cast<void>(publish_properties(message, payload)), Error);
}

TEST(Properties, CountWhatMqtt311Loses) {
  MessageBuilder message("x");
  message.header("a", "b")
      .header(BP_H_CONTENT_TYPE, "text/plain")
      .header(BP_H_QOS, 1)
      .header(BP_H_RETAIN, true);
  EXPECT_EQ(headers_lost_without_properties(message), 2u);
}

TEST(InboundMessage, TellsTopicQualityOfServiceAndWhetherItWasRetained) {
  const mosquitto_message raw = received("plant/line1", "1", 2, true);

  const Inbound inbound = make_inbound(raw, nullptr);

  EXPECT_EQ(inbound.topic, "plant/line1");
  EXPECT_EQ(inbound.packet_id, 7);
  const MessageView view = inbound.message;
  EXPECT_EQ(view.header<std::string>(BP_H_PATH), "plant/line1");
  EXPECT_EQ(view.header<uint32_t>(BP_H_QOS), 2u);
  EXPECT_EQ(view.header<bool>(BP_H_RETAIN), true);
  EXPECT_TRUE(view.is_initial());
  EXPECT_TRUE(view.time().has_value());
}

TEST(InboundMessage, ListsTheSubscriptionsThatItBelongsTo) {
  PropertyList properties;
  properties.varint(11, 5).varint(11, 268435455);  // subscription identifier
  const mosquitto_message raw = received("a", "");

  const Inbound inbound = make_inbound(raw, properties.get());

  EXPECT_EQ(inbound.subscriptions, (std::vector<uint32_t>{5, 268435455}));
  EXPECT_EQ(inbound.message.body().len, 0u);
}

}  // namespace
}  // namespace backplane::mqtt
