// SPDX-License-Identifier: Apache-2.0
#include "transform.hpp"

#include <gtest/gtest.h>

namespace backplane::route {
namespace {

ValueView bytes(std::string_view text) { return ValueView::bytes(text.data(), text.size()); }
ValueView encoded(std::string_view text, uint16_t format) {
  return ValueView::encoded(std::span(reinterpret_cast<const std::byte*>(text.data()), text.size()),
                            format);
}
bp_status status_of(const auto& result) { return result ? BP_OK : result.status().code(); }

// ---- JSON pointer ----

TEST(JsonPointer, FindsWhatRfc6901ListsAsExamples) {
  StackArena<> arena;
  const ValueView document = arena.map({{"foo", arena.list({"bar", "baz"})},
                                        {"", 0},
                                        {"a/b", 1},
                                        {"c%d", 2},
                                        {"e^f", 3},
                                        {"g|h", 4},
                                        {"i\\j", 5},
                                        {"k\"l", 6},
                                        {" ", 7},
                                        {"m~n", 8}});
  const std::pair<const char*, int> kNumbers[] = {{"/", 0},     {"/a~1b", 1}, {"/c%d", 2},
                                                  {"/e^f", 3},  {"/g|h", 4},  {"/i\\j", 5},
                                                  {"/k\"l", 6}, {"/ ", 7},    {"/m~0n", 8}};
  for (const auto& [pointer, number] : kNumbers) {
    const auto found = JsonPointer::parse(pointer).value().find(document);
    ASSERT_TRUE(found) << pointer;
    EXPECT_EQ(found->get<int>(), number) << pointer;
  }
  EXPECT_EQ(*JsonPointer::parse("").value().find(document), document);
  EXPECT_EQ(JsonPointer::parse("/foo").value().find(document)->size(), 2u);
  EXPECT_EQ(JsonPointer::parse("/foo/0").value().find(document)->get<std::string>(), "bar");
}

TEST(JsonPointer, RefusesAWrongNotation) {
  for (const char* pointer : {"foo", "/~", "/a~2", "/a~", " /a"}) {
    EXPECT_EQ(status_of(JsonPointer::parse(pointer)), BP_INVALID_ARGUMENT) << pointer;
  }
}

TEST(JsonPointer, FindsNothingWhereThereIsNothingAndSaysWhere) {
  StackArena<> arena;
  const ValueView document = arena.map({{"list", arena.list({1, 2})}, {"number", 1}});
  for (const char* pointer : {"/other", "/list/2", "/list/01", "/list/-", "/list/x", "/number/0",
                              "/list/0/0", "/list/18446744073709551616", "/"}) {
    EXPECT_EQ(status_of(JsonPointer::parse(pointer).value().find(document)), BP_NOT_FOUND)
        << pointer;
  }
  const auto found = JsonPointer::parse("/list/7/deep").value().find(document);
  EXPECT_NE(found.status().message().find("'/list/7'"), std::string_view::npos)
      << found.status().to_string();
}

TEST(JsonPointer, EntersPackedArraysTypedValuesAndIntegerKeys) {
  StackArena<> arena;
  const std::array<uint16_t, 3> numbers{7, 8, 9};
  EXPECT_EQ(JsonPointer::parse("/2")
                .value()
                .find(arena.array(std::span<const uint16_t>(numbers)))
                ->get<int>(),
            9);
  const ValueView keyed = arena.map({{1, "one"}, {uint64_t{2}, "two"}});
  EXPECT_EQ(JsonPointer::parse("/1").value().find(keyed)->get<std::string>(), "one");
  EXPECT_EQ(JsonPointer::parse("/2").value().find(keyed)->get<std::string>(), "two");
  ValueView typed = arena.list({"decimal", arena.map({{"digits", 12}})});
  typed.tag = BP_T_TYPED;
  EXPECT_EQ(JsonPointer::parse("/digits").value().find(typed)->get<int>(), 12);
}

// ---- where the steps begin ----

Steps steps_with(auto set) {
  Steps steps;
  set(steps);
  return steps;
}
const auto kScaled = [](Steps& steps) { steps.scale = 2; };
const auto kEncodedAsJson = [](Steps& steps) { steps.encode = Encode::kJson; };

struct BeginCase {
  const char* name;
  Steps steps;
  ValueView body;
  const char* content_type;  // null: none
  bp_status status;
  uint16_t decode;
  bool verbatim;
};

TEST(Begin, DecidesWhetherACodecIsNeeded) {
  const auto json = steps_with([](Steps& steps) { steps.decode = Decode::kJson; });
  const auto cbor = steps_with([](Steps& steps) { steps.decode = Decode::kCbor; });
  const auto never = steps_with([](Steps& steps) {
    steps.decode = Decode::kNone;
    steps.scale = 2;
  });
  const auto text = steps_with([](Steps& steps) { steps.encode = Encode::kText; });
  const BeginCase kCases[] = {
      {"no step: bytes pass", {}, bytes("x"), nullptr, BP_OK, 0, true},
      {"no step: an unknown type passes", {}, bytes("x"), "image/png", BP_OK, 0, true},
      {"a value needs no codec", steps_with(kScaled), 1, nullptr, BP_OK, 0, false},
      {"bytes without a type are JSON", steps_with(kScaled), bytes("1"), nullptr, BP_OK,
       BP_FORMAT_JSON, false},
      {"by content type", steps_with(kScaled), bytes("1"), "application/cbor", BP_OK,
       BP_FORMAT_CBOR, false},
      {"by its suffix", steps_with(kScaled), bytes("1"), "application/senml+json; v=1", BP_OK,
       BP_FORMAT_JSON, false},
      {"text stays text", steps_with(kScaled), bytes("1"), "text/plain;charset=utf-8", BP_OK, 0,
       false},
      {"other types cannot be parsed", steps_with(kScaled), bytes("1"), "image/png",
       BP_INVALID_ARGUMENT, 0, false},
      {"by format", steps_with(kScaled), encoded("1", BP_FORMAT_CBOR), nullptr, BP_OK,
       BP_FORMAT_CBOR, false},
      {"other formats cannot be parsed", steps_with(kScaled), encoded("1", BP_FORMAT_XML), nullptr,
       BP_INVALID_ARGUMENT, 0, false},
      {"JSON to JSON is itself", steps_with(kEncodedAsJson), encoded("1", BP_FORMAT_JSON), nullptr,
       BP_OK, 0, true},
      {"likewise by content type", steps_with(kEncodedAsJson), bytes("1"), "application/json",
       BP_OK, 0, true},
      {"CBOR to JSON is parsed", steps_with(kEncodedAsJson), encoded("1", BP_FORMAT_CBOR), nullptr,
       BP_OK, BP_FORMAT_CBOR, false},
      {"bytes of no type to JSON are parsed", steps_with(kEncodedAsJson), bytes("1"), nullptr,
       BP_OK, BP_FORMAT_JSON, false},
      {"bytes to text are text", text, bytes("1"), nullptr, BP_OK, 0, false},
      {"asked for", json, bytes("1"), nullptr, BP_OK, BP_FORMAT_JSON, false},
      {"asked for, whatever the type", cbor, bytes("1"), "text/plain", BP_OK, BP_FORMAT_CBOR,
       false},
      {"asked for, of a string", json, "1", nullptr, BP_OK, BP_FORMAT_JSON, false},
      {"asked for, of a value", json, 1, nullptr, BP_OK, 0, false},
      {"never", never, bytes("1"), "application/json", BP_OK, 0, false},
  };
  for (const BeginCase& each : kCases) {
    MessageBuilder message(each.body);
    if (each.content_type != nullptr) {
      message.header(BP_H_CONTENT_TYPE, each.content_type);
    }
    const auto got = begin(each.steps, message);
    ASSERT_EQ(status_of(got), each.status) << each.name;
    if (got) {
      EXPECT_EQ(got->decode, each.decode) << each.name;
      EXPECT_EQ(got->verbatim, each.verbatim) << each.name;
    }
  }
}

// ---- the steps ----

struct StepCase {
  const char* name;
  void (*set)(Steps&);
  ValueView value;
  ValueView expected;  // or, if status is no OK, nothing
  bp_status status = BP_OK;
};

TEST(Transform, DoesEachStep) {
  const std::string not_utf8 = "\xff\xfe";
  const StepCase kCases[] = {
      {"nothing", [](Steps&) {}, 5, 5},
      {"scale", [](Steps& s) { s.scale = 2; }, 5, 10.0},
      {"offset", [](Steps& s) { s.offset = -1.5; }, 5u, 3.5},
      {"scale before offset", [](Steps& s) { s.scale = 2, s.offset = 1; }, 3.0, 7.0},
      {"a text that is a number", [](Steps& s) { s.scale = 2; }, "21.5", 43.0},
      {"bytes that are a number", [](Steps& s) { s.scale = 2; }, bytes("4"), 8.0},
      {"no number", [](Steps& s) { s.scale = 2; }, "warm", {}, BP_INVALID_ARGUMENT},
      {"a number and more", [](Steps& s) { s.scale = 2; }, "21.5 C", {}, BP_INVALID_ARGUMENT},
      {"a boolean is no number", [](Steps& s) { s.scale = 2; }, true, {}, BP_INVALID_ARGUMENT},
      {"null is no number", [](Steps& s) { s.offset = 2; }, nullptr, {}, BP_INVALID_ARGUMENT},
      {"too large", [](Steps& s) { s.scale = 1e308; }, 1e10, {}, BP_OUT_OF_RANGE},
      {"NaN stays NaN", [](Steps& s) { s.scale = 2; }, std::nan(""), std::nan("")},
      {"constant", [](Steps& s) { s.constant.emplace(ValueView(7)); }, "x", 7},
      {"constant leaves out what stands before it",
       [](Steps& s) { s.constant.emplace(ValueView("on")), s.scale = 2; }, "x", "on"},
      {"constant, converted",
       [](Steps& s) { s.constant.emplace(ValueView("1.5")), s.convert = Convert::kNumber; }, 0,
       1.5},

      {"number of an int", [](Steps& s) { s.convert = Convert::kNumber; }, 5, 5.0},
      {"number of a bool", [](Steps& s) { s.convert = Convert::kNumber; }, true, 1.0},
      {"number of a text", [](Steps& s) { s.convert = Convert::kNumber; }, "-1e3", -1000.0},
      {"number of no number",
       [](Steps& s) { s.convert = Convert::kNumber; },
       "",
       {},
       BP_INVALID_ARGUMENT},

      {"integer of a double", [](Steps& s) { s.convert = Convert::kInteger; }, 2.5, int64_t{3}},
      {"integer of a negative double", [](Steps& s) { s.convert = Convert::kInteger; }, -2.5,
       int64_t{-3}},
      {"integer of a bool", [](Steps& s) { s.convert = Convert::kInteger; }, false, int64_t{0}},
      {"integer of a text, exact", [](Steps& s) { s.convert = Convert::kInteger; },
       "9007199254740993", int64_t{9007199254740993}},
      {"integer of a text with a fraction", [](Steps& s) { s.convert = Convert::kInteger; }, "1.4",
       int64_t{1}},
      {"integer, the largest", [](Steps& s) { s.convert = Convert::kInteger; },
       std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::max()},
      {"integer, too large",
       [](Steps& s) { s.convert = Convert::kInteger; },
       0x1p63,
       {},
       BP_OUT_OF_RANGE},
      {"integer of a large uint",
       [](Steps& s) { s.convert = Convert::kInteger; },
       std::numeric_limits<uint64_t>::max(),
       {},
       BP_OUT_OF_RANGE},
      {"integer of NaN",
       [](Steps& s) { s.convert = Convert::kInteger; },
       std::nan(""),
       {},
       BP_OUT_OF_RANGE},
      {"integer of a word",
       [](Steps& s) { s.convert = Convert::kInteger; },
       "x",
       {},
       BP_INVALID_ARGUMENT},

      {"boolean of 0", [](Steps& s) { s.convert = Convert::kBoolean; }, 0.0, false},
      {"boolean of a number", [](Steps& s) { s.convert = Convert::kBoolean; }, -1, true},
      {"boolean of true", [](Steps& s) { s.convert = Convert::kBoolean; }, "true", true},
      {"boolean of 0 as text", [](Steps& s) { s.convert = Convert::kBoolean; }, bytes("0"), false},
      {"boolean of a word",
       [](Steps& s) { s.convert = Convert::kBoolean; },
       "yes",
       {},
       BP_INVALID_ARGUMENT},
      {"boolean of NaN",
       [](Steps& s) { s.convert = Convert::kBoolean; },
       std::nan(""),
       {},
       BP_INVALID_ARGUMENT},

      {"string of an int", [](Steps& s) { s.convert = Convert::kString; }, -5, "-5"},
      {"string of a uint", [](Steps& s) { s.convert = Convert::kString; },
       std::numeric_limits<uint64_t>::max(), "18446744073709551615"},
      {"string of a double", [](Steps& s) { s.convert = Convert::kString; }, 0.1, "0.1"},
      {"string of a float", [](Steps& s) { s.convert = Convert::kString; }, 0.1f, "0.1"},
      {"string of a bool", [](Steps& s) { s.convert = Convert::kString; }, true, "true"},
      {"string of bytes", [](Steps& s) { s.convert = Convert::kString; }, bytes("ab"), "ab"},
      {"string of bytes that are none",
       [](Steps& s) { s.convert = Convert::kString; },
       bytes(not_utf8),
       {},
       BP_INVALID_ARGUMENT},
      {"string of a time", [](Steps& s) { s.convert = Convert::kString; },
       Time(std::chrono::seconds(1)), "1970-01-01T00:00:01.000000000Z"},
      {"string of null",
       [](Steps& s) { s.convert = Convert::kString; },
       nullptr,
       {},
       BP_INVALID_ARGUMENT},
      {"scaled, then an integer", [](Steps& s) { s.scale = 0.1, s.convert = Convert::kInteger; },
       215, int64_t{22}},
  };
  for (const StepCase& each : kCases) {
    Steps steps;
    each.set(steps);
    TextStore text;
    const auto result = transform(steps, each.value, text);
    ASSERT_EQ(status_of(result), each.status)
        << each.name << ": " << (result ? result->to_text() : result.status().to_string());
    if (result) {
      EXPECT_EQ(*result, each.expected) << each.name << ": " << result->to_text();
    }
  }
}

TEST(Transform, SelectsBeforeItScales) {
  StackArena<> arena;
  Steps steps;
  steps.select = JsonPointer::parse("/a/1").value();
  steps.scale = 10;
  TextStore text;
  EXPECT_EQ(*transform(steps, arena.map({{"a", arena.list({1, 2})}}), text), ValueView(20.0));
  const auto missing = transform(steps, arena.map({{"b", 1}}), text);
  EXPECT_EQ(status_of(missing), BP_INVALID_ARGUMENT);
  EXPECT_NE(missing.status().message().find("select"), std::string_view::npos);
}

TEST(Utf8, IsToldFromOtherBytes) {
  for (const char* good : {"", "abc", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const char* bad :
       {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "a\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

// ---- deadband ----

constexpr std::chrono::nanoseconds kNoHeartbeat{0};

TEST(Deadband, PassesEverythingWithoutAWidth) {
  Deadband sut(std::nullopt, kNoHeartbeat);
  EXPECT_TRUE(sut.passes(1, 0));
  EXPECT_TRUE(sut.passes(1, 0));
}

TEST(Deadband, ComparesWithTheLastThatPassedSoThatADriftIsSeen) {
  Deadband sut(0.5, kNoHeartbeat);
  EXPECT_TRUE(sut.passes(20.0, 0));
  EXPECT_FALSE(sut.passes(20.3, 0));
  EXPECT_FALSE(sut.passes(20.5, 0)) << "equal to the width is within it";
  EXPECT_TRUE(sut.passes(20.6, 0));
  EXPECT_FALSE(sut.passes(20.2, 0));
  EXPECT_TRUE(sut.passes(int64_t{20}, 0));
}

TEST(Deadband, RemembersTheLastOfEachPath) {
  Deadband sut(0.5, kNoHeartbeat);
  EXPECT_TRUE(sut.passes(20.0, 0, "line1"));
  EXPECT_TRUE(sut.passes(20.2, 0, "line2")) << "another's";
  EXPECT_FALSE(sut.passes(20.4, 0, "line1"));
  EXPECT_FALSE(sut.passes(20.4, 0, "line2"));
  EXPECT_TRUE(sut.passes(21.0, 0, "line1"));
  EXPECT_FALSE(sut.passes(20.4, 0, "line2"));
}

TEST(Deadband, RemembersSoManyPathsAndNoMore) {
  Deadband sut(0.5, kNoHeartbeat);
  for (size_t i = 0; i < Deadband::kMostPaths; ++i)
    EXPECT_TRUE(sut.passes(1, 0, std::to_string(i)));
  EXPECT_FALSE(sut.passes(1, 0, "0"));
  EXPECT_TRUE(sut.passes(1, 0, "one more"));
  EXPECT_TRUE(sut.passes(1, 0, "0"));
}

TEST(Deadband, OfZeroPassesChangesOnly) {
  Deadband sut(0.0, kNoHeartbeat);
  EXPECT_TRUE(sut.passes(1, 0));
  EXPECT_FALSE(sut.passes(1.0, 0));
  EXPECT_TRUE(sut.passes(1.0000001, 0));
}

TEST(Deadband, ComparesOtherTypesForBeingEqual) {
  Deadband sut(1, kNoHeartbeat);
  EXPECT_TRUE(sut.passes("on", 0));
  EXPECT_FALSE(sut.passes("on", 0));
  EXPECT_TRUE(sut.passes("off", 0));
  EXPECT_TRUE(sut.passes(1, 0)) << "another type is a change";
  EXPECT_TRUE(sut.passes(std::nan(""), 0));
  EXPECT_FALSE(sut.passes(std::nan(""), 0));
  EXPECT_TRUE(sut.passes(1, 0));
}

TEST(Deadband, LetsOnePassAfterTheHeartbeat) {
  Deadband sut(1, std::chrono::seconds(10));
  EXPECT_TRUE(sut.passes(5, 1'000'000'000));
  EXPECT_FALSE(sut.passes(5, 10'999'999'999));
  EXPECT_TRUE(sut.passes(5, 11'000'000'000));
  EXPECT_FALSE(sut.passes(5, 11'000'000'001)) << "the wait begins anew";
}

TEST(Deadband, PassesTheNextWhenTheLastDidNotArrive) {
  Deadband sut(1, kNoHeartbeat);
  EXPECT_TRUE(sut.passes(5, 0));
  sut.forget("");
  EXPECT_TRUE(sut.passes(5, 0));
}

}  // namespace
}  // namespace backplane::route
