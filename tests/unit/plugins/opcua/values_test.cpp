// SPDX-License-Identifier: Apache-2.0
// Every built-in type, as a scalar, an array and a matrix, becomes a value and comes back as it
// was.
#include "samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

namespace backplane::opcua {
namespace {

using testing::HasSubstr;

TEST(OpcuaValues, EveryTypeInEveryShapeComesBackAsItWas) {
  unsigned pairs = 0;
  unsigned values = 0;
  for (UA_UInt16 type = 1; type <= kBuiltInTypes; ++type) {
    for (const Shape shape : {Shape::kScalar, Shape::kArray, Shape::kEmptyArray, Shape::kMatrix}) {
      if (type == kVariantType && shape == Shape::kScalar) {
        continue;  // a variant that holds one variant does not exist (part 6, 5.2.2.16)
      }
      pairs += shape != Shape::kEmptyArray ? 1 : 0;
      for (unsigned first = 0; first < (shape == Shape::kScalar ? kSamples : 1u); ++first) {
        const Variant before = sample(type, shape, first);
        const std::string wire = bytes_of(*before);
        StackArena arena;
        const OwnedMessage kept(to_value(arena, *before));
        const Variant after = to_variant(kept.body());
        EXPECT_EQ(bytes_of(*after), wire)
            << built_in_type(type).typeName << " as " << kept.body().to_text();
        ++values;
      }
    }
  }
  std::printf(
      "opcua: %u of 25 types x scalar, array, matrix (a single Variant in a Variant does "
      "not exist), %u values\n",
      pairs, values);
  EXPECT_EQ(pairs, 74u);
}

TEST(OpcuaValues, ANumberArrayIsPackedAndNotCopied) {
  const std::vector<double> numbers{1.5, -0.0, 3};
  UA_Variant variant;
  UA_Variant_init(&variant);
  UA_Variant_setArray(&variant, const_cast<double*>(numbers.data()), 3, &UA_TYPES[UA_TYPES_DOUBLE]);
  StackArena arena;
  const ValueView value = to_value(arena, variant);
  EXPECT_EQ(value.tag, BP_T_ARRAY);
  EXPECT_EQ(value.aux, BP_TYPE(BP_T_FLOAT, 64));
  EXPECT_EQ(value.as.p, numbers.data());
}

TEST(OpcuaValues, AStructureThatTheLibraryKnowsKeepsItsEncoding) {
  UA_Range range{1.0, 2.0};
  UA_Variant variant;
  UA_Variant_init(&variant);
  UA_Variant_setScalar(&variant, &range, &UA_TYPES[UA_TYPES_RANGE]);
  StackArena arena;
  const ValueView value = to_value(arena, variant);
  EXPECT_EQ(value.at(0).get<std::string>(), "opcua:i=886");
  EXPECT_EQ(value.at(1).aux, BP_FORMAT_UA_BINARY);
  EXPECT_EQ(bytes_of(*to_variant(value)), bytes_of(variant));
}

TEST(OpcuaValues, ADurationBecomesMilliseconds) {
  const Variant out = to_variant(ValueView(std::chrono::nanoseconds(1'500'000)));
  ASSERT_TRUE(UA_Variant_hasScalarType(out.get(), &UA_TYPES[UA_TYPES_DOUBLE]));
  EXPECT_EQ(*static_cast<double*>(out->data), 1.5);
}

TEST(OpcuaValues, AListOfDifferentTypesIsAnArrayOfVariants) {
  StackArena arena;
  const Variant out = to_variant(arena.list({1.5, "text"}));
  EXPECT_TRUE(UA_Variant_hasArrayType(out.get(), &UA_TYPES[UA_TYPES_VARIANT]));
}

TEST(OpcuaValues, WhatOpcUaCannotCarryIsRefusedWithItsType) {
  StackArena arena;
  const auto refusal = [](ValueView value) -> std::string {
    try {
      to_variant(value);
    } catch (const Error& error) {
      return std::string(error.status().message());
    }
    return "taken";
  };
  EXPECT_THAT(refusal(arena.map({{"a", 1}})), HasSubstr("no type for a value of type map"));
  EXPECT_THAT(refusal(ValueView::encoded({}, BP_FORMAT_JSON)), HasSubstr("plugin formats"));
  EXPECT_THAT(refusal(arena.list({1, 2}, BP_LIST_STRUCT)), HasSubstr("a structure needs its type"));
}

TEST(OpcuaValues, StatusAndTimesTravelWithTheValue) {
  StackArena arena;
  MessageBuilder in(1.5);
  in.time(Time(std::chrono::nanoseconds(1709164799123456700)));
  in.header(BP_H_STATUS, uint32_t{UA_STATUSCODE_UNCERTAIN});
  const DataValue value = to_data_value(in);
  EXPECT_TRUE(value->hasStatus && value->hasSourceTimestamp && !value->hasServerTimestamp);
  MessageBuilder out;
  fill_message(out, *value);
  EXPECT_EQ(out.view().time_ns, 1709164799123456700);
  EXPECT_EQ(MessageView(out).header<uint32_t>(BP_H_STATUS), UA_STATUSCODE_UNCERTAIN);
}

TEST(OpcuaValues, ATimeThatNanosecondsDoNotHoldHasAHeaderOfItsOwn) {
  DataValue value;
  value->hasSourceTimestamp = true;
  value->sourceTimestamp = 0;  // 1601
  MessageBuilder out;
  fill_message(out, *value);
  EXPECT_EQ(out.view().time_ns, BP_TIME_NONE);
  const DataValue back = to_data_value(out);
  EXPECT_TRUE(back->hasSourceTimestamp);
  EXPECT_EQ(back->sourceTimestamp, 0);
}

}  // namespace
}  // namespace backplane::opcua
