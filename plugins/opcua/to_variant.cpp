// SPDX-License-Identifier: Apache-2.0
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

}  // namespace

Variant to_variant(ValueView value, std::string_view wanted) {
  UA_UInt16 type = 0;
  if (!wanted.empty() && (type = built_in_by_name(wanted)) == 0) {
    refuse("'", wanted, "' is no built-in type of OPC UA; one is Double, or i=11");
  }
  // An extension object's name is its own; the other names stand around the value.
  if (value.tag == BP_T_TYPED) {
    const UA_UInt16 named = type_of_one(value);
    if (type_id(value).empty()) {
      refuse("OPC UA has no type ", value.at(0).to_text(64));
    }
    type = named;
    if (built_in_by_name(type_id(value)) != 0) {
      value = value.at(1);
    }
  }
  Variant out;
  ValueView elements = value;
  if (value.tag == BP_T_MATRIX) {
    elements = value.at(1);
    const auto dimensions = value.at(0).get<std::vector<uint32_t>>();
    if (!dimensions || dimensions->empty()) {
      refuse("a matrix needs its dimensions");
    }
    out->arrayDimensions =
        static_cast<UA_UInt32*>(UA_Array_new(dimensions->size(), &UA_TYPES[UA_TYPES_UINT32]));
    if (out->arrayDimensions == nullptr) throw std::bad_alloc();
    std::copy(dimensions->begin(), dimensions->end(), out->arrayDimensions);
    out->arrayDimensionsSize = dimensions->size();
    uint64_t product = 1;
    for (const uint32_t each : *dimensions) product *= each;
    if (product != elements.size()) {
      refuse("a matrix of ", elements.size(), " elements has dimensions for ", product);
    }
  }
  // A record of two fields is one value of its type.
  const bool is_record = value.tag == BP_T_LIST && value.aux == BP_LIST_STRUCT && type != 0;
  const bool is_array = (elements.tag == BP_T_ARRAY || elements.tag == BP_T_LIST) && !is_record;
  if (type == 0) {
    type = is_array ? type_of_elements(elements) : type_of_one(elements);
    if (type == 0) {
      return out;  // null
    }
  }
  const UA_DataType& native = built_in_type(type);
  const size_t n = is_array ? elements.size() : 1;
  out->type = &native;
  out->data = UA_Array_new(n, &native);
  if (out->data == nullptr) throw std::bad_alloc();
  out->arrayLength = is_array ? n : 0;
  for (size_t i = 0; i < n; ++i) {
    put_element(static_cast<std::byte*>(out->data) + i * native.memSize, type,
                is_array ? elements.at(i) : elements);
  }
  return out;
}

}  // namespace backplane::opcua
