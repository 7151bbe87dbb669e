// SPDX-License-Identifier: Apache-2.0
#include "put_element.hpp"

#include "address.hpp"
#include "time.hpp"

#include <array>

namespace backplane::opcua {
namespace {

constexpr std::array<std::string_view, kBuiltInTypes> kNames = {
    "Boolean",       "SByte",           "Byte",           "Int16",      "UInt16",
    "Int32",         "UInt32",          "Int64",          "UInt64",     "Float",
    "Double",        "String",          "DateTime",       "Guid",       "ByteString",
    "XmlElement",    "NodeId",          "ExpandedNodeId", "StatusCode", "QualifiedName",
    "LocalizedText", "ExtensionObject", "DataValue",      "Variant",    "DiagnosticInfo"};

template <class T>
void put_number(void* to, const ValueView& value) {
  const auto number = value.get<T>();
  if (!number) {
    refuse("expected a number that fits into ", sizeof(T) * 8, " bits, got ", value.to_text(64));
  }
  std::memcpy(to, &*number, sizeof(T));
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
  const auto bytes = value.payload();
  if (value.tag != BP_T_BYTES || bytes->size() != 16) {
    refuse("expected a UUID of 16 bytes, got ", value.type_name());
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

UA_ExtensionObject extension_of(const ValueView& value) {
  if (value.tag != BP_T_TYPED || type_id(value).empty()) {
    refuse("expected a structure with its type's name, got ", value.to_text(64));
  }
  auto id = parse_node_id(type_id(value));
  id.or_throw();
  UA_ExtensionObject out;
  UA_ExtensionObject_init(&out);
  const ValueView body = value.at(1);
  if (body.tag == BP_T_ENCODED && (body.aux == BP_FORMAT_UA_BINARY || body.aux == BP_FORMAT_XML)) {
    out.content.encoded.body = text_of(body);
    out.encoding = body.aux == BP_FORMAT_XML ? UA_EXTENSIONOBJECT_ENCODED_XML
                                             : UA_EXTENSIONOBJECT_ENCODED_BYTESTRING;
  } else if (!body.is_null()) {
    refuse("a structure is the binary encoding of OPC UA, or XML; got ", body.type_name());
  }
  out.content.encoded.typeId = (*id).release();
  return out;
}

UA_DateTime date_time_of(const ValueView& value) {
  const auto time = to_date_time(value);
  if (!time) {
    refuse("expected a time, got ", value.to_text(64));
  }
  return *time;
}

UA_DataValue data_value_of(const ValueView& value) {
  if (value.tag != BP_T_MAP) {
    refuse("expected a map with value, status, source_time, server_time; got ", value.type_name());
  }
  DataValue out;
  for (const auto& [key, part] : value.entries()) {
    const auto name = key.get<std::string_view>().value_or("");
    if (name == "value") {
      out->value = to_variant(part).release();
      out->hasValue = true;
    } else if (name == "status") {
      put_number<UA_StatusCode>(&out->status, part);
      out->hasStatus = true;
    } else if (name == "source_time") {
      out->sourceTimestamp = date_time_of(part);
      out->hasSourceTimestamp = true;
    } else if (name == "source_picoseconds") {
      put_number<UA_UInt16>(&out->sourcePicoseconds, part);
      out->hasSourcePicoseconds = true;
    } else if (name == "server_time") {
      out->serverTimestamp = date_time_of(part);
      out->hasServerTimestamp = true;
    } else if (name == "server_picoseconds") {
      put_number<UA_UInt16>(&out->serverPicoseconds, part);
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

void put_element(void* to, UA_UInt16 type, const ValueView& value) {
  switch (type) {
    case 1:
      return put_number<bool>(to, value);
    case 2:
      return put_number<int8_t>(to, value);
    case 3:
      return put_number<uint8_t>(to, value);
    case 4:
      return put_number<int16_t>(to, value);
    case 5:
      return put_number<uint16_t>(to, value);
    case 6:
      return put_number<int32_t>(to, value);
    case 7:
    case 19:
      return put_number<uint32_t>(to, value);
    case 8:
      return put_number<int64_t>(to, value);
    case 9:
      return put_number<uint64_t>(to, value);
    case 10:
      return put_number<float>(to, value);
    case 11:
      if (value.tag == BP_T_INT && value.aux == BP_INT_DURATION_NS) {
        *static_cast<UA_Double*>(to) = static_cast<double>(value.as.i) / 1e6;  // in milliseconds
        return;
      }
      return put_number<double>(to, value);
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
    case 20: {
      auto* name = static_cast<UA_QualifiedName*>(to);
      put_number<UA_UInt16>(&name->namespaceIndex, field(value, 0));
      name->name = text_of(field(value, 1));
      return;
    }
    case 21: {
      auto* text = static_cast<UA_LocalizedText*>(to);
      text->locale = text_of(field(value, 0));
      text->text = text_of(field(value, 1));
      return;
    }
    case kExtensionObject:
      *static_cast<UA_ExtensionObject*>(to) = extension_of(value);
      return;
    case kDataValue:
      *static_cast<UA_DataValue*>(to) = data_value_of(value);
      return;
    case kVariant:
      *static_cast<UA_Variant*>(to) = to_variant(value).release();
      return;
    default:
      return decode(to, type, value);
  }
}

DataValue to_data_value(MessageView message) {
  DataValue out;
  out->value =
      to_variant(message.body(), message.header<std::string_view>(BP_H_NATIVE_TYPE).value_or(""))
          .release();
  out->hasValue = true;
  if (const auto status = message.header(BP_H_STATUS)) {
    put_number<UA_StatusCode>(&out->status, *status);
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
