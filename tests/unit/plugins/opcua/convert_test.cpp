// SPDX-License-Identifier: Apache-2.0
// A value becomes the type that a node has, where nothing is lost.
#include "convert.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backplane::opcua {
namespace {

using testing::HasSubstr;

enum : UA_UInt16 { kByte = 3, kInt16 = 4, kInt32 = 6, kUInt64 = 9, kFloat = 10, kDouble = 11 };

template <class T>
T one(const ValueView& value, std::string_view type) {
  const Variant out = to_variant(value, wanted_type(type));
  EXPECT_TRUE(UA_Variant_isScalar(out.get()));
  return *static_cast<const T*>(out->data);
}
std::string refusal(const ValueView& value, UA_UInt16 type) {
  const auto out = convert(value, type);
  EXPECT_FALSE(out) << value.to_text();
  EXPECT_EQ(out.status().code(), BP_INVALID_ARGUMENT);
  return std::string(out.status().message());
}

TEST(OpcuaConvert, ANumberBecomesTheTypeOfTheNode) {
  EXPECT_EQ(one<double>(int64_t{42}, "Double"), 42.0);
  EXPECT_EQ(one<int16_t>(int64_t{42}, "Int16"), 42);
  EXPECT_EQ(one<int32_t>(42.0, "Int32"), 42);
  EXPECT_EQ(one<uint64_t>(int64_t{42}, "UInt64"), 42u);
  EXPECT_EQ(one<float>(0.1, "Float"), 0.1f);
  EXPECT_EQ(one<UA_StatusCode>(int64_t{0x80740000}, "StatusCode"), UA_STATUSCODE_BADTYPEMISMATCH);
}

TEST(OpcuaConvert, ANumberThatWouldBecomeAnotherIsRefusedWithItsTypeAndValue) {
  EXPECT_THAT(refusal(1.5, kInt32), HasSubstr("1.5 is no Int32"));
  EXPECT_THAT(refusal(300, kByte), HasSubstr("300 is no Byte"));
  EXPECT_THAT(refusal(-1, kUInt64), HasSubstr("-1 is no UInt64"));
  refusal((int64_t{1} << 53) + 1, kDouble);
  refusal((1 << 24) + 1, kFloat);
  refusal(1e300, kFloat);
  refusal("warm", kDouble);
  refusal(true, kInt32);
}

TEST(OpcuaConvert, ArraysAndListsOfNumbersAreConvertedOneByOne) {
  StackArena arena;
  const std::vector<int64_t> numbers{1, 2, 3};
  for (const ValueView& value :
       {ValueView::array(std::span<const int64_t>(numbers)), arena.list({1, 2.0, uint8_t{3}})}) {
    const auto out = convert(value, kInt16);
    ASSERT_TRUE(out) << out.status().to_string();
    ASSERT_TRUE(UA_Variant_hasArrayType(out->get(), &UA_TYPES[UA_TYPES_INT16]));
    EXPECT_EQ((*out)->arrayLength, 3u);
    EXPECT_EQ(static_cast<int16_t*>((*out)->data)[2], 3);
  }
  const auto empty = convert(arena.list({}), kInt16);
  EXPECT_TRUE(UA_Variant_hasArrayType(empty->get(), &UA_TYPES[UA_TYPES_INT16]));
}

TEST(OpcuaConvert, ListsInAListAreAMatrix) {
  StackArena arena;
  const auto out = convert(arena.list({arena.list({1, 2, 3}), arena.list({4, 5, 6})}), kDouble);
  ASSERT_TRUE(out) << out.status().to_string();
  ASSERT_EQ((*out)->arrayDimensionsSize, 2u);
  EXPECT_EQ((*out)->arrayDimensions[0], 2u);
  EXPECT_EQ((*out)->arrayDimensions[1], 3u);
  EXPECT_EQ(static_cast<double*>((*out)->data)[5], 6.0);
  EXPECT_THAT(refusal(arena.list({arena.list({1, 2}), arena.list({3})}), kDouble),
              HasSubstr("equally long"));
  EXPECT_THAT(refusal(arena.list({arena.list({1}), 2}), kDouble), HasSubstr("equally deep"));
}

TEST(OpcuaConvert, TextBecomesWhatItSays) {
  EXPECT_EQ(one<UA_DateTime>("1970-01-01T00:00:01Z", "DateTime"),
            UA_DATETIME_UNIX_EPOCH + UA_DATETIME_SEC);
  EXPECT_EQ(one<UA_Guid>("01020304-0506-0708-090a-0b0c0d0e0f10", "Guid").data1, 0x01020304u);
  EXPECT_EQ(one<UA_NodeId>("i=85", "NodeId").identifier.numeric, 85u);
  EXPECT_TRUE(std::isnan(one<double>("NaN", "Double")));
  EXPECT_EQ(one<float>("-Infinity", "Float"), -std::numeric_limits<float>::infinity());
  const Variant text = to_variant("Pump", wanted_type("LocalizedText"));
  EXPECT_EQ(view(static_cast<UA_LocalizedText*>(text->data)->text), "Pump");
  const Variant name = to_variant("2:Pump", wanted_type("QualifiedName"));
  EXPECT_EQ(static_cast<UA_QualifiedName*>(name->data)->namespaceIndex, 2);
  refusal("soon", 13);
  refusal("x", 14);
}

TEST(OpcuaConvert, NullIsNoValueButOfText) {
  EXPECT_EQ((*convert(nullptr, kDouble))->type, nullptr);
  const auto text = convert(nullptr, 12);
  ASSERT_TRUE(UA_Variant_hasScalarType(text->get(), &UA_TYPES[UA_TYPES_STRING]));
}

TEST(OpcuaConvert, ANodeThatTakesAnythingTakesTheValueAsItIs) {
  const auto out = convert(int8_t{1}, 24);
  EXPECT_TRUE(UA_Variant_hasScalarType(out->get(), &UA_TYPES[UA_TYPES_SBYTE]));
}

TEST(OpcuaConvert, ATypeThatThereIsNotIsNamed) {
  EXPECT_EQ(wanted_type("i=11").built_in, kDouble);
  EXPECT_THROW(wanted_type("Number"), Error);
}

}  // namespace
}  // namespace backplane::opcua
