// SPDX-License-Identifier: Apache-2.0
#include "data_types.hpp"
#include "error_map.hpp"
#include "put_element.hpp"
#include "reversible.hpp"
#include "structure.hpp"
#include "time.hpp"
#include "values.hpp"

#include <algorithm>
#include <array>

namespace backplane::opcua {
namespace {

bp_value made(uint8_t tag, uint16_t aux, const void* data = nullptr, size_t length = 0) {
  bp_value out{};
  out.tag = tag;
  out.aux = aux;
  out.as.p = data;
  out.len = static_cast<uint32_t>(length);
  return out;
}

ValueView text_or_null(const UA_String& text, uint8_t tag, uint16_t aux) {
  return text.data == nullptr ? made(BP_T_NULL, BP_TYPE(tag, aux))
                              : made(tag, aux, text.data, text.length);
}

ValueView copied(Arena& arena, std::string_view text) { return arena.copy(ValueView(text)); }

ValueView typed(Arena& arena, std::string_view id, ValueView value) {
  return ValueView(
      made(BP_T_TYPED, 0, arena.list({copied(arena, concat("opcua:", id)), value}).as.p, 2));
}

/// In the binary encoding, which others may know.
ValueView encoded(Arena& arena, const void* data, const UA_DataType& type) {
  UA_ByteString out{UA_calcSizeBinary(data, &type), nullptr};
  out.data = reinterpret_cast<UA_Byte*>(arena.allocate(out.length));
  if (out.length == 0 || UA_encodeBinary(data, &type, &out) != UA_STATUSCODE_GOOD) {
    throw Error(BP_DATA_LOSS, "a value of type ", std::string_view(type.typeName),
                " cannot be encoded");
  }
  return made(BP_T_ENCODED, BP_FORMAT_UA_BINARY, out.data, out.length);
}

ValueView guid(Arena& arena, const UA_Guid& id) {
  std::byte* to = arena.allocate(16);
  const std::array<uint8_t, 8> head = {
      uint8_t(id.data1 >> 24), uint8_t(id.data1 >> 16), uint8_t(id.data1 >> 8), uint8_t(id.data1),
      uint8_t(id.data2 >> 8),  uint8_t(id.data2),       uint8_t(id.data3 >> 8), uint8_t(id.data3)};
  std::memcpy(to, head.data(), head.size());
  std::memcpy(to + head.size(), id.data4, sizeof id.data4);
  return made(BP_T_BYTES, BP_BYTES_UUID, to, 16);
}

/// The fields by name, if it is known what they are.
std::optional<ValueView> fields_of(Arena& arena, const DataType* type, std::string_view body,
                                   DataTypes& types) {
  const auto fields =
      type != nullptr ? decode_structure(arena, *type, body, types) : std::optional<ValueView>();
  return fields ? std::optional(typed(arena, type->id, *fields)) : std::nullopt;
}

ValueView structure(Arena& arena, const void* data, const UA_DataType& type, DataTypes* types) {
  const ValueView bytes = encoded(arena, data, type);
  if (types != nullptr) {
    if (const auto fields =
            fields_of(arena, types->by_id(type.typeId), {bytes.as.s, bytes.len}, *types)) {
      return *fields;
    }
  }
  return typed(arena, to_text(type.binaryEncodingId), bytes);
}

ValueView extension(Arena& arena, const UA_ExtensionObject& object, DataTypes* types) {
  switch (object.encoding) {
    case UA_EXTENSIONOBJECT_DECODED:
    case UA_EXTENSIONOBJECT_DECODED_NODELETE:
      return structure(arena, object.content.decoded.data, *object.content.decoded.type, types);
    case UA_EXTENSIONOBJECT_ENCODED_NOBODY:
      return typed(arena, to_text(object.content.encoded.typeId), ValueView());
    case UA_EXTENSIONOBJECT_ENCODED_XML: {
      const UA_ByteString& body = object.content.encoded.body;
      return typed(arena, to_text(object.content.encoded.typeId),
                   made(BP_T_ENCODED, BP_FORMAT_XML, body.data, body.length));
    }
    default: {
      const UA_ByteString& body = object.content.encoded.body;
      if (types != nullptr) {
        const DataType* type = types->by_encoding(object.content.encoded.typeId);
        if (const auto fields = fields_of(arena, type, view(body), *types)) {
          return *fields;
        }
      }
      return typed(arena, to_text(object.content.encoded.typeId),
                   made(BP_T_ENCODED, BP_FORMAT_UA_BINARY, body.data, body.length));
    }
  }
}

ValueView data_value(Arena& arena, const UA_DataValue& value, DataTypes* types) {
  MapBuilder out(arena);
  if (value.hasValue) out.add("value", to_value(arena, value.value, types));
  if (value.hasStatus) out.add("status", status_value(value.status));
  if (value.hasSourceTimestamp) out.add("source_time", time_value(value.sourceTimestamp));
  if (value.hasSourcePicoseconds) out.add("source_picoseconds", value.sourcePicoseconds);
  if (value.hasServerTimestamp) out.add("server_time", time_value(value.serverTimestamp));
  if (value.hasServerPicoseconds) out.add("server_picoseconds", value.serverPicoseconds);
  return arena.map(out.pairs());
}

bool is_number(const UA_DataType& type) noexcept { return type.typeKind <= UA_DATATYPEKIND_DOUBLE; }

/// Of a type that is_number(): apart from all else, since most values are that, and it is short.
ValueView number(const void* data, const UA_DataType& type) noexcept {
  const auto as = [data]<class T>(T) -> const T& { return *static_cast<const T*>(data); };
  switch (type.typeKind) {
    case UA_DATATYPEKIND_BOOLEAN:
      return as(UA_Boolean{});
    case UA_DATATYPEKIND_SBYTE:
      return as(UA_SByte{});
    case UA_DATATYPEKIND_BYTE:
      return as(UA_Byte{});
    case UA_DATATYPEKIND_INT16:
      return as(UA_Int16{});
    case UA_DATATYPEKIND_UINT16:
      return as(UA_UInt16{});
    case UA_DATATYPEKIND_INT32:
      return as(UA_Int32{});
    case UA_DATATYPEKIND_UINT32:
      return as(UA_UInt32{});
    case UA_DATATYPEKIND_INT64:
      return as(UA_Int64{});
    case UA_DATATYPEKIND_UINT64:
      return as(UA_UInt64{});
    case UA_DATATYPEKIND_FLOAT:
      return as(UA_Float{});
    default:
      return as(UA_Double{});
  }
}

/// One element, without the type's name that stands once around all of them.
ValueView element(Arena& arena, const void* data, const UA_DataType& type, DataTypes* types) {
  const auto as = [data]<class T>(T) -> const T& { return *static_cast<const T*>(data); };
  if (is_number(type)) {
    return number(data, type);
  }
  switch (type.typeKind) {
    case UA_DATATYPEKIND_STRING:
      return text_or_null(as(UA_String{}), BP_T_STRING, 0);
    case UA_DATATYPEKIND_DATETIME:
      return time_value(as(UA_DateTime{}));
    case UA_DATATYPEKIND_GUID:
      return guid(arena, as(UA_Guid{}));
    case UA_DATATYPEKIND_BYTESTRING:
      return text_or_null(as(UA_ByteString{}), BP_T_BYTES, 0);
    case UA_DATATYPEKIND_XMLELEMENT:
      return text_or_null(as(UA_XmlElement{}), BP_T_STRING, BP_STRING_XML);
    case UA_DATATYPEKIND_NODEID:
      return copied(arena, to_text(as(UA_NodeId{})));
    case UA_DATATYPEKIND_EXPANDEDNODEID:
      return copied(arena, to_text(as(UA_ExpandedNodeId{})));
    case UA_DATATYPEKIND_STATUSCODE:
      return status_value(as(UA_StatusCode{}));
    case UA_DATATYPEKIND_QUALIFIEDNAME: {
      const auto& name = as(UA_QualifiedName{});
      return arena.list({name.namespaceIndex, text_or_null(name.name, BP_T_STRING, 0)},
                        BP_LIST_STRUCT);
    }
    case UA_DATATYPEKIND_LOCALIZEDTEXT: {
      const auto& text = as(UA_LocalizedText{});
      return arena.list(
          {text_or_null(text.locale, BP_T_STRING, 0), text_or_null(text.text, BP_T_STRING, 0)},
          BP_LIST_STRUCT);
    }
    case UA_DATATYPEKIND_EXTENSIONOBJECT:
      return extension(arena, as(UA_ExtensionObject{}), types);
    case UA_DATATYPEKIND_DATAVALUE:
      return data_value(arena, as(UA_DataValue{}), types);
    case UA_DATATYPEKIND_VARIANT: {
      ValueView out = to_value(arena, as(UA_Variant{}), types);
      out.flags |= BP_VALUE_VARIANT;
      return out;
    }
    case UA_DATATYPEKIND_DIAGNOSTICINFO:
      return encoded(arena, data, type);
    case UA_DATATYPEKIND_ENUM:
      return made(BP_T_INT, BP_INT_ENUM, nullptr, 0);
    default:  // a structure that the library knows
      return structure(arena, data, type, types);
  }
}

/// How an array of it is packed; 0: it is a list.
uint16_t packed_as(const UA_DataType& type) noexcept {
  switch (type.typeKind) {
    case UA_DATATYPEKIND_BOOLEAN:
      return BP_TYPE(BP_T_BOOL, 0);
    case UA_DATATYPEKIND_SBYTE:
      return BP_TYPE(BP_T_INT, 8);
    case UA_DATATYPEKIND_BYTE:
      return BP_TYPE(BP_T_UINT, 8);
    case UA_DATATYPEKIND_INT16:
      return BP_TYPE(BP_T_INT, 16);
    case UA_DATATYPEKIND_UINT16:
      return BP_TYPE(BP_T_UINT, 16);
    case UA_DATATYPEKIND_INT32:
      return BP_TYPE(BP_T_INT, 32);
    case UA_DATATYPEKIND_ENUM:
      return BP_TYPE(BP_T_INT, BP_INT_ENUM);
    case UA_DATATYPEKIND_UINT32:
      return BP_TYPE(BP_T_UINT, 32);
    case UA_DATATYPEKIND_INT64:
      return BP_TYPE(BP_T_INT, 64);
    case UA_DATATYPEKIND_UINT64:
      return BP_TYPE(BP_T_UINT, 64);
    case UA_DATATYPEKIND_FLOAT:
      return BP_TYPE(BP_T_FLOAT, 32);
    case UA_DATATYPEKIND_DOUBLE:
      return BP_TYPE(BP_T_FLOAT, 64);
    case UA_DATATYPEKIND_STATUSCODE:
      return BP_TYPE(BP_T_UINT, BP_UINT_STATUS);
    default:
      return 0;
  }
}

/// What a list of it says that all elements are; 0: each its own.
uint16_t listed_as(const UA_DataType& type) noexcept {
  switch (type.typeKind) {
    case UA_DATATYPEKIND_STRING:
      return BP_TYPE(BP_T_STRING, 0);
    case UA_DATATYPEKIND_XMLELEMENT:
      return BP_TYPE(BP_T_STRING, BP_STRING_XML);
    case UA_DATATYPEKIND_BYTESTRING:
      return BP_TYPE(BP_T_BYTES, 0);
    case UA_DATATYPEKIND_GUID:
      return BP_TYPE(BP_T_BYTES, BP_BYTES_UUID);
    default:
      return 0;
  }
}

/// Types that no tag expresses have their name around the value, but for a single extension object
/// or structure, which has its own.
bool needs_name(const UA_DataType& type, bool is_scalar) noexcept {
  switch (type.typeKind) {
    case UA_DATATYPEKIND_NODEID:
    case UA_DATATYPEKIND_EXPANDEDNODEID:
    case UA_DATATYPEKIND_QUALIFIEDNAME:
    case UA_DATATYPEKIND_LOCALIZEDTEXT:
    case UA_DATATYPEKIND_DATAVALUE:
    case UA_DATATYPEKIND_DIAGNOSTICINFO:
      return true;
    default:
      return !is_scalar && type.typeKind != UA_DATATYPEKIND_VARIANT && packed_as(type) == 0 &&
             listed_as(type) == 0 && type.typeKind != UA_DATATYPEKIND_DATETIME;
  }
}

ValueView elements(Arena& arena, const UA_Variant& variant, DataTypes* types) {
  const UA_DataType& type = *variant.type;
  const auto* first = static_cast<const std::byte*>(variant.data);
  const size_t n = variant.arrayLength;
  if (const uint16_t packed = packed_as(type); packed != 0) {
    return made(BP_T_ARRAY, packed, n == 0 ? nullptr : first, n);
  }
  if (type.typeKind == UA_DATATYPEKIND_DATETIME) {
    auto* times = reinterpret_cast<int64_t*>(arena.allocate(n * sizeof(int64_t)));
    for (size_t i = 0; i < n; ++i) {
      times[i] = since_1970(reinterpret_cast<const UA_DateTime*>(first)[i]);
    }
    return made(BP_T_ARRAY, BP_TYPE(BP_T_TIME, BP_TIME_100NS), times, n);
  }
  auto* list = reinterpret_cast<bp_value*>(arena.allocate(n * sizeof(bp_value)));
  for (size_t i = 0; i < n; ++i) {
    list[i] = element(arena, first + i * type.memSize, type, types);
  }
  return ValueView::list(std::span<const bp_value>(list, n), listed_as(type));
}

/// The name that stands around an array: that of the type; of structures that are all of one type
/// and whose fields are known, that one, once. `list` becomes their fields.
std::string take_common_name(Arena& arena, const UA_DataType& type, ValueView& list) {
  const bool is_built_in = type.typeKind <= UA_DATATYPEKIND_DIAGNOSTICINFO;
  if (is_built_in && type.typeKind != UA_DATATYPEKIND_EXTENSIONOBJECT) {
    return concat("i=", unsigned(type.typeKind) + 1);
  }
  const auto items = list.items();
  const bool is_common =
      list.len > 0 && std::all_of(items.begin(), items.end(), [&](const ValueView& each) {
        return each.tag == BP_T_TYPED && each.at(1).tag == BP_T_MAP &&
               each.at(0) == list.at(0).at(0);
      });
  if (!is_common) {
    return "i=22";  // each has its own
  }
  const std::string name(*list.at(0).at(0).get<std::string_view>());
  auto* fields = reinterpret_cast<bp_value*>(arena.allocate(list.len * sizeof(bp_value)));
  for (uint32_t i = 0; i < list.len; ++i) {
    fields[i] = list.at(i).at(1);
  }
  list = ValueView::list(std::span<const bp_value>(fields, list.len));
  return name.substr(std::string_view("opcua:").size());
}

/// Of a variant that is not empty.
ValueView any_value(Arena& arena, const UA_Variant& variant, DataTypes* types) {
  const UA_DataType& type = *variant.type;
  const bool is_scalar = UA_Variant_isScalar(&variant);
  ValueView out =
      is_scalar ? element(arena, variant.data, type, types) : elements(arena, variant, types);
  if (is_scalar && type.typeKind == UA_DATATYPEKIND_ENUM) {
    out.as.i = *static_cast<const UA_Int32*>(variant.data);
  }
  // An extension object that calls itself by the name of a built-in type is none of that type.
  const bool is_misnamed = is_scalar && type.typeKind == UA_DATATYPEKIND_EXTENSIONOBJECT &&
                           built_in_by_name(type_id(out)) != 0;
  const bool has_name = needs_name(type, is_scalar) || is_misnamed;
  const std::string name = !has_name   ? std::string()
                           : is_scalar ? concat("i=", unsigned(type.typeKind) + 1)
                                       : take_common_name(arena, type, out);
  if (variant.arrayDimensionsSize > 0) {
    const ValueView dimensions = ValueView::array(
        std::span<const uint32_t>(variant.arrayDimensions, variant.arrayDimensionsSize));
    out = made(BP_T_MATRIX, 0, arena.list({dimensions, out}).as.p, 2);
  }
  return has_name ? typed(arena, name, out) : out;
}

}  // namespace

ValueView to_value(Arena& arena, const UA_Variant& variant, DataTypes* types) {
  return variant.type == nullptr ? ValueView()
         : UA_Variant_isScalar(&variant) && is_number(*variant.type)
             ? number(variant.data, *variant.type)
             : any_value(arena, variant, types);
}

void fill_message(MessageDraft& message, const UA_DataValue& value, DataTypes* types,
                  bool is_reversible) {
  if (is_reversible) {
    message.body(to_reversible(message.arena(), value, types));
    message.header(BP_H_CONTENT_TYPE, kReversible);
  } else {
    message.body(value.hasValue ? to_value(message.arena(), value.value, types) : ValueView());
  }
  if (value.hasStatus && value.status != UA_STATUSCODE_GOOD) {
    message.header(BP_H_STATUS, status_value(value.status));
  }
  if (value.hasServerTimestamp) {
    message.header(BP_H_SERVER_TIME, time_value(value.serverTimestamp));
  }
  if (value.hasSourceTimestamp) {
    if (const auto time = nanoseconds_since_1970(value.sourceTimestamp)) {
      message.time(Time(std::chrono::nanoseconds(*time)));
    } else {
      message.header(BP_H_SOURCE_TIME, time_value(value.sourceTimestamp));
    }
  }
}

/// One block for all: what numbers need is known, and only the rest is measured.
OwnedMessage to_records(std::span<const UA_DataValue> values, DataTypes* types) {
  constexpr size_t kFields = 4;
  StackArena<4096> arena;
  const size_t n = values.size();
  auto* const bodies = reinterpret_cast<ValueView*>(arena.allocate(n * sizeof(ValueView)));
  size_t bytes = n * (1 + kFields) * sizeof(bp_value);
  for (size_t i = 0; i < n; ++i) {
    bodies[i] = values[i].hasValue ? to_value(arena, values[i].value, types) : ValueView();
    bytes += bodies[i].is_scalar() ? 0 : detail::tree_size(bodies[i]).bytes;
  }
  const Buffer owner = Buffer::make(bytes);
  auto* const records = reinterpret_cast<bp_value*>(owner.data());
  bp_value* field = records + n;
  detail::TreeCopy tree(reinterpret_cast<std::byte*>(field + n * kFields));
  for (size_t i = 0; i < n; ++i) {
    const UA_DataValue& value = values[i];
    records[i] = ValueView::list({field, kFields}, BP_LIST_STRUCT);
    *field++ = bodies[i].is_scalar() ? bodies[i] : tree.copy(bodies[i]);
    *field++ = status_value(value.hasStatus ? value.status : UA_STATUSCODE_GOOD);
    *field++ = value.hasSourceTimestamp ? time_value(value.sourceTimestamp) : ValueView();
    *field++ = value.hasServerTimestamp ? time_value(value.serverTimestamp) : ValueView();
  }
  MessageBuilder message(ValueView::list({records, n}));
  message.owner(owner.get());
  return OwnedMessage(message.view());
}

}  // namespace backplane::opcua
