// SPDX-License-Identifier: Apache-2.0
// The CBOR tags that have a meaning as values, by the names of the IANA registry "CBOR Tags".
#pragma once

#include <backplane/value.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace backplane::formats {

inline constexpr uint64_t kTagDateTime = 0;       // text, RFC 3339
inline constexpr uint64_t kTagEpochTime = 1;      // a number of seconds
inline constexpr uint64_t kTagEncodedCbor = 24;   // bytes
inline constexpr uint64_t kTagTypedObject = 27;   // [type name, value]
inline constexpr uint64_t kTagUuid = 37;          // 16 bytes
inline constexpr uint64_t kTagMatrix = 40;        // RFC 8746: [dimensions, elements], row-major
inline constexpr uint64_t kTagEncodedJson = 262;  // bytes
inline constexpr uint64_t kTagSelfDescribed = 55799;

/// The type name of a tag that has no meaning here: "cbor:32".
inline constexpr std::string_view kTagTypePrefix = "cbor:";

/// A typed array of RFC 8746: bytes that hold packed numbers.
struct TypedArray {
  uint64_t tag;
  uint16_t element;  // BP_TYPE
  uint8_t size;
  bool big_endian;
};
inline constexpr std::array<TypedArray, 18> kTypedArrays = {{
    {64, BP_TYPE(BP_T_UINT, 8), 1, false},
    {65, BP_TYPE(BP_T_UINT, 16), 2, true},
    {66, BP_TYPE(BP_T_UINT, 32), 4, true},
    {67, BP_TYPE(BP_T_UINT, 64), 8, true},
    {69, BP_TYPE(BP_T_UINT, 16), 2, false},
    {70, BP_TYPE(BP_T_UINT, 32), 4, false},
    {71, BP_TYPE(BP_T_UINT, 64), 8, false},
    {72, BP_TYPE(BP_T_INT, 8), 1, false},
    {73, BP_TYPE(BP_T_INT, 16), 2, true},
    {74, BP_TYPE(BP_T_INT, 32), 4, true},
    {75, BP_TYPE(BP_T_INT, 64), 8, true},
    {77, BP_TYPE(BP_T_INT, 16), 2, false},
    {78, BP_TYPE(BP_T_INT, 32), 4, false},
    {79, BP_TYPE(BP_T_INT, 64), 8, false},
    {81, BP_TYPE(BP_T_FLOAT, 32), 4, true},
    {82, BP_TYPE(BP_T_FLOAT, 64), 8, true},
    {85, BP_TYPE(BP_T_FLOAT, 32), 4, false},
    {86, BP_TYPE(BP_T_FLOAT, 64), 8, false},
}};

}  // namespace backplane::formats
