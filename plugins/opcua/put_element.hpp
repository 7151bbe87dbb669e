// SPDX-License-Identifier: Apache-2.0
// One element of a built-in type from a value; what to_variant.cpp makes variants of.
#pragma once

#include "values.hpp"

namespace backplane::opcua {

inline constexpr UA_UInt16 kInt32 = 6;
inline constexpr UA_UInt16 kExtensionObject = 22;
inline constexpr UA_UInt16 kDataValue = 23;
inline constexpr UA_UInt16 kVariant = 24;

/// By name or by node id, "Double" or "i=11"; 0: no built-in type.
UA_UInt16 built_in_by_name(std::string_view name) noexcept;

/// Of a TYPED value "opcua:i=17" the id; empty: another mechanism's name.
std::string_view type_id(const ValueView& typed);

/// What the value is by itself; 0: no value. Throws Error for what OPC UA has no type for.
UA_UInt16 type_of(const ValueView& value);

/// Puts one element into zeroed memory of the built-in type, which the caller clears, also when
/// this throws Error. `wanted.built_in` is not 0.
void put_element(void* to, const Wanted& wanted, const ValueView& value, DataTypes* types);

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  throw Error(BP_INVALID_ARGUMENT, parts...);
}

}  // namespace backplane::opcua
