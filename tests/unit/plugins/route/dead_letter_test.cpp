// SPDX-License-Identifier: Apache-2.0
#include "dead_letter.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace backplane::route {
namespace {

using nlohmann::json;

json record_of(ValueView payload, std::string_view path = {}) {
  return json::parse(to_json({"r1", Reason::kNacked, "NOT_FOUND: no such node",
                              Time(std::chrono::seconds(0)), "a:x", path, "b:y", payload}));
}

TEST(ADeadLetter, TellsWhereTheMessageCameFromAndWhyItDidNotArrive) {
  const json sut = record_of("hello");
  EXPECT_EQ(sut["route"], "r1");
  EXPECT_EQ(sut["reason"], "nacked");
  EXPECT_EQ(sut["error"], "NOT_FOUND: no such node");
  EXPECT_EQ(sut["time"], "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(sut["from"], "a:x");
  EXPECT_EQ(sut["to"], "b:y");
  EXPECT_FALSE(sut.contains("path"));
  EXPECT_EQ(record_of("hello", "plant/1")["path"], "plant/1");
}

TEST(ADeadLetter, HasTheBodyAsTextIfItIsText) {
  const std::string text = "{\"broken\": \xe2\x82\xac";
  for (const ValueView& body :
       {ValueView(text), ValueView::bytes(text.data(), text.size()),
        ValueView::encoded(std::span(reinterpret_cast<const std::byte*>(text.data()), text.size()),
                           BP_FORMAT_JSON)}) {
    const json sut = record_of(body);
    EXPECT_EQ(sut["encoding"], "text");
    EXPECT_EQ(sut["payload"], text);
  }
}

TEST(ADeadLetter, HasOtherBytesInBase64) {
  const std::string bytes("\x00\xff\x10", 3);
  const json sut = record_of(ValueView::bytes(bytes.data(), bytes.size()));
  EXPECT_EQ(sut["encoding"], "base64");
  EXPECT_EQ(sut["payload"], "AP8Q");
}

TEST(ADeadLetter, HasAValueAsJson) {
  StackArena<> arena;
  EXPECT_EQ(record_of(21.5)["payload"], 21.5);
  EXPECT_EQ(record_of(arena.map({{"a", arena.list({1, true, nullptr})}}))["payload"],
            json::parse(R"({"a": [1, true, null]})"));
  EXPECT_EQ(record_of(nullptr)["encoding"], "json");
}

TEST(ADeadLetter, HasAnImageOfWhatJsonCannotSay) {
  const json sut = record_of(ValueView::reference(7));
  EXPECT_EQ(sut["encoding"], "text");
  EXPECT_EQ(sut["payload"], "<reference 7>");
}

}  // namespace
}  // namespace backplane::route
