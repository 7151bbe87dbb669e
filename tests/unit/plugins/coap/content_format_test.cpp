// SPDX-License-Identifier: Apache-2.0
#include "content_format.hpp"

#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

TEST(CoapContentFormat, NamesAndNumbersAreEachOthersReverse) {
  FormatScratch scratch;
  for (const auto& [number, name] : {std::pair<uint16_t, const char*>{0, "text/plain"},
                                     {42, "application/octet-stream"},
                                     {50, "application/json"},
                                     {60, "application/cbor"},
                                     {40, "application/link-format"},
                                     {12345, "coap/12345"}}) {
    EXPECT_EQ(media_type_of(number, scratch), name);
    EXPECT_EQ(format_of(name), number);
  }
  EXPECT_EQ(format_of("text/plain; charset=utf-8"), 0);
  for (const char* bad : {"", "image/jpg", "coap/", "coap/65535", "coap/99999", "coap/-1"}) {
    EXPECT_EQ(format_of(bad), std::nullopt) << bad;
  }
}

TEST(CoapContentFormat, TakesAPayloadAsWhatItsFormatSays) {
  const ValueView json = value_of(bytes("{}"), 50);
  EXPECT_EQ(json.tag, BP_T_ENCODED);
  EXPECT_EQ(json.aux, BP_FORMAT_JSON);
  EXPECT_EQ(value_of(bytes("a"), 60).aux, BP_FORMAT_CBOR);
  EXPECT_EQ(value_of(bytes("h\xc3\xa4"), 0).tag, BP_T_STRING);
  EXPECT_EQ(value_of(bytes("a"), 42).tag, BP_T_BYTES);
  EXPECT_EQ(value_of(bytes("a"), kNoFormat).tag, BP_T_BYTES);
  EXPECT_EQ(value_of(bytes("a"), 4711).tag, BP_T_BYTES);
}

TEST(CoapContentFormat, TakesTextThatIsNoUtf8AsBytes) {
  for (const std::string_view bad :
       {"\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_EQ(value_of(bytes(bad), 0).tag, BP_T_BYTES);
  }
  for (const std::string_view good : {"", "a", "\xc2\x80", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(value_of(bytes(good), 0).tag, BP_T_STRING);
  }
}

TEST(CoapContentFormat, EncodesValuesAsPayloads) {
  const auto encoded = [](ValueView value, std::optional<std::string_view> type = {}) {
    Payload payload;
    encode(value, type, payload);
    return std::pair(text(payload.bytes), payload.format);
  };
  EXPECT_EQ(encoded(42.5), std::pair(std::string("42.5"), kJson));
  EXPECT_EQ(encoded(true), std::pair(std::string("true"), kJson));
  EXPECT_EQ(encoded("on"), std::pair(std::string("on"), kTextPlain));
  EXPECT_EQ(encoded(ValueView::bytes("\0\1", 2)).second, kOctetStream);
  EXPECT_EQ(encoded(nullptr), std::pair(std::string(), kNoFormat));
  EXPECT_EQ(encoded("{}", "application/json"), std::pair(std::string("{}"), kJson));
  const auto cbor = ValueView::encoded(std::as_bytes(bytes("\x01")), BP_FORMAT_CBOR);
  EXPECT_EQ(encoded(cbor).second, kCbor);
  StackArena<> arena;
  EXPECT_EQ(encoded(arena.map({{"a", arena.list({1, 2})}})),
            std::pair(std::string("{\"a\":[1,2]}"), kJson));
  EXPECT_THROW(encoded("x", "image/jpg"), Error);
  EXPECT_THROW(encoded(ValueView::reference(7)), Error);
}

TEST(CoapValueType, ReadsNumbersInJsonsNotation) {
  const auto number = [](std::string_view payload) {
    const auto value = typed_value_of(bytes(payload), kJson, ValueType::kNumber);
    return value ? value->get<double>() : std::nullopt;
  };
  EXPECT_EQ(number("42.5"), 42.5);
  EXPECT_EQ(number(" -1e3\r\n"), -1000);
  EXPECT_EQ(number("0.5"), 0.5);
  for (const char* bad : {"", " ", "x", "1x", "+1", ".5", "1.", "01", "nan", "inf", "-inf", "0x10",
                          "1 2", "--1", "1e", "1e999"}) {
    EXPECT_EQ(number(bad), std::nullopt) << "'" << bad << "'";
  }
}

TEST(CoapValueType, FitsPayloadsAndValues) {
  EXPECT_EQ(typed_value_of(bytes("7"), kJson, ValueType::kInteger)->get<int>(), 7);
  EXPECT_FALSE(typed_value_of(bytes("7.5"), kJson, ValueType::kInteger));
  EXPECT_EQ(typed_value_of(bytes("true"), kJson, ValueType::kBoolean)->get<bool>(), true);
  EXPECT_FALSE(typed_value_of(bytes("1"), kJson, ValueType::kBoolean));
  EXPECT_EQ(typed_value_of(bytes("a"), kJson, ValueType::kString)->get<std::string>(), "a");
  EXPECT_FALSE(typed_value_of(bytes("\xff"), kJson, ValueType::kString));

  EXPECT_EQ(typed_value_of(ValueView(3), ValueType::kNumber)->tag, BP_T_FLOAT);
  EXPECT_FALSE(typed_value_of(ValueView("3"), ValueType::kNumber));
  EXPECT_EQ(typed_value_of(ValueView::encoded(std::as_bytes(bytes("3.5")), BP_FORMAT_JSON),
                           ValueType::kNumber)
                ->get<double>(),
            3.5);
  EXPECT_FALSE(typed_value_of(ValueView(3.5), ValueType::kInteger));
  EXPECT_FALSE(typed_value_of(ValueView(1), ValueType::kBoolean));
}

}  // namespace
}  // namespace backplane::coap::test
