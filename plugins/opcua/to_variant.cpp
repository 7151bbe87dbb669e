// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"
#include "data_types.hpp"
#include "put_element.hpp"

namespace backplane::opcua {
namespace {

/// What a value of this tag and aux becomes; 0: nothing, or not by these alone.
UA_UInt16 built_in_of(uint32_t tag, uint32_t aux) noexcept {
  switch (tag) {
    case BP_T_BOOL:
      return 1;
    case BP_T_INT:
      return aux == 8 ? 2 : aux == 16 ? 4 : aux == 64 ? 8 : aux == BP_INT_DURATION_NS ? 11 : 6;
    case BP_T_UINT:
      return aux == 8 ? 3 : aux == 16 ? 5 : aux == 64 ? 9 : aux == BP_UINT_STATUS ? 19 : 7;
    case BP_T_FLOAT:
      return aux == 32 ? 10 : 11;
    case BP_T_TIME:
      return 13;
    case BP_T_STRING:
      return aux == BP_STRING_XML ? 16 : 12;
    case BP_T_BYTES:
      return aux == BP_BYTES_UUID ? 14 : 15;
    default:
      return 0;
  }
}

UA_UInt16 type_of_one(const ValueView& value) {
  switch (value.tag) {
    case BP_T_NULL:
      return built_in_of(value.aux >> 8, value.aux & 0xFFu);
    case BP_T_TYPED: {
      const UA_UInt16 known = built_in_by_name(type_id(value));
      return known != 0 ? known : kExtensionObject;
    }
    case BP_T_ARRAY:
    case BP_T_LIST:
    case BP_T_MATRIX:
      return kVariant;
    default:
      if (const UA_UInt16 type = built_in_of(value.tag, value.aux); type != 0) {
        return type;
      }
      refuse("OPC UA has no type for a value of type ", value.type_name(),
             value.tag == BP_T_ENCODED ? ": decode it first, with the plugin formats" : "");
  }
}

UA_UInt16 type_of_elements(const ValueView& elements) {
  if (elements.tag == BP_T_ARRAY || (elements.aux >> 8) != 0) {
    return built_in_of(elements.aux >> 8, elements.aux & 0xFFu);
  }
  if (elements.aux == BP_LIST_STRUCT) {
    refuse("a structure needs its type: a typed value with 'opcua:' and the id of its encoding");
  }
  UA_UInt16 common = 0;
  for (const ValueView each : elements.items()) {
    const UA_UInt16 type = (each.flags & BP_VALUE_VARIANT) != 0 ? kVariant : type_of_one(each);
    if (common != 0 && type != common) {
      return kVariant;
    }
    common = type;
  }
  return common != 0 ? common : kVariant;
}

void set_dimensions(UA_Variant& out, std::span<const uint32_t> dimensions) {
  out.arrayDimensions =
      static_cast<UA_UInt32*>(UA_Array_new(dimensions.size(), &UA_TYPES[UA_TYPES_UINT32]));
  if (out.arrayDimensions == nullptr) throw std::bad_alloc();
  std::copy(dimensions.begin(), dimensions.end(), out.arrayDimensions);
  out.arrayDimensionsSize = dimensions.size();
}

/// A list of equally long lists of what the type has is a matrix, as JSON writes one.
void flatten(const ValueView& lists, size_t level, std::vector<uint32_t>& dimensions,
             std::vector<bp_value>& elements) {
  const bool is_first = level == dimensions.size();
  if (is_first && level < kMaxDepth) {
    dimensions.push_back(static_cast<uint32_t>(lists.size()));
  } else if (is_first || dimensions[level] != lists.size()) {
    refuse("the lists of a matrix must be equally long");
  }
  for (const ValueView each : lists.items()) {
    const bool is_list =
        (each.tag == BP_T_LIST && each.aux != BP_LIST_STRUCT) || each.tag == BP_T_ARRAY;
    if (is_list) {
      flatten(each, level + 1, dimensions, elements);
    } else if (level + 1 == dimensions.size()) {
      elements.push_back(each);
    } else {
      refuse("the lists of a matrix must be equally deep");
    }
  }
}

bool is_list_of_lists(const ValueView& value) noexcept {
  return value.tag == BP_T_LIST && value.len > 0 && value.aux != BP_LIST_STRUCT &&
         (value.as.list[0].tag == BP_T_ARRAY ||
          (value.as.list[0].tag == BP_T_LIST && value.as.list[0].aux != BP_LIST_STRUCT));
}

/// Takes the name off a typed value, but for a single extension object, whose name is its own.
Wanted take_name(ValueView& value, DataTypes* types) {
  const std::string_view id = type_id(value);
  if (id.empty()) {
    refuse("OPC UA has no type ", value.at(0).to_text(64));
  }
  Wanted out{built_in_by_name(id), nullptr};
  const ValueView inner = value.at(1);
  if (out.built_in != 0) {
    value = inner;
    return out;
  }
  out.built_in = kExtensionObject;
  if (inner.tag == BP_T_LIST || inner.tag == BP_T_MATRIX) {  // each a map of its fields
    const auto node = parse_node_id(id);
    node.or_throw();
    out.type = types != nullptr ? types->by_id(**node) : nullptr;
    if (out.type == nullptr || !out.type->is_structure()) {
      refuse("the server describes no structure ", id);
    }
    value = inner;
  }
  return out;
}

}  // namespace

UA_UInt16 type_of(const ValueView& value) {
  const ValueView elements = value.tag == BP_T_MATRIX ? value.at(1) : value;
  return elements.tag == BP_T_ARRAY || elements.tag == BP_T_LIST ? type_of_elements(elements)
                                                                 : type_of_one(elements);
}

Variant to_variant(ValueView value, const Wanted& wanted, DataTypes* types) {
  // A node that takes anything takes the value as it is.
  Wanted type = wanted.built_in == kVariant ? Wanted() : wanted;
  if (value.tag == BP_T_TYPED) {
    type = take_name(value, types);
  }
  Variant out;
  // Only these three differ from no value at all.
  if (value.is_null() && type.built_in != 0 && type.built_in != kExtensionObject &&
      !(type.built_in == 12 || type.built_in == 15 || type.built_in == 16)) {
    return out;
  }
  ValueView elements = value;
  std::vector<bp_value> flat;
  if (value.tag == BP_T_MATRIX) {
    elements = value.at(1);
    const auto dimensions = value.at(0).get<std::vector<uint32_t>>();
    if (!dimensions || dimensions->empty()) {
      refuse("a matrix needs its dimensions");
    }
    uint64_t product = 1;
    bool fits = true;
    for (const uint32_t each : *dimensions) {
      fits = fits && !__builtin_mul_overflow(product, each, &product);
    }
    if (!fits || product != elements.size()) {
      refuse("the dimensions of a matrix do not give its ", elements.size(), " elements");
    }
    set_dimensions(*out, *dimensions);
  } else if (wanted.built_in != 0 && type.built_in != 0 && is_list_of_lists(value)) {
    std::vector<uint32_t> dimensions;
    flatten(value, 0, dimensions, flat);
    elements = ValueView::list(flat);
    set_dimensions(*out, dimensions);
  }
  // A record of two fields is one value of its type.
  const bool is_record =
      value.tag == BP_T_LIST && value.aux == BP_LIST_STRUCT && type.built_in != 0;
  const bool is_array = (elements.tag == BP_T_ARRAY || elements.tag == BP_T_LIST) && !is_record;
  if (type.built_in == 0) {
    type.built_in = type_of(elements);
    if (type.built_in == 0) {
      return out;  // null
    }
  }
  const UA_DataType& native = built_in_type(type.built_in);
  const size_t n = is_array ? elements.size() : 1;
  out->type = &native;
  out->data = UA_Array_new(n, &native);
  if (out->data == nullptr) throw std::bad_alloc();
  out->arrayLength = is_array ? n : 0;
  for (size_t i = 0; i < n; ++i) {
    put_element(static_cast<std::byte*>(out->data) + i * native.memSize, type,
                is_array ? elements.at(i) : elements, types);
  }
  return out;
}

}  // namespace backplane::opcua
