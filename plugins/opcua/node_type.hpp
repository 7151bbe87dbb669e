// SPDX-License-Identifier: Apache-2.0
// What a node's, an argument's attribute DataType says that its values are.
#pragma once

#include "data_types.hpp"
#include "values.hpp"

namespace backplane::opcua {

/// Nothing where any type will do, or the server does not tell which one it is.
Wanted wanted_of(DataTypes& types, const UA_NodeId& data_type);

/// The answer to reading the attribute; null when there is none.
NodeId data_type_of(const UA_DataValue& value);

/// Whether the value may have to become another type than it is by itself.
bool is_convertible(const ValueView& value) noexcept;

/// " (Double)", for error texts; empty when nothing is wanted.
std::string of_type(const Wanted& wanted);

}  // namespace backplane::opcua
