// SPDX-License-Identifier: Apache-2.0
// Every built-in type, as a scalar, an array and a matrix, becomes a value and comes back as it
// was.
#include "values.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

namespace backplane::opcua {
namespace {

using testing::HasSubstr;

constexpr UA_UInt16 kVariantType = 24;

std::string bytes_of(const UA_Variant& variant) {
  UA_ByteString out = UA_BYTESTRING_NULL;
  EXPECT_EQ(UA_encodeBinary(&variant, &UA_TYPES[UA_TYPES_VARIANT], &out), UA_STATUSCODE_GOOD);
  std::string text(view(out));
  UA_ByteString_clear(&out);
  return text;
}

/// The n-th sample of a type, by the library's binary encoding: what another peer would send.
template <class T>
void set(void* to, const T& value) {
  *static_cast<T*>(to) = value;
}
void fill(void* to, UA_UInt16 type, unsigned n) {
  const auto text = [n](const char* head) { return allocated(concat(head, n)); };
  switch (type) {
    case 1:
      return set<UA_Boolean>(to, n % 2 == 0);
    case 2:
      return set<UA_SByte>(to, static_cast<UA_SByte>(-128 + static_cast<int>(n)));
    case 3:
      return set<UA_Byte>(to, static_cast<UA_Byte>(255 - n));
    case 4:
      return set<UA_Int16>(to, static_cast<UA_Int16>(-32768 + static_cast<int>(n)));
    case 5:
      return set<UA_UInt16>(to, static_cast<UA_UInt16>(65535 - n));
    case 6:
      return set<UA_Int32>(to, INT32_MIN + static_cast<int>(n));
    case 7:
      return set<UA_UInt32>(to, UINT32_MAX - n);
    case 8:
      return set<UA_Int64>(to, INT64_MIN + n);
    case 9:
      return set<UA_UInt64>(to, UINT64_MAX - n);
    case 10:
      return set<UA_Float>(to, n == 0 ? -0.0f : 1.5f * static_cast<float>(n));
    case 11:
      return set<UA_Double>(to, n == 0 ? -0.0 : 1e300 / n);
    case 12:
    case 15:
    case 16:
      // The first is null, the second empty.
      return set<UA_String>(to, n == 0 ? UA_STRING_NULL : n == 1 ? allocated("") : text("text "));
    case 13:
      return set<UA_DateTime>(to, n == 0 ? 0 : n == 1 ? INT64_MAX : UA_DATETIME_UNIX_EPOCH + n);
    case 14:
      return set<UA_Guid>(to, {0x01020304u + n, 0x0506, 0x0708, {9, 10, 11, 12, 13, 14, 15, 16}});
    case 17: {
      UA_NodeId id = UA_NODEID_NUMERIC(3, n);
      if (n == 1) id = UA_NODEID_STRING_ALLOC(2, "Line1.Temperature");
      return set(to, id);
    }
    case 18: {
      UA_ExpandedNodeId id = UA_EXPANDEDNODEID_NUMERIC(3, n);
      if (n == 1) id.namespaceUri = allocated("urn:plant"), id.nodeId.namespaceIndex = 0;
      if (n == 2) id.serverIndex = 7;
      return set(to, id);
    }
    case 19:
      return set<UA_StatusCode>(to, n == 0 ? UA_STATUSCODE_GOOD : UA_STATUSCODE_BADTYPEMISMATCH);
    case 20:
      return set<UA_QualifiedName>(to, {static_cast<UA_UInt16>(n), text("name ")});
    case 21:
      return set<UA_LocalizedText>(to, {n == 0 ? UA_STRING_NULL : allocated("en"), text("text ")});
    case 22: {
      UA_ExtensionObject object;
      UA_ExtensionObject_init(&object);
      if (n != 0) {
        object.encoding = UA_EXTENSIONOBJECT_ENCODED_BYTESTRING;
        object.content.encoded.body = text("unknown ");
      }
      object.content.encoded.typeId = UA_NODEID_NUMERIC(4, 5000 + n);
      return set(to, object);
    }
    case 23: {
      UA_DataValue value;
      UA_DataValue_init(&value);
      const UA_Double number = n;
      UA_Variant_setScalarCopy(&value.value, &number, &UA_TYPES[UA_TYPES_DOUBLE]);
      value.hasValue = true;
      value.hasStatus = n > 0;
      value.status = UA_STATUSCODE_UNCERTAIN;
      value.hasSourceTimestamp = value.hasServerTimestamp = n > 1;
      value.sourceTimestamp = UA_DATETIME_UNIX_EPOCH + n;
      value.serverTimestamp = UA_DATETIME_UNIX_EPOCH - n;
      value.hasSourcePicoseconds = value.hasServerPicoseconds = n > 2;
      value.sourcePicoseconds = 9999;
      return set(to, value);
    }
    case kVariantType: {
      UA_Variant value;
      UA_Variant_init(&value);
      const UA_String content = borrowed("inside");
      if (n == 1) UA_Variant_setScalarCopy(&value, &n, &UA_TYPES[UA_TYPES_UINT32]);
      if (n == 2) UA_Variant_setArrayCopy(&value, &content, 1, &UA_TYPES[UA_TYPES_STRING]);
      if (n == 3) UA_Variant_setScalarCopy(&value, &content, &UA_TYPES[UA_TYPES_STRING]);
      return set(to, value);
    }
    default: {
      UA_DiagnosticInfo info;
      UA_DiagnosticInfo_init(&info);
      info.hasAdditionalInfo = true;
      info.additionalInfo = text("info ");
      return set(to, info);
    }
  }
}

enum class Shape { kScalar, kArray, kEmptyArray, kMatrix };

Variant sample(UA_UInt16 type, Shape shape, unsigned first) {
  const UA_DataType& native = built_in_type(type);
  const size_t n = shape == Shape::kScalar ? 1 : shape == Shape::kEmptyArray ? 0 : 6;
  Variant out;
  out->type = &native;
  out->data = UA_Array_new(n, &native);
  out->arrayLength = shape == Shape::kScalar ? 0 : n;
  for (size_t i = 0; i < n; ++i) {
    fill(static_cast<std::byte*>(out->data) + i * native.memSize, type,
         first + static_cast<unsigned>(i));
  }
  if (shape == Shape::kMatrix) {
    out->arrayDimensions = static_cast<UA_UInt32*>(UA_Array_new(2, &UA_TYPES[UA_TYPES_UINT32]));
    out->arrayDimensions[0] = 2;
    out->arrayDimensions[1] = 3;
    out->arrayDimensionsSize = 2;
  }
  return out;
}

TEST(OpcuaValues, EveryTypeInEveryShapeComesBackAsItWas) {
  unsigned pairs = 0;
  unsigned values = 0;
  for (UA_UInt16 type = 1; type <= kBuiltInTypes; ++type) {
    for (const Shape shape : {Shape::kScalar, Shape::kArray, Shape::kEmptyArray, Shape::kMatrix}) {
      if (type == kVariantType && shape == Shape::kScalar) {
        continue;  // a variant that holds one variant does not exist (part 6, 5.2.2.16)
      }
      pairs += shape != Shape::kEmptyArray ? 1 : 0;
      for (unsigned first = 0; first < (shape == Shape::kScalar ? 4u : 1u); ++first) {
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

TEST(OpcuaValues, ANumberBecomesTheTypeThatIsNamed) {
  const Variant out = to_variant(int64_t{20}, "Double");
  ASSERT_TRUE(UA_Variant_hasScalarType(out.get(), &UA_TYPES[UA_TYPES_DOUBLE]));
  EXPECT_EQ(*static_cast<double*>(out->data), 20.0);
  EXPECT_THROW(to_variant(300, "Byte"), Error);
  EXPECT_THROW(to_variant(1, "Number"), Error);
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
