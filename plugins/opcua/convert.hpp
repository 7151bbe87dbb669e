// SPDX-License-Identifier: Apache-2.0
// A value as a node of a type takes it, where nothing is lost. What comes from JSON, or from a
// mechanism with fewer types, is INT 64, FLOAT 64 or text: this makes it what the node has.
//
// | value | becomes |
// |---|---|
// | any number | any number that is the same: 42 an Int16 or a Double, 42.0 an Int32, 7 a
// StatusCode;
//   not 1.5 an Int32, 300 a Byte, 2^53 + 1 a Double. A Float takes the nearest of a double |
// | duration | Double, in milliseconds |
// | text | String, XmlElement, ByteString as it is; DateTime (RFC 3339), Guid, NodeId,
//   ExpandedNodeId, QualifiedName ("1:Name"), LocalizedText (without locale) as they are written;
//   Int64 and UInt64 of digits; Float and Double of "NaN", "Infinity", "-Infinity" |
// | time of any unit | DateTime, in 100 ns |
// | list, array, matrix | element by element; a list of equally long lists is a matrix |
// | null | a null String, ByteString, XmlElement; of other types no value |
// | typed, or with the flag variant | what it says it is |
//
// The enumeration or structure of a node takes a name for a number, a map for a record
// (data_types.hpp).
#pragma once

#include "values.hpp"
#include <backplane/sdk/boundary.hpp>

namespace backplane::opcua {

/// `built_in`: 1 Boolean to 25 DiagnosticInfo; 24, Variant, is what the value is by itself.
/// INVALID_ARGUMENT says the type and the value. [any]
inline Result<Variant> convert(const ValueView& value, UA_UInt16 built_in) {
  try {
    return to_variant(value, {built_in, nullptr});
  } catch (...) {
    return current_exception_status();
  }
}

}  // namespace backplane::opcua
