// SPDX-License-Identifier: Apache-2.0
// The reversible JSON encoding (OPC UA part 6, 5.4) of a value with status and times, as a map:
// what any codec of maps makes JSON or CBOR of, and reads again. Keys and content are the
// standard's:
//
//     {"Value": {"Type": 11, "Body": 20.5}, "SourceTimestamp": "2026-03-01T12:00:00.25Z"}
//
// Design notes.
// - Numbers of 64 bits and times are text, as the standard has them. Byte strings and Guids are
//   bytes: a codec of JSON writes them as base64 and as text, one of CBOR as they are; either is
//   read.
// - What is read is made typed values, which to_variant() takes: nothing is guessed.
// - The library's own JSON is not used: it has no unions and no optional fields, writes the bytes
// of
//   an unknown structure as text, and calls Dimensions otherwise than the standard.
#pragma once

#include "values.hpp"

namespace backplane::opcua {

/// The media type that asks for it, and says that a body is it.
inline constexpr std::string_view kReversible = "application/opcua+uajson";

inline bool is_reversible(MessageView message) noexcept {
  return message.header<std::string_view>(BP_H_CONTENT_TYPE) == kReversible;
}

/// A DataValue. The map borrows from `value` and `arena`. Throws Error.
ValueView to_reversible(Arena& arena, const UA_DataValue& value, DataTypes* types);

/// Throws Error (INVALID_ARGUMENT) that says what is wrong, and where.
DataValue from_reversible(const ValueView& map, DataTypes* types);

}  // namespace backplane::opcua
