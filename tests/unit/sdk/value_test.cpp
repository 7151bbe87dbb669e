// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/value.hpp"

#include "backplane/sdk/arena.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

TEST(AValue, KnowsWhatItWasMadeFrom) {
  EXPECT_EQ(ValueView(true).tag, BP_T_BOOL);
  EXPECT_EQ(ValueView(int16_t{-5}).aux, 16);
  EXPECT_EQ(ValueView(5u).tag, BP_T_UINT);
  EXPECT_EQ(ValueView(1.5f).aux, 32);
  EXPECT_EQ(ValueView("text").len, 4u);
  EXPECT_EQ(ValueView(std::chrono::seconds(2)).as.i, 2'000'000'000);
  EXPECT_TRUE(ValueView().is_null());
}

TEST(AValue, ConvertsNumbersThatFit) {
  EXPECT_EQ(ValueView(42).get<double>(), 42.0);
  EXPECT_EQ(ValueView(42.0).get<int>(), 42);
  EXPECT_EQ(ValueView(uint64_t{200}).get<uint8_t>(), 200);
  EXPECT_EQ(ValueView(0.1).get<float>(), 0.1f);
  EXPECT_EQ(ValueView(0x1p63).get<uint64_t>(), uint64_t{1} << 63);
}

TEST(AValue, RefusesNumbersThatDoNotFit) {
  EXPECT_FALSE(ValueView(256).get<uint8_t>());
  EXPECT_FALSE(ValueView(-1).get<unsigned>());
  EXPECT_FALSE(ValueView(UINT64_MAX).get<int64_t>());
  EXPECT_FALSE(ValueView(1.5).get<int>());
  EXPECT_FALSE(ValueView(1e300).get<int64_t>());
  EXPECT_FALSE(ValueView(0x1p64).get<uint64_t>());
  EXPECT_FALSE(ValueView(std::nan("")).get<int>());
  EXPECT_FALSE(ValueView(1e300).get<float>());
  EXPECT_FALSE(ValueView(INT64_MAX).get<double>()) << "would be another number";
  EXPECT_FALSE(ValueView(UINT64_MAX).get<double>());
  EXPECT_FALSE(ValueView(true).get<int>());
  EXPECT_FALSE(ValueView(1).get<bool>());
  EXPECT_FALSE(ValueView("5").get<int>());
}

TEST(AValue, SaysWhatThereWasInstead) {
  EXPECT_EQ(ValueView("abc").as_result<double>().status().message(),
            "expected a float of 64 bits, got string");
  EXPECT_EQ(ValueView(300).as_result<uint8_t>().status().message(),
            "expected a uint of 8 bits, got int 300");
  const std::string_view text = "5";
  EXPECT_EQ(ValueView::encoded(std::as_bytes(std::span(text)), BP_FORMAT_JSON)
                .as_result<int>()
                .status()
                .message(),
            "expected an int of 32 bits, got encoded JSON, which a codec makes a value of");
}

TEST(AValue, ConvertsTimesOfAllUnitsWithoutOverflow) {
  bp_value seconds = ValueView(int64_t{5});
  seconds.tag = BP_T_TIME;
  seconds.aux = BP_TIME_S;
  EXPECT_EQ(ValueView(seconds).get<Time>()->time_since_epoch(), std::chrono::seconds(5));
  seconds.as.i = INT64_MAX;
  EXPECT_FALSE(ValueView(seconds).get<Time>());
  seconds.aux = 77;
  EXPECT_FALSE(ValueView(seconds).get<Time>());
}

TEST(AValue, GivesThePayloadOfTextBytesAndEncoded) {
  const std::byte bytes[] = {std::byte{1}, std::byte{2}};
  EXPECT_EQ(ValueView("abc").payload()->size(), 3u);
  EXPECT_EQ(ValueView(std::span<const std::byte>(bytes)).payload()->size(), 2u);
  EXPECT_EQ(ValueView::encoded(bytes, BP_FORMAT_JSON).payload()->size(), 2u);
  EXPECT_FALSE(ValueView(5).payload());
}

TEST(AList, IsIteratedAndConverted) {
  StackArena<> arena;
  const ValueView sut = arena.list({1, 2.0, 3u});
  std::vector<int> seen;
  for (const ValueView item : sut.items()) seen.push_back(item.get<int>().value());
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(sut.get<std::vector<double>>(), (std::vector<double>{1, 2, 3}));
  EXPECT_FALSE(arena.list({1, "x"}).get<std::vector<int>>());
}

template <class T>
void check_array(std::vector<T> numbers) {
  const ValueView sut = ValueView::array(std::span<const T>(numbers));
  EXPECT_EQ(sut.get<std::vector<T>>(), numbers);
  EXPECT_EQ(sut.at(1).aux, sizeof(T) * 8);
}

TEST(AnArray, GivesItsElementsWithTheirType) {
  check_array<int8_t>({-1, 127});
  check_array<uint8_t>({1, 255});
  check_array<int16_t>({-300, 300});
  check_array<uint16_t>({0, 65535});
  check_array<int32_t>({-70000, 70000});
  check_array<uint32_t>({0, UINT32_MAX});
  check_array<int64_t>({INT64_MIN, INT64_MAX});
  check_array<uint64_t>({0, UINT64_MAX});
  check_array<float>({0.5f, -2.f});
  check_array<double>({0.1, -1e300});
}

TEST(AnArray, OfBooleansEnumsAndStatusesHasTheSizesOfTheAbi) {
  const auto array = [](const auto& numbers, uint16_t type) {
    ValueView out = ValueView::bytes(numbers.data(), 2);
    out.tag = BP_T_ARRAY;
    out.aux = type;
    return out;
  };
  const std::array<uint8_t, 2> bytes = {0, 1};
  const ValueView bools = array(bytes, BP_TYPE(BP_T_BOOL, 0));
  EXPECT_EQ(bools.get<std::vector<bool>>(), (std::vector<bool>{false, true}));
  const std::array<int32_t, 2> numbers = {-7, 9};
  const ValueView enums = array(numbers, BP_TYPE(BP_T_INT, BP_INT_ENUM));
  EXPECT_EQ(enums.get<std::vector<int>>(), (std::vector<int>{-7, 9}));
  const std::array<uint32_t, 2> codes = {0x80340000, 9};
  const ValueView statuses = array(codes, BP_TYPE(BP_T_UINT, BP_UINT_STATUS));
  EXPECT_EQ(statuses.get<std::vector<uint32_t>>(), (std::vector<uint32_t>{0x80340000, 9}));
  const std::array<int64_t, 2> times = {INT64_MIN, 1};
  const ValueView durations = array(times, BP_TYPE(BP_T_INT, BP_INT_DURATION_NS));
  EXPECT_EQ(durations.at(1).as.i, 1);
}

TEST(AMap, IsSearchedByTextAndByNumberOfAnyWidth) {
  StackArena<> arena;
  const ValueView sut = arena.map({{"name", "x"}, {uint8_t{3}, 4}});
  EXPECT_EQ(sut.find("name")->get<std::string_view>(), "x");
  EXPECT_EQ(sut.find(3u)->get<int>(), 4);
  EXPECT_FALSE(sut.find("none"));
  EXPECT_FALSE(ValueView(5).find("name"));
  for (const auto& [key, value] : sut.entries()) EXPECT_FALSE(key.is_null() || value.is_null());
}

TEST(Values, AreEqualInShapeTypeAndContent) {
  StackArena<> arena;
  const auto tree = [&](int leaf) {
    return arena.map({{"a", arena.list({1, leaf})}, {"b", "text"}});
  };
  EXPECT_EQ(tree(2), tree(2));
  EXPECT_NE(tree(2), tree(3));
  EXPECT_NE(ValueView(1), ValueView(1u));
  EXPECT_NE(ValueView(int16_t{1}), ValueView(int32_t{1}));
  EXPECT_EQ(ValueView(std::nan("")), ValueView(std::nan("")));
  EXPECT_EQ(ValueView(""), ValueView(std::string_view()));
}

TEST(AnArena, CopiesWholeTreesIntoItsMemory) {
  StackArena<64> arena;  // the rest comes from the heap
  ValueView copy;
  {
    StackArena<> other;
    const std::string text(100, 'x');
    const double numbers[] = {1, 2};
    copy = arena.copy(other.map({{"text", text},
                                 {"list", other.list({true, other.map({{1u, "deep"}})})},
                                 {"array", ValueView::array(std::span<const double>(numbers))}}));
  }
  EXPECT_EQ(copy.find("text")->get<std::string>(), std::string(100, 'x'));
  EXPECT_EQ(copy.find("list")->at(1).find(1u)->get<std::string_view>(), "deep");
  EXPECT_EQ(copy.find("array")->get<std::vector<double>>(), (std::vector<double>{1, 2}));
}

TEST(AnArena, RefusesATreeThatIsTooDeep) {
  StackArena<> arena;
  ValueView tree(1);
  for (unsigned i = 0; i < 100; ++i) tree = arena.list({tree});
  EXPECT_THROW(arena.copy(tree), Error);
  EXPECT_FALSE(tree == tree);
  EXPECT_NE(tree.to_text(10'000).find("..."), std::string::npos);
}

TEST(Builders, GrowAndKeepTheirViews) {
  StackArena<32> arena;
  ListBuilder list(arena);
  for (int i = 0; i < 100; ++i) list.add(i);
  const ValueView view = list.view();
  list.add(100);
  EXPECT_EQ(view.size(), 100u);
  EXPECT_EQ(view.at(99).get<int>(), 99);
  MapBuilder map(arena);
  EXPECT_EQ(map.add("k", view).view().find("k")->size(), 100u);
}

TEST(AValuesText, LooksLikeJsonAndIsBounded) {
  StackArena<> arena;
  EXPECT_EQ(arena.map({{"a", arena.list({1, 2.5, true, nullptr})}, {"b", "x"}}).to_text(),
            R"({"a":[1,2.5,true,null],"b":"x"})");
  EXPECT_EQ(ValueView::bytes("abc", 3).to_text(), "<bytes 3 bytes>");
  const std::string text(1000, 'x');
  EXPECT_LT(ValueView(text).to_text(20).size(), 40u);
}

}  // namespace
}  // namespace backplane
