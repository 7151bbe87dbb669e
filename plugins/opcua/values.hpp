// SPDX-License-Identifier: Apache-2.0
// Values: OPC UA's types, scalar, array and matrix, as values of the ABI and back.
//
// Design notes. How a type is carried is in the README's table. What no tag expresses is TYPED,
// once around an array or matrix: its name is "opcua:" and the type's node id. Strings, bytes and
// numbers are borrowed from what they are made of, so nothing is copied here.
#pragma once

#include "native.hpp"
#include <backplane/sdk/message.hpp>

namespace backplane::opcua {

class DataTypes;
struct DataType;

/// What a value is to become: the type of a node, of an argument, of a field.
struct Wanted {
  UA_UInt16 built_in = 0;          // by the number of the standard; 0: what the value is by itself
  const DataType* type = nullptr;  // the enumeration or the structure, where it is known
};

/// By name or by node id: "Double", "i=11". Throws Error (INVALID_ARGUMENT) when it is none.
Wanted wanted_type(std::string_view name);

/// The value borrows from `variant` and `arena`. A structure that `types` does not know stays
/// encoded, and is noted there as missing. Throws Error.
ValueView to_value(Arena& arena, const UA_Variant& variant, DataTypes* types = nullptr);

/// Throws Error (INVALID_ARGUMENT) for what OPC UA has no type for, or what the wanted type does
/// not hold (convert.hpp says what is converted).
Variant to_variant(ValueView value, const Wanted& wanted = {}, DataTypes* types = nullptr);

/// Body, status and times into a message that borrows from `value`; `is_reversible`: the body is
/// all of it (reversible.hpp). Throws Error.
void fill_message(MessageDraft& message, const UA_DataValue& value, DataTypes* types = nullptr,
                  bool is_reversible = false);

/// What there is of a value that there is not.
inline UA_DataValue only_status(UA_StatusCode status) noexcept {
  UA_DataValue out;
  UA_DataValue_init(&out);
  out.hasStatus = true;
  out.status = status;
  return out;
}

/// A list with a record of each: value, status, source time, server time; null where there is none,
/// but a status there always is. It owns all that it points to. Throws Error.
OwnedMessage to_records(std::span<const UA_DataValue> values, DataTypes* types = nullptr);

/// Body, status and times of a message, whose headers native type and content type go before
/// `wanted`. Throws Error (INVALID_ARGUMENT).
DataValue to_data_value(MessageView message, const Wanted& wanted = {}, DataTypes* types = nullptr);

inline constexpr UA_UInt16 kBuiltInTypes = 25;
/// The index into UA_TYPES is one less than the number of the standard: Boolean is i=1.
inline const UA_DataType& built_in_type(UA_UInt16 id) noexcept { return UA_TYPES[id - 1]; }
/// "Double" of 11; "value" of 0.
std::string_view built_in_name(UA_UInt16 id) noexcept;

}  // namespace backplane::opcua
