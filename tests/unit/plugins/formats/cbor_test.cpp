// SPDX-License-Identifier: Apache-2.0
#include "plugins/formats/cbor.hpp"

#include "values.hpp"

#include <gmock/gmock.h>

namespace backplane::formats {
namespace {

using test::array, test::bytes, test::encoded, test::from_hex, test::integer, test::scalar,
    test::time, test::to_hex, test::two, test::with_aux;
using testing::HasSubstr;

Result<OwnedMessage> decode(std::string_view hex, const ParseLimits& limits = {}) {
  return from_cbor(*bytes(from_hex(hex)).payload(), limits);
}
Status error_of(std::string_view hex, const ParseLimits& limits = {}) {
  const auto result = decode(hex, limits);
  EXPECT_FALSE(result) << hex << " gave " << result->body().to_text();
  return result.status();
}

TEST(ToCbor, WritesEveryTagAsTheTableInTheReadmeSays) {
  StackArena arena;
  const struct {
    ValueView value;
    std::string_view hex;
    ValueView read;  // what comes back
  } rows[] = {
      {nullptr, "f6", nullptr},
      {scalar(BP_T_NULL, BP_TYPE(BP_T_INT, 16), 0), "f6", nullptr},
      {true, "f5", true},
      {false, "f4", false},
      {int8_t{-1}, "20", int64_t{-1}},
      {int64_t{1000}, "1903e8", int64_t{1000}},
      {INT64_MIN, "3b7fffffffffffffff", INT64_MIN},
      {INT64_MAX, "1b7fffffffffffffff", INT64_MAX},
      {UINT64_MAX, "1bffffffffffffffff", UINT64_MAX},
      {integer(BP_INT_ENUM, 3), "03", int64_t{3}},
      {std::chrono::nanoseconds(500), "1901f4", int64_t{500}},
      {scalar(BP_T_UINT, BP_UINT_STATUS, 1), "01", int64_t{1}},
      {1.1, "fb3ff199999999999a", 1.1},
      {1.5f, "fa3fc00000", 1.5f},
      {with_aux(1.1, 32), "fb3ff199999999999a", 1.1},
      {INFINITY, "fa7f800000", INFINITY},
      {std::nan(""), "fb7ff8000000000000", std::nan("")},
      {time(BP_TIME_S, -1), "c120", time(BP_TIME_S, -1)},
      {time(BP_TIME_S, INT64_MAX), "c11b7fffffffffffffff", time(BP_TIME_S, INT64_MAX)},
      {time(BP_TIME_MS, 0), "c07818313937302d30312d30315430303a30303a30302e3030305a",
       time(BP_TIME_MS, 0)},
      {"\xc3\xa9", "62c3a9", "\xc3\xa9"},
      {with_aux("/a", BP_STRING_OBJECT_PATH), "622f61", "/a"},
      {bytes("\x01\x02"), "420102", bytes("\x01\x02")},
      {bytes(""), "40", bytes("")},
      {with_aux(bytes("0123456789abcdef"), BP_BYTES_UUID), "d8255030313233343536373839616263646566",
       with_aux(bytes("0123456789abcdef"), BP_BYTES_UUID)},
      {arena.list({}), "80", arena.list({})},
      {arena.list({1, arena.list({"a"})}, BP_LIST_STRUCT), "8201816161",
       arena.list({int64_t{1}, arena.list({"a"})})},
      {arena.map({{-1, "n"}, {"v", 2}, {time(BP_TIME_S, 0), 3}, {bytes("k"), 4}}),
       "a420616e617602c10003416b04",
       arena.map({{int64_t{-1}, "n"},
                  {"v", int64_t{2}},
                  {time(BP_TIME_S, 0), int64_t{3}},
                  {bytes("k"), int64_t{4}}})},
      {array<int16_t>(arena, {1, -2}), "820121", arena.list({int64_t{1}, int64_t{-2}})},
      {two(arena, BP_T_MATRIX, array<uint32_t>(arena, {1, 2}), array<int16_t>(arena, {1, -2})),
       "d82882820102820121",
       two(arena, BP_T_MATRIX, array<uint32_t>(arena, {1, 2}),
           arena.list({int64_t{1}, int64_t{-2}}))},
      {two(arena, BP_T_TYPED, "dbus:i", int64_t{7}), "d81b8266646275733a6907",
       two(arena, BP_T_TYPED, "dbus:i", int64_t{7})},
      {two(arena, BP_T_TYPED, "cbor:32", "http://a"), "d82068687474703a2f2f61",
       two(arena, BP_T_TYPED, "cbor:32", "http://a")},
      {two(arena, BP_T_TYPED, "cbor:6", "a"), "c66161", two(arena, BP_T_TYPED, "cbor:6", "a")},
      {two(arena, BP_T_TYPED, "cbor:20", "a"), "d46161", two(arena, BP_T_TYPED, "cbor:20", "a")},
      {two(arena, BP_T_TYPED, "cbor:21", "a"), "d56161", two(arena, BP_T_TYPED, "cbor:21", "a")},
      {two(arena, BP_T_TYPED, "cbor:x", 1), "d81b826663626f723a7801",
       two(arena, BP_T_TYPED, "cbor:27", arena.list({"cbor:x", int64_t{1}}))},
      {arena.list({encoded(BP_FORMAT_CBOR, "\x01")}), "81d8184101",
       arena.list({encoded(BP_FORMAT_CBOR, "\x01")})},
      {encoded(BP_FORMAT_JSON, "[]"), "d90106425b5d", encoded(BP_FORMAT_JSON, "[]")},
      {encoded(BP_FORMAT_XML, "<a/>"), "443c612f3e", bytes("<a/>")},
  };
  for (const auto& row : rows) {
    if (row.value.tag == BP_T_FLOAT && std::isinf(row.value.as.f)) {
      EXPECT_EQ(to_hex(to_cbor(with_aux(row.value, 32))), row.hex);
      EXPECT_EQ(decode(row.hex)->body(), with_aux(row.read, 32));
      continue;
    }
    EXPECT_EQ(to_hex(to_cbor(row.value)), row.hex) << row.value.type_name() << ' ' << row.value.aux;
    const auto read = decode(row.hex);
    ASSERT_TRUE(read) << row.hex << ": " << read.status().to_string();
    EXPECT_EQ(read->body(), row.read) << row.hex << " gave " << read->body().to_text();
  }
}

TEST(ToCbor, PassesACborBodyOnAsItIs) {
  EXPECT_EQ(to_cbor(encoded(BP_FORMAT_CBOR, "\xff")), "\xff");
}

TEST(ToCbor, RefusesWhatCborCannotSay) {
  StackArena arena;
  const ValueView rows[] = {
      ValueView::reference(7),
      scalar(BP_T_FD, 0, 3),
      arena.map({{"a", 1}, {"a", 2}}),
      arena.map({{arena.list({1}), 1}}),
      test::nested(arena, kMaxDepth + 1),
  };
  for (const ValueView value : rows) {
    EXPECT_THROW(to_cbor(value), Error) << value.to_text();
  }
}

TEST(FromCbor, ReadsTheExamplesOfRfc8949) {
  StackArena arena;
  const struct {
    std::string_view hex;
    ValueView value;
  } rows[] = {
      {"1bffffffffffffffff", UINT64_MAX},
      {"f93c00", 1.0f},
      {"f97bff", 65504.0f},
      {"f90001", 0x1p-24f},
      {"f97e00", std::nanf("")},
      {"f9fc00", -INFINITY * 1.0f},
      {"fb7e37e43c8800759c", 1.0e+300},
      {"f7", nullptr},
      {"c074323031332d30332d32315432303a30343a30305a", time(BP_TIME_S, 1363896240)},
      {"c11a514b67b0", time(BP_TIME_S, 1363896240)},
      {"c1fb41d452d9ec200000", time(BP_TIME_US, 1363896240500000)},
      {"d818456449455446", encoded(BP_FORMAT_CBOR, "dIETF")},
      {"a201020304", arena.map({{int64_t{1}, int64_t{2}}, {int64_t{3}, int64_t{4}}})},
      {"5f42010243030405ff", bytes("\x01\x02\x03\x04\x05")},
      {"7f657374726561646d696e67ff", "streaming"},
      {"9fff", arena.list({})},
      {"9f018202039f0405ffff", arena.list({int64_t{1}, arena.list({int64_t{2}, int64_t{3}}),
                                           arena.list({int64_t{4}, int64_t{5}})})},
      {"bf61610161629f0203ffff",
       arena.map({{"a", int64_t{1}}, {"b", arena.list({int64_t{2}, int64_t{3}})}})},
      {"d9d9f700", int64_t{0}},
      {"c249010000000000000000",
       two(arena, BP_T_TYPED, "cbor:2", bytes(std::string_view("\1\0\0\0\0\0\0\0\0", 9)))},
  };
  for (const auto& row : rows) {
    const auto read = decode(row.hex);
    ASSERT_TRUE(read) << row.hex << ": " << read.status().to_string();
    EXPECT_EQ(read->body(), row.value) << row.hex << " gave " << read->body().to_text();
  }
}

TEST(FromCbor, ReadsTypedArraysOfBothByteOrders) {
  StackArena arena;
  EXPECT_EQ(decode("d8414400010203")->body(), array<uint16_t>(arena, {1, 0x0203}));
  EXPECT_EQ(decode("d8454401000302")->body(), array<uint16_t>(arena, {1, 0x0203}));
  EXPECT_EQ(decode("d852483ff199999999999a")->body(), array<double>(arena, {1.1}));
  EXPECT_THAT(std::string(error_of("d84143000102").message()), HasSubstr("no multiple of 2"));
}

TEST(FromCbor, SaysWhereAndWhat) {
  const struct {
    std::string_view hex;
    std::string_view message;
  } rows[] = {
      {"", "CBOR, offset 0: the input ends"},
      {"8201", "offset 0: an item that claims 2 others in 1 bytes"},
      {"830102", "claims 3 others"},
      {"820161", "offset 2: the input ends inside an item"},
      {"1a0000", "the input ends inside an item"},
      {"0001", "offset 1: 1 bytes after the value"},
      {"ff", "a break outside"},
      {"81ff", "a break outside"},
      {"1c", "reserved"},
      {"f818", "offset 0: "},
      {"61ff", "not UTF-8"},
      {"7f61c361a9ff", "not UTF-8"},
      {"7f4101ff", "something else than its chunks"},
      {"5f5fffff", "something else than its chunks"},
      {"a2616101616102", "the key \"a\" stands twice"},
      {"a201010102", "the key 1 stands twice"},
      {"a1800100", "a list as the key"},
      {"bf01ff", "a map ends after a key"},
      {"9bffffffffffffffff", "claims 18446744073709551614"},
      {"bbffffffffffffffff", "18446744073709551614 pairs"},
      {"bb800000000000000001", "9223372036854775808 pairs"},
      {"5bffffffffffffffff00", "the input ends inside an item"},
      {"c001", "tag 0 on a int"},
      {"c06161", "no time as in RFC 3339"},
      {"c1f97e00", "no time"},
      {"c16161", "no time"},
      {"d8254101", "not 16 bytes"},
      {"d82801", "dimensions"},
      {"d8288281028101", "dimensions"},
      {"d82882821b00000001000000001b000000010000000080", "dimensions"},
      {"c1", "claims 1 others in 0"},
  };
  for (const auto& row : rows) {
    const Status status = error_of(row.hex);
    EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT) << row.hex;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message)) << row.hex;
  }
}

TEST(FromCbor, RefusesIntegersOfMoreThan64Bits) {
  EXPECT_EQ(decode("3b7fffffffffffffff")->body(), ValueView(INT64_MIN));
  EXPECT_EQ(error_of("3b8000000000000000").code(), BP_OUT_OF_RANGE);
}

TEST(FromCbor, HoldsItsLimits) {
  EXPECT_TRUE(decode("820102", {3, 2, 3}));
  EXPECT_EQ(error_of("820102", {2, 2, 3}).code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(error_of("820102", {3, 1, 3}).code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(error_of("820102", {3, 2, 2}).code(), BP_RESOURCE_EXHAUSTED);
  for (const std::string_view opening : {"81", "9f", "a100", "c2", "d9d9f7"}) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i) {
      deep += opening;
    }
    EXPECT_EQ(error_of(deep).code(), BP_RESOURCE_EXHAUSTED) << opening;
  }
}

}  // namespace
}  // namespace backplane::formats
