// SPDX-License-Identifier: Apache-2.0
#include "payload.hpp"

#include <gtest/gtest.h>

namespace backplane::mqtt {
namespace {

std::string text_of(const Payload& payload) {
  return {static_cast<const char*>(payload.data()), payload.size()};
}

TEST(Payload, IsTheContentOfTextBytesAndEncodedValuesUncopied) {
  const std::string text = "on";
  const Payload from_text{ValueView(text)};
  EXPECT_EQ(from_text.data(), text.data());
  EXPECT_EQ(from_text.content_type(), "text/plain");

  const Payload from_bytes{ValueView::bytes(text.data(), text.size())};
  EXPECT_EQ(from_bytes.data(), text.data());
  EXPECT_EQ(from_bytes.content_type(), "");

  const Payload from_json{ValueView::encoded(std::as_bytes(std::span(text)), BP_FORMAT_JSON)};
  EXPECT_EQ(from_json.data(), text.data());
  EXPECT_EQ(from_json.content_type(), "application/json");
}

TEST(Payload, WritesOtherValuesAsJson) {
  EXPECT_EQ(text_of(Payload(ValueView(42.5))), "42.5");
  EXPECT_EQ(text_of(Payload(ValueView(true))), "true");
  EXPECT_EQ(text_of(Payload(ValueView(-7))), "-7");
  StackArena arena;
  const ValueView map = arena.map({{"a", arena.list({1, 2})}});
  const Payload payload(map);
  EXPECT_EQ(text_of(payload), R"({"a":[1,2]})");
  EXPECT_EQ(payload.content_type(), "application/json");
}

TEST(Payload, OfNothingIsEmpty) {
  const Payload payload{ValueView()};
  EXPECT_EQ(payload.size(), 0u);
  EXPECT_EQ(payload.content_type(), "");
}

TEST(Payload, RefusesWhatMeansNothingOutsideOfThisProcess) {
  EXPECT_THROW(Payload(ValueView::reference(7)), Error);
}

TEST(ReceivedPayload, IsBytesWithoutAContentType) {
  const ValueView value = payload_value("42", 2, "", false);
  EXPECT_EQ(value.tag, BP_T_BYTES);
  EXPECT_EQ(value.len, 2u);
}

TEST(ReceivedPayload, StaysEncodedInTheFormatThatItsContentTypeNames) {
  EXPECT_EQ(payload_value("{}", 2, "application/json", false),
            ValueView::encoded(std::as_bytes(std::span("{}", 2)), BP_FORMAT_JSON));
  EXPECT_EQ(payload_value("{}", 2, "application/senml+json; charset=utf-8", false).aux,
            BP_FORMAT_JSON);
  EXPECT_EQ(payload_value("\xa0", 1, "application/cbor", false).aux, BP_FORMAT_CBOR);
  EXPECT_EQ(payload_value("<a/>", 4, "application/xml", false).aux, BP_FORMAT_XML);
}

TEST(ReceivedPayload, IsTextOnlyIfItIsUtf8) {
  EXPECT_EQ(payload_value("on", 2, "text/plain", false).tag, BP_T_STRING);
  EXPECT_EQ(payload_value("on", 2, "", true).tag, BP_T_STRING);
  EXPECT_EQ(payload_value("\xff", 1, "text/plain", true).tag, BP_T_BYTES);
  EXPECT_EQ(payload_value(nullptr, 0, "text/plain", false).tag, BP_T_STRING);
}

}  // namespace
}  // namespace backplane::mqtt
