// SPDX-License-Identifier: Apache-2.0
// The arguments of a method as the body of a message: one value stands alone, several are a list of
// arguments, none is null.
#pragma once

#include "values.hpp"

namespace backplane::opcua {

/// Borrows from the arguments and `arena`; `types` as to_value() has them.
ValueView to_body(Arena& arena, std::span<const UA_Variant> arguments, DataTypes* types = nullptr);

/// What the body is made of.
std::vector<ValueView> parts_of_body(const ValueView& body);

}  // namespace backplane::opcua
