// SPDX-License-Identifier: Apache-2.0
// Values: OPC UA's built-in types, scalar, array and matrix, as values of the ABI and back.
//
// Design notes. How a type is carried is in the README's table. What no tag expresses is TYPED,
// once around an array or matrix: its name is "opcua:" and the type's node id. Strings, bytes and
// numbers are borrowed from what they are made of, so nothing is copied here.
#pragma once

#include "native.hpp"
#include <backplane/sdk/message.hpp>

namespace backplane::opcua {

/// The value borrows from `variant` and `arena`. Throws Error.
ValueView to_value(Arena& arena, const UA_Variant& variant);

/// Throws Error (INVALID_ARGUMENT) for what OPC UA has no type for. `type`, such as "Double" or
/// "i=11": the built-in type that a number shall become; empty: its own.
Variant to_variant(ValueView value, std::string_view type = {});

/// Body, status and times into a message that borrows from `value`. Throws Error.
void fill_message(MessageBuilder& message, const UA_DataValue& value);

/// Body, status and times of a message. Throws Error (INVALID_ARGUMENT).
DataValue to_data_value(MessageView message);

inline constexpr UA_UInt16 kBuiltInTypes = 25;
/// The index into UA_TYPES is one less than the number of the standard: Boolean is i=1.
inline const UA_DataType& built_in_type(UA_UInt16 id) noexcept { return UA_TYPES[id - 1]; }

}  // namespace backplane::opcua
