// SPDX-License-Identifier: Apache-2.0
#include "node_type.hpp"

#include "put_element.hpp"

namespace backplane::opcua {

Wanted wanted_of(DataTypes& types, const UA_NodeId& data_type) {
  const DataType* const type = UA_NodeId_isNull(&data_type) ? nullptr : types.by_id(data_type);
  if (type == nullptr || type->built_in == 0 || type->built_in == kVariant) {
    return {};
  }
  return {type->built_in, type->kind == DataType::Kind::kSimple ? nullptr : type};
}

NodeId data_type_of(const UA_DataValue& value) {
  return value.hasValue && UA_Variant_hasScalarType(&value.value, &UA_TYPES[UA_TYPES_NODEID])
             ? NodeId::copy_of(*static_cast<const UA_NodeId*>(value.value.data))
             : NodeId();
}

bool is_convertible(const ValueView& value) noexcept {
  switch (value.tag) {
    case BP_T_INT:
    case BP_T_UINT:
    case BP_T_FLOAT:
    case BP_T_STRING:
    case BP_T_LIST:
    case BP_T_MAP:
    case BP_T_ARRAY:
    case BP_T_MATRIX:
      return (value.flags & BP_VALUE_VARIANT) == 0;
    default:
      return false;
  }
}

std::string of_type(const Wanted& wanted) {
  if (wanted.built_in == 0) {
    return {};
  }
  return concat(", which is ", wanted.type != nullptr ? std::string_view(wanted.type->id)
                                                      : built_in_name(wanted.built_in));
}

}  // namespace backplane::opcua
