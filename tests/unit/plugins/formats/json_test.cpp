// SPDX-License-Identifier: Apache-2.0
#include "values.hpp"
#include <backplane/sdk/json.hpp>

#include <gmock/gmock.h>

namespace backplane {
namespace {

using test::array, test::bytes, test::encoded, test::integer, test::scalar, test::time, test::two,
    test::with_aux;
using testing::HasSubstr;

Status error_of(std::string_view text, const ParseLimits& limits = {}) {
  const auto result = from_json(text, limits);
  EXPECT_FALSE(result) << text << " gave " << result->body().to_text();
  return result.status();
}
Status write_error_of(ValueView value) {
  try {
    ADD_FAILURE() << to_json(value);
  } catch (const Error& error) {
    return error.status();
  }
  return Status();
}

TEST(ToJson, WritesEveryTagAsTheTableInTheReadmeSays) {
  StackArena arena;
  const struct {
    ValueView value;
    std::string_view json;
  } rows[] = {
      {nullptr, "null"},
      {scalar(BP_T_NULL, BP_TYPE(BP_T_FLOAT, 64), 0), "null"},
      {true, "true"},
      {int8_t{-128}, "-128"},
      {INT64_MIN, "-9223372036854775808"},
      {INT64_MAX, "9223372036854775807"},
      {UINT64_MAX, "18446744073709551615"},
      {integer(BP_INT_ENUM, 3), "3"},
      {std::chrono::nanoseconds(1'500), "1500"},
      {scalar(BP_T_UINT, BP_UINT_STATUS, 0x80340000), "2150891520"},
      {20.0, "20.0"},
      {0.1, "0.1"},
      {0.1f, "0.1"},
      {1e300, "1e+300"},
      {std::nan(""), R"("NaN")"},
      {INFINITY, R"("Infinity")"},
      {-INFINITY, R"("-Infinity")"},
      {time(BP_TIME_S, 0), R"("1970-01-01T00:00:00Z")"},
      {time(BP_TIME_MS, -1), R"("1969-12-31T23:59:59.999Z")"},
      {time(BP_TIME_US, 1), R"("1970-01-01T00:00:00.000001Z")"},
      {time(BP_TIME_100NS, -116444736000000000), R"("1601-01-01T00:00:00.0000000Z")"},
      {time(BP_TIME_NS, 1772366400000000001), R"("2026-03-01T12:00:00.000000001Z")"},
      {"a \"quoted\" \n\xc3\xa9", "\"a \\\"quoted\\\" \\n\xc3\xa9\""},
      {with_aux("/org/x", BP_STRING_OBJECT_PATH), R"("/org/x")"},
      {with_aux("a{sv}", BP_STRING_SIGNATURE), R"("a{sv}")"},
      {with_aux("<a/>", BP_STRING_XML), R"("<a/>")"},
      {bytes(""), R"("")"},
      {bytes("f"), R"("Zg==")"},
      {bytes("fo"), R"("Zm8=")"},
      {bytes("foobar"), R"("Zm9vYmFy")"},
      {with_aux(bytes("0123456789abcdef"), BP_BYTES_UUID),
       R"("30313233-3435-3637-3839-616263646566")"},
      {arena.list({}), "[]"},
      {arena.list({1, "a", arena.list({true})}, BP_LIST_STRUCT), R"([1,"a",[true]])"},
      {arena.list({1, 2}, BP_LIST_ARGUMENTS), "[1,2]"},
      {arena.map({}), "{}"},
      {arena.map({{"z", 1}, {"a", nullptr}}), R"({"z":1,"a":null})"},
      {arena.map({{7, 1}, {true, 2}, {1.5, 3}, {nullptr, 4}, {time(BP_TIME_S, 0), 5}}),
       R"({"7":1,"true":2,"1.5":3,"null":4,"1970-01-01T00:00:00Z":5})"},
      {array<int16_t>(arena, {1, 2, 3, 4, 5, 6}), "[1,2,3,4,5,6]"},
      {two(arena, BP_T_MATRIX, array<uint32_t>(arena, {2, 3}),
           array<int16_t>(arena, {1, 2, 3, 4, 5, 6})),
       "[[1,2,3],[4,5,6]]"},
      {two(arena, BP_T_TYPED, "dbus:a(is)", arena.list({1, "a"})),
       R"x({"type":"dbus:a(is)","value":[1,"a"]})x"},
      {encoded(BP_FORMAT_CBOR, "\x01"), R"("AQ==")"},
      {arena.list({encoded(BP_FORMAT_JSON, "{ \"a\" : [ 1 ] }")}), R"([{"a":[1]}])"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(to_json(row.value), row.json) << row.value.type_name() << ' ' << row.value.aux;
    EXPECT_EQ(to_json(from_json(row.json)->body()), row.json) << "not stable";
  }
}

TEST(ToJson, PassesAJsonBodyOnAsItIs) {
  EXPECT_EQ(to_json(encoded(BP_FORMAT_JSON, "{ not looked into")), "{ not looked into");
}

TEST(ToJson, GivesAMatrixWithoutElementsNoRows) {
  StackArena arena;
  EXPECT_EQ(to_json(two(arena, BP_T_MATRIX, array<uint32_t>(arena, {4'000'000'000, 0, 7}),
                        arena.list({}))),
            "[]");
}

TEST(ToJson, RefusesWhatJsonCannotSay) {
  StackArena arena;
  const struct {
    ValueView value;
    std::string_view why;
  } rows[] = {
      {ValueView::reference(7), "reference"},
      {scalar(BP_T_FD, 0, 3), "descriptor"},
      {"\xff", "UTF-8"},
      {arena.list({arena.map({{"\xff", 1}})}), "UTF-8"},
      {arena.map({{"a", 1}, {"b", 2}, {"a", 3}}), "'a' stands twice"},
      {arena.map({{"7", 1}, {7, 2}}), "'7' stands twice"},
      {arena.map({{arena.list({}), 1}}), "cannot be a key"},
      {two(arena, BP_T_MATRIX, array<uint32_t>(arena, {2, 2}), arena.list({1, 2, 3})),
       "dimensions"},
      {arena.list({encoded(BP_FORMAT_JSON, "[1")}), "offset"},
      {test::nested(arena, kMaxDepth + 1), "deeper than 64"},
  };
  for (const auto& row : rows) {
    const Status status = write_error_of(row.value);
    EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT) << row.why;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.why));
  }
}

TEST(ToJson, RefusesATimeThatRfc3339CannotWrite) {
  EXPECT_EQ(write_error_of(time(BP_TIME_S, INT64_MAX)).code(), BP_OUT_OF_RANGE);
  EXPECT_EQ(write_error_of(time(BP_TIME_S, 253'402'300'800)).code(), BP_OUT_OF_RANGE);
  EXPECT_EQ(to_json(time(BP_TIME_S, 253'402'300'799)), R"("9999-12-31T23:59:59Z")");
}

TEST(FromJson, KeepsIntegersOf64BitsExactAndTellsThemFromFloats) {
  EXPECT_EQ(from_json("9223372036854775807")->body(), ValueView(INT64_MAX));
  EXPECT_EQ(from_json("-9223372036854775808")->body(), ValueView(INT64_MIN));
  EXPECT_EQ(from_json("9223372036854775808")->body(), ValueView(uint64_t{1} << 63u));
  EXPECT_EQ(from_json("18446744073709551615")->body(), ValueView(UINT64_MAX));
  EXPECT_EQ(from_json("1")->body(), ValueView(int64_t{1}));
  EXPECT_EQ(from_json("1.0")->body(), ValueView(1.0));
  EXPECT_EQ(from_json("1e2")->body(), ValueView(100.0));
  EXPECT_EQ(error_of("18446744073709551616").code(), BP_OUT_OF_RANGE);
  EXPECT_EQ(error_of("-9223372036854775809").code(), BP_OUT_OF_RANGE);
  EXPECT_EQ(error_of("1e400").code(), BP_OUT_OF_RANGE);
}

TEST(FromJson, LeavesTextTextWhateverItLooksLike) {
  EXPECT_EQ(from_json(R"("NaN")")->body(), ValueView("NaN"));
  EXPECT_EQ(from_json(R"("2026-03-01T12:00:00Z")")->body(), ValueView("2026-03-01T12:00:00Z"));
}

TEST(FromJson, KeepsTheOrderOfMembersAndOwnsTheTree) {
  auto result = from_json(R"({"b":[1,{"x":"text"}],"a":null})");
  const OwnedMessage message = *std::move(result);
  ASSERT_EQ(message.body().size(), 2U);
  EXPECT_EQ(ValueView(message.body().as.map[0].key), ValueView("b"));
  EXPECT_EQ(message.body().find("b")->at(1).find("x"), ValueView("text"));
  EXPECT_NE(message.view().raw().owner, nullptr);
}

TEST(FromJson, SaysWhereAndWhat) {
  const struct {
    std::string_view text;
    std::string_view message;
  } rows[] = {
      {"", "JSON, offset 0: "},
      {"[1,", "unexpected end of input"},
      {"{\"a\" 1}", "expected ':'"},
      {"[1] 2", "offset 4: "},
      {"nul", "invalid literal"},
      {"[\"\xff\"]",
       "offset 2: syntax error while parsing value - invalid string: ill-formed UTF-8"},
      {"\"\x01\"", "control character"},
      {R"({"a":1,"b":2,"a":3})", "offset 18: the key \"a\" stands twice"},
      {R"({"a":1,"\u0061":2})", "stands twice"},
      {"[1]]", "offset 3: "},
      {"{\"a\":1", "unexpected end of input"},
      {"'a'", "offset 0: "},
      {"01", "offset 1: "},
      {"NaN", "offset 0: "},
  };
  for (const auto& row : rows) {
    const Status status = error_of(row.text);
    EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT) << row.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message)) << row.text;
  }
}

TEST(FromJson, QuotesNothingOfTheInput) {
  const std::string secret = "\"" + std::string(5'000, 's') + "\x02";
  EXPECT_LT(error_of(secret).message().size(), 200U);
}

TEST(FromJson, HoldsItsLimits) {
  EXPECT_TRUE(from_json("[1,2]", {5, 2, 3}));
  EXPECT_EQ(error_of("[1,2]", {4, 2, 3}).code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(error_of("[1,2]", {5, 1, 3}).code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(error_of("[1,2]", {5, 2, 2}).code(), BP_RESOURCE_EXHAUSTED);
  const std::string deep = std::string(63, '[') + std::string(63, ']');
  EXPECT_TRUE(from_json(deep));
  EXPECT_EQ(error_of("[" + deep + "]").code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(error_of(std::string(1'000'000, '[')).code(), BP_RESOURCE_EXHAUSTED);
}

TEST(FromJson, LooksForDuplicatesAmongManyMembersInTime) {
  std::string text = "{";
  for (int i = 0; i < 50'000; ++i) {
    text += concat("\"k", i, "\":0,");
  }
  EXPECT_EQ(from_json(text + "\"last\":0}")->body().size(), 50'001U);
  EXPECT_THAT(std::string(error_of(text + "\"k77\":0}").message()), HasSubstr("k77"));
}

TEST(Rfc3339, ReadsWhatItWrites) {
  for (const unsigned unit : {BP_TIME_S, BP_TIME_MS, BP_TIME_US, BP_TIME_100NS, BP_TIME_NS}) {
    for (const int64_t at : {int64_t{0}, int64_t{-1}, int64_t{1'772'366'400}}) {
      const ValueView value = time(static_cast<int>(unit), at);
      EXPECT_EQ(from_rfc3339(to_rfc3339(value).value()).value(), value) << unit << ' ' << at;
    }
  }
}

TEST(Rfc3339, ReadsZonesAndShortFractions) {
  EXPECT_EQ(from_rfc3339("2026-03-01t14:30:00.5+02:30").value(),
            time(BP_TIME_MS, 1'772'366'400'500));
  EXPECT_EQ(from_rfc3339("2026-03-01 12:00:00z").value(), time(BP_TIME_S, 1'772'366'400));
}

TEST(Rfc3339, RefusesWhatIsNoTime) {
  for (const std::string_view text :
       {"", "2026", "2026-02-30T00:00:00Z", "2026-03-01T24:00:00Z", "2026-03-01T12:00:60Z",
        "2026-03-01T12:00:00", "2026-03-01T12:00:00.Z", "2026-03-01T12:00:00.1234567890Z",
        "2026-03-01T12:00:00+2:00", "2026-03-01T12:00:00+25:00", "2026/03/01T12:00:00Z",
        "+026-03-01T12:00:00Z", "2026-03-01T12:00:00ZZ"}) {
    EXPECT_EQ(from_rfc3339(text).status().code(), BP_INVALID_ARGUMENT) << text;
  }
  EXPECT_EQ(from_rfc3339("1600-01-01T00:00:00.000000001Z").status().code(), BP_OUT_OF_RANGE);
}

}  // namespace
}  // namespace backplane
