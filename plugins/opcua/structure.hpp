// SPDX-License-Identifier: Apache-2.0
// A structure's body in the binary encoding (OPC UA part 6, 5.2.6 to 5.2.9), by what its data type
// is: to a map of its fields by name, and back.
//
// Design notes.
// - Built-in types are the library's: a field is made a Variant's bytes, or taken from them. Only
//   where a field ends is found here.
// - What is decoded is not trusted: every count is compared with the bytes that are left, depth is
//   bounded, no field is without a byte, and a body of another length than its type's is refused.
#pragma once

#include "data_types.hpp"
#include "values.hpp"

#include <optional>

namespace backplane::opcua {

/// A map; nothing when the bytes are no such structure. Borrows from `body` and `arena`.
std::optional<ValueView> decode_structure(Arena& arena, const DataType& type, std::string_view body,
                                          DataTypes& types);

/// Throws Error (INVALID_ARGUMENT) that names the field which is absent, unknown or of another
/// type.
std::string encode_structure(const DataType& type, const ValueView& fields, DataTypes* types);

}  // namespace backplane::opcua
