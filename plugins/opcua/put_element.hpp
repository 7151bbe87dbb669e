// SPDX-License-Identifier: Apache-2.0
// One element of a built-in type from a value; what to_variant.cpp makes variants of.
#pragma once

#include "values.hpp"

namespace backplane::opcua {

inline constexpr UA_UInt16 kExtensionObject = 22;
inline constexpr UA_UInt16 kDataValue = 23;
inline constexpr UA_UInt16 kVariant = 24;

/// By name or by node id, "Double" or "i=11"; 0: no built-in type.
UA_UInt16 built_in_by_name(std::string_view name) noexcept;

/// Of a TYPED value "opcua:i=17" the id; empty: another mechanism's name.
std::string_view type_id(const ValueView& typed);

/// Puts one element into zeroed memory of the built-in type. Throws Error.
void put_element(void* to, UA_UInt16 type, const ValueView& value);

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  throw Error(BP_INVALID_ARGUMENT, parts...);
}

}  // namespace backplane::opcua
