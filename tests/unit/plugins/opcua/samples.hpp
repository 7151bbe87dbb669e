// SPDX-License-Identifier: Apache-2.0
// Values of every built-in type in every shape, extremes among them.
#pragma once

#include "values.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace backplane::opcua {

inline constexpr UA_UInt16 kVariantType = 24;
inline constexpr unsigned kSamples = 6;  // of a scalar

inline std::string bytes_of(const UA_Variant& variant) {
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
template <class T>
void set_integer(void* to, unsigned n) {
  using Limits = std::numeric_limits<T>;
  set<T>(to, static_cast<T>(n % 2 == 0 ? Limits::min() + static_cast<T>(n)
                                       : Limits::max() - static_cast<T>(n - 1)));
}
template <class T>
void set_real(void* to, unsigned n) {
  using Limits = std::numeric_limits<T>;
  const T kNumbers[] = {T(-0.0),       Limits::quiet_NaN(),  -Limits::infinity(),
                        Limits::max(), Limits::denorm_min(), T(0.1)};
  set<T>(to, kNumbers[n % std::size(kNumbers)]);
}
inline void fill(void* to, UA_UInt16 type, unsigned n) {
  const auto text = [n](const char* head) { return allocated(concat(head, n)); };
  switch (type) {
    case 1:
      return set<UA_Boolean>(to, n % 2 == 0);
    case 2:
      return set_integer<UA_SByte>(to, n);
    case 3:
      return set_integer<UA_Byte>(to, n);
    case 4:
      return set_integer<UA_Int16>(to, n);
    case 5:
      return set_integer<UA_UInt16>(to, n);
    case 6:
      return set_integer<UA_Int32>(to, n);
    case 7:
      return set_integer<UA_UInt32>(to, n);
    case 8:
      return set_integer<UA_Int64>(to, n);
    case 9:
      return set_integer<UA_UInt64>(to, n);
    case 10:
      return set_real<UA_Float>(to, n);
    case 11:
      return set_real<UA_Double>(to, n);
    case 12:
    case 15:
    case 16:
      // The first is null, the second empty.
      return set<UA_String>(to, n == 0   ? UA_STRING_NULL
                                : n == 1 ? allocated("")
                                : n == 3 ? allocated("\"\\\n\x7f \xc3\xa9")
                                         : text("text "));
    case 13: {
      // The first and the last that there are, the year 1, the end of the year 9999.
      constexpr UA_DateTime kTimes[] = {0,
                                        INT64_MAX,
                                        UA_DATETIME_UNIX_EPOCH + 1,
                                        UA_DATETIME_UNIX_EPOCH - 1,
                                        1 - 504911232000000000,
                                        2650467743989999999};
      return set<UA_DateTime>(to, kTimes[n % std::size(kTimes)]);
    }
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

inline Variant sample(UA_UInt16 type, Shape shape, unsigned first) {
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

}  // namespace backplane::opcua
