// SPDX-License-Identifier: Apache-2.0
#include "put_element.hpp"

#include "address.hpp"
#include "data_types.hpp"
#include "reversible.hpp"
#include "structure.hpp"
#include "time.hpp"
#include <backplane/sdk/rfc3339.hpp>

#include <array>
#include <charconv>

namespace backplane::opcua {
namespace {

constexpr std::array<std::string_view, kBuiltInTypes> kNames = {
    "Boolean",       "SByte",           "Byte",           "Int16",      "UInt16",
    "Int32",         "UInt32",          "Int64",          "UInt64",     "Float",
    "Double",        "String",          "DateTime",       "Guid",       "ByteString",
    "XmlElement",    "NodeId",          "ExpandedNodeId", "StatusCode", "QualifiedName",
    "LocalizedText", "ExtensionObject", "DataValue",      "Variant",    "DiagnosticInfo"};

[[noreturn]] void refuse_as(UA_UInt16 type, const ValueView& value) {
  refuse(value.to_text(64), " is no ", kNames[type - 1]);
}

/// A number as the type, if it is the same number.
template <class T>
void put_number(void* to, UA_UInt16 type, const ValueView& value) {
  const auto number = value.get<T>();
  if (!number) {
    refuse_as(type, value);
  }
  std::memcpy(to, &*number, sizeof(T));
}

/// 64 bits are text in the JSON of OPC UA.
template <class T>
void put_long(void* to, UA_UInt16 type, const ValueView& value) {
  const auto text = value.get<std::string_view>();
  if (!text) {
    return put_number<T>(to, type, value);
  }
  T number{};
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size()) {
    refuse_as(type, value);
  }
  std::memcpy(to, &number, sizeof(T));
}

/// The three that JSON has no number for are text there.
template <class T>
void put_real(void* to, UA_UInt16 type, const ValueView& value) {
  const auto text = value.get<std::string_view>();
  if (!text) {
    // The nearest: the digits of the largest Float are a Double that is larger.
    const T nearest = static_cast<T>(value.tag == BP_T_FLOAT ? value.as.f : 0.0);
    if (value.tag != BP_T_FLOAT || std::isfinite(nearest) != std::isfinite(value.as.f)) {
      return put_number<T>(to, type, value);
    }
    std::memcpy(to, &nearest, sizeof(T));
    return;
  }
  const T number = *text == "NaN"         ? std::numeric_limits<T>::quiet_NaN()
                   : *text == "Infinity"  ? std::numeric_limits<T>::infinity()
                   : *text == "-Infinity" ? -std::numeric_limits<T>::infinity()
                                          : T{0};
  if (number == T{0}) {
    refuse_as(type, value);
  }
  std::memcpy(to, &number, sizeof(T));
}

/// A name of the enumeration is its number.
void put_int32(void* to, const Wanted& wanted, const ValueView& value) {
  const auto name = value.get<std::string_view>();
  if (!name || wanted.type == nullptr) {
    return put_number<int32_t>(to, kInt32, value);
  }
  for (const auto& [number, each] : wanted.type->names) {
    if (each == *name) {
      return put_number<int32_t>(to, kInt32, number);
    }
  }
  refuse("the enumeration ", wanted.type->id, " has no '", *name, "'");
}

UA_String text_of(const ValueView& value) {
  if (value.is_null()) {
    return UA_STRING_NULL;
  }
  const auto bytes = value.payload();
  if (!bytes) {
    refuse("expected text or bytes, got ", value.type_name());
  }
  return allocated({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
}

UA_Guid guid_of(const ValueView& value) {
  UA_Guid parsed;
  if (const auto text = value.get<std::string_view>();
      text && UA_Guid_parse(&parsed, borrowed(*text)) == UA_STATUSCODE_GOOD) {
    return parsed;
  }
  const auto bytes = value.payload();
  if (value.tag != BP_T_BYTES || bytes->size() != 16) {
    refuse("expected a UUID of 16 bytes or its text, got ", value.to_text(64));
  }
  const auto at = [&](size_t i) { return std::to_integer<UA_UInt32>((*bytes)[i]); };
  UA_Guid out;
  out.data1 = at(0) << 24 | at(1) << 16 | at(2) << 8 | at(3);
  out.data2 = static_cast<UA_UInt16>(at(4) << 8 | at(5));
  out.data3 = static_cast<UA_UInt16>(at(6) << 8 | at(7));
  std::memcpy(out.data4, bytes->data() + 8, sizeof out.data4);
  return out;
}

ValueView field(const ValueView& record, size_t i) {
  if (record.tag != BP_T_LIST || record.size() != 2) {
    refuse("expected a record of two fields, got ", record.to_text(64));
  }
  return record.at(i);
}

void decode(void* to, UA_UInt16 type, const ValueView& value) {
  const auto bytes = value.payload();
  if (value.tag != BP_T_ENCODED || value.aux != BP_FORMAT_UA_BINARY) {
    refuse("expected the binary encoding of OPC UA, got ", value.type_name());
  }
  const UA_ByteString in = borrowed({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
  if (UA_decodeBinary(&in, to, &built_in_type(type), nullptr) != UA_STATUSCODE_GOOD) {
    refuse("what is encoded is no ", kNames[type - 1]);
  }
}

/// The fields of a structure of that type, in the binary encoding.
UA_ExtensionObject encoded_structure(const DataType& type, const ValueView& fields,
                                     DataTypes* types) {
  UA_ExtensionObject out;
  UA_ExtensionObject_init(&out);
  NativeString body(allocated(encode_structure(type, fields, types)));
  NodeId id = NodeId::copy_of(*type.encoding);
  out.encoding = UA_EXTENSIONOBJECT_ENCODED_BYTESTRING;
  out.content.encoded = {id.release(), body.release()};
  return out;
}

UA_ExtensionObject extension_of(const Wanted& wanted, const ValueView& value, DataTypes* types) {
  UA_ExtensionObject out;
  UA_ExtensionObject_init(&out);
  if (value.is_null()) {
    return out;
  }
  if (value.tag != BP_T_TYPED && value.tag == BP_T_MAP && wanted.type != nullptr) {
    return encoded_structure(*wanted.type, value, types);
  }
  if (value.tag != BP_T_TYPED || type_id(value).empty()) {
    refuse("expected a structure with its type's name, got ", value.to_text(64));
  }
  auto id = parse_node_id(type_id(value));
  id.or_throw();
  const ValueView body = value.at(1);
  if (body.tag == BP_T_MAP) {
    const DataType* type = types != nullptr ? types->by_id(**id) : nullptr;
    if (type == nullptr || !type->is_structure()) {
      refuse("the server describes no structure ", type_id(value));
    }
    return encoded_structure(*type, body, types);
  }
  if (body.tag == BP_T_ENCODED && (body.aux == BP_FORMAT_UA_BINARY || body.aux == BP_FORMAT_XML)) {
    out.content.encoded.body = text_of(body);
    out.encoding = body.aux == BP_FORMAT_XML ? UA_EXTENSIONOBJECT_ENCODED_XML
                                             : UA_EXTENSIONOBJECT_ENCODED_BYTESTRING;
  } else if (!body.is_null()) {
    refuse("a structure is a map of its fields, or encoded; got ", body.type_name());
  }
  out.content.encoded.typeId = (*id).release();
  return out;
}

UA_DateTime date_time_of(const ValueView& value) {
  ValueView time = value;
  if (const auto text = value.get<std::string_view>()) {
    time = from_rfc3339(*text).value();
  }
  const auto ticks = to_date_time(time);
  if (!ticks) {
    refuse("expected a time, got ", value.to_text(64));
  }
  return *ticks;
}

/// "1:Name", "Name".
UA_QualifiedName qualified_name_of(const ValueView& value) {
  UA_QualifiedName out;
  UA_QualifiedName_init(&out);
  if (auto text = value.get<std::string_view>()) {
    const size_t colon = text->find(':');
    if (colon != text->npos) {
      const auto [end, error] =
          std::from_chars(text->data(), text->data() + colon, out.namespaceIndex);
      if (error == std::errc() && end == text->data() + colon) {
        text->remove_prefix(colon + 1);
      }
    }
    out.name = allocated(*text);
    return out;
  }
  put_number<UA_UInt16>(&out.namespaceIndex, 5, field(value, 0));
  out.name = text_of(field(value, 1));
  return out;
}

void put_localized_text(UA_LocalizedText& out, const ValueView& value) {
  if (value.tag == BP_T_STRING) {
    out.text = text_of(value);
    return;
  }
  out.locale = text_of(field(value, 0));
  out.text = text_of(field(value, 1));
}

UA_DataValue data_value_of(const ValueView& value, DataTypes* types) {
  if (value.tag != BP_T_MAP) {
    refuse("expected a map with value, status, source_time, server_time; got ", value.type_name());
  }
  DataValue out;
  for (const auto& [key, part] : value.entries()) {
    const auto name = key.get<std::string_view>().value_or("");
    if (name == "value") {
      out->value = to_variant(part, {}, types).release();
      out->hasValue = true;
    } else if (name == "status") {
      put_number<UA_StatusCode>(&out->status, 19, part);
      out->hasStatus = true;
    } else if (name == "source_time") {
      out->sourceTimestamp = date_time_of(part);
      out->hasSourceTimestamp = true;
    } else if (name == "source_picoseconds") {
      put_number<UA_UInt16>(&out->sourcePicoseconds, 5, part);
      out->hasSourcePicoseconds = true;
    } else if (name == "server_time") {
      out->serverTimestamp = date_time_of(part);
      out->hasServerTimestamp = true;
    } else if (name == "server_picoseconds") {
      put_number<UA_UInt16>(&out->serverPicoseconds, 5, part);
      out->hasServerPicoseconds = true;
    } else {
      refuse("a value with status and times has no '", name, "'");
    }
  }
  return out.release();
}

}  // namespace

UA_UInt16 built_in_by_name(std::string_view name) noexcept {
  for (UA_UInt16 i = 0; i < kBuiltInTypes; ++i) {
    if (name == kNames[i] || name == concat("i=", i + 1)) {
      return static_cast<UA_UInt16>(i + 1);
    }
  }
  return 0;
}

std::string_view type_id(const ValueView& typed) {
  const auto name = typed.at(0).get<std::string_view>();
  return name && name->starts_with("opcua:") ? name->substr(6) : std::string_view();
}

std::string_view built_in_name(UA_UInt16 id) noexcept {
  return id >= 1 && id <= kBuiltInTypes ? kNames[id - 1] : std::string_view("value");
}

Wanted wanted_type(std::string_view name) {
  const UA_UInt16 type = built_in_by_name(name);
  if (type == 0) {
    refuse("'", name, "' is no built-in type of OPC UA; one is Double, or i=11");
  }
  return {type, nullptr};
}

void put_element(void* to, const Wanted& wanted, const ValueView& value, DataTypes* types) {
  const UA_UInt16 type = wanted.built_in;
  switch (type) {
    case 1:
      return put_number<bool>(to, type, value);
    case 2:
      return put_number<int8_t>(to, type, value);
    case 3:
      return put_number<uint8_t>(to, type, value);
    case 4:
      return put_number<int16_t>(to, type, value);
    case 5:
      return put_number<uint16_t>(to, type, value);
    case 6:
      return put_int32(to, wanted, value);
    case 7:
    case 19:
      return put_number<uint32_t>(to, type, value);
    case 8:
      return put_long<int64_t>(to, type, value);
    case 9:
      return put_long<uint64_t>(to, type, value);
    case 10:
      return put_real<float>(to, type, value);
    case 11:
      if (value.tag == BP_T_INT && value.aux == BP_INT_DURATION_NS) {
        *static_cast<UA_Double*>(to) = static_cast<double>(value.as.i) / 1e6;  // in milliseconds
        return;
      }
      return put_real<double>(to, type, value);
    case 12:
    case 15:
    case 16:
      *static_cast<UA_String*>(to) = text_of(value);
      return;
    case 13:
      *static_cast<UA_DateTime*>(to) = date_time_of(value);
      return;
    case 14:
      *static_cast<UA_Guid*>(to) = guid_of(value);
      return;
    case 17: {
      auto id = parse_node_id(value.get<std::string_view>().value_or("?"));
      id.or_throw();
      *static_cast<UA_NodeId*>(to) = (*id).release();
      return;
    }
    case 18: {
      const std::string_view text = value.get<std::string_view>().value_or("?");
      if (UA_ExpandedNodeId_parse(static_cast<UA_ExpandedNodeId*>(to), borrowed(text)) !=
          UA_STATUSCODE_GOOD) {
        refuse("'", text, "' is no expanded node id");
      }
      return;
    }
    case 20:
      *static_cast<UA_QualifiedName*>(to) = qualified_name_of(value);
      return;
    case 21:
      return put_localized_text(*static_cast<UA_LocalizedText*>(to), value);
    case kExtensionObject:
      *static_cast<UA_ExtensionObject*>(to) = extension_of(wanted, value, types);
      return;
    case kDataValue:
      *static_cast<UA_DataValue*>(to) = data_value_of(value, types);
      return;
    case kVariant:
      *static_cast<UA_Variant*>(to) = to_variant(value, {}, types).release();
      return;
    default:
      return decode(to, type, value);
  }
}

DataValue to_data_value(MessageView message, const Wanted& wanted, DataTypes* types) {
  if (is_reversible(message)) {
    return from_reversible(message.body(), types);
  }
  DataValue out;
  const auto named = message.header<std::string_view>(BP_H_NATIVE_TYPE);
  out->value = to_variant(message.body(), named ? wanted_type(*named) : wanted, types).release();
  out->hasValue = true;
  if (const auto status = message.header(BP_H_STATUS)) {
    put_number<UA_StatusCode>(&out->status, 19, *status);
    out->hasStatus = true;
  }
  if (const auto time = message.header(BP_H_SERVER_TIME)) {
    out->serverTimestamp = date_time_of(*time);
    out->hasServerTimestamp = true;
  }
  if (const auto time = message.header(BP_H_SOURCE_TIME)) {
    out->sourceTimestamp = date_time_of(*time);
    out->hasSourceTimestamp = true;
  } else if (message.raw().time_ns != BP_TIME_NONE) {
    out->sourceTimestamp = date_time_of(ValueView(*message.time()));
    out->hasSourceTimestamp = true;
  }
  return out;
}

}  // namespace backplane::opcua
