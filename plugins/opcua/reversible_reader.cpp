// SPDX-License-Identifier: Apache-2.0
#include "data_types.hpp"
#include "put_element.hpp"
#include "reversible.hpp"
#include "time.hpp"
#include <backplane/sdk/rfc3339.hpp>

#include <algorithm>

namespace backplane::opcua {
namespace {

constexpr std::string_view kFirstTime = "0001-01-01T00:00:00Z";
constexpr std::string_view kLastTime = "9999-12-31T23:59:59Z";

/// Throws Error for another key than these.
void expect_keys(const ValueView& map, std::string_view what,
                 std::initializer_list<std::string_view> keys) {
  if (map.tag != BP_T_MAP) {
    refuse("expected a map for a ", what, ", got ", map.to_text(64));
  }
  for (const auto& [key, value] : map.entries()) {
    const auto name = key.get<std::string_view>().value_or("");
    if (std::find(keys.begin(), keys.end(), name) == keys.end()) {
      refuse("a ", what, " has no '", name, "'");
    }
  }
}

ValueView member(const ValueView& map, std::string_view key) {
  return map.find(key).value_or(ValueView());
}

template <class T>
T number(const ValueView& map, std::string_view key, T fallback) {
  const ValueView value = member(map, key);
  const auto out = value.is_null() ? std::optional(fallback) : value.get<T>();
  if (!out) {
    refuse("'", key, "': expected a number, got ", value.to_text(64));
  }
  return *out;
}

std::string_view text(const ValueView& map, std::string_view key) {
  const auto out = member(map, key).get<std::string_view>();
  if (!out) {
    refuse("'", key, "': expected text, got ", member(map, key).to_text(64));
  }
  return *out;
}

class Reader {
 public:
  Reader(Arena& arena, DataTypes* types) : arena_(arena), types_(types) {}

  /// With its type around it.
  ValueView variant(const ValueView& map, unsigned depth) {
    if (map.is_null()) {
      return ValueView();
    }
    if (depth == 0) {
      refuse("values are nested deeper than ", kMaxDepth, " levels");
    }
    expect_keys(map, "Variant", {"Type", "Body", "Dimensions"});
    const auto type = number<UA_UInt16>(map, "Type", 0);
    const ValueView body = member(map, "Body");
    if (type == 0) {
      return ValueView();
    }
    if (type > kBuiltInTypes) {
      refuse("'Type': ", type, " is no built-in type");
    }
    ValueView content;
    if (body.tag == BP_T_LIST || body.tag == BP_T_ARRAY) {
      ListBuilder list(arena_);
      for (const ValueView each : body.items()) {
        list.add(one(type, each, depth - 1));
      }
      content = arena_.list({list.view().as.list, list.size()});
      if (const ValueView sizes = member(map, "Dimensions"); !sizes.is_null()) {
        content = matrix(sizes, content);
      }
    } else {
      content = one(type, body, depth - 1);
    }
    return typed(concat("opcua:i=", type), content);
  }

  DataValue data_value(const ValueView& map) {
    const ValueView parts = data_value(map, kMaxDepth);
    Variant out = to_variant(typed("opcua:i=23", parts), {}, types_);
    DataValue value = DataValue::copy_of(*static_cast<const UA_DataValue*>(out->data));
    return value;
  }

 private:
  ValueView typed(std::string_view name, ValueView value) {
    ValueView out = arena_.list({arena_.copy(ValueView(name)), value});
    out.tag = BP_T_TYPED;
    return out;
  }
  ValueView matrix(const ValueView& sizes, const ValueView& elements) {
    ValueView out = arena_.list({sizes, elements});
    out.tag = BP_T_MATRIX;
    return out;
  }
  ValueView copied(std::string_view text) { return arena_.copy(ValueView(text)); }

  ValueView one(UA_UInt16 type, const ValueView& value, unsigned depth) {
    switch (type) {
      case 13:
        return time(value);
      case 14:
        return value.is_null() ? ValueView("00000000-0000-0000-0000-000000000000") : value;
      case 15:
        return bytes(value);
      case 17:
      case 18:
        return value.tag == BP_T_MAP ? node_id(value) : value.is_null() ? ValueView("i=0") : value;
      case 19:
        return value.is_null() ? ValueView(0u) : value;
      case 20:
        return qualified_name(value);
      case 21:
        return localized_text(value);
      case kExtensionObject:
        return extension(value, depth);
      case kDataValue:
        return data_value(value, depth);
      case kVariant:
        return variant(value, depth);
      case 25:
        return diagnostic_info(value);
      default:
        return value;
    }
  }

  ValueView time(const ValueView& value) {
    const auto text = value.get<std::string_view>();
    return value.is_null() || text == kFirstTime ? time_value(0)
           : text == kLastTime                   ? time_value(INT64_MAX)
           : text                                ? from_rfc3339(*text).value()
                                                 : value;
  }
  ValueView bytes(const ValueView& value) {
    const auto text = value.get<std::string_view>();
    if (!text) {
      return value;
    }
    NativeString out;
    const UA_String in = borrowed(*text);
    if (!text->empty() && UA_ByteString_fromBase64(out.get(), &in) != UA_STATUSCODE_GOOD) {
      refuse(value.to_text(64), " is no base64");
    }
    return arena_.copy(ValueView::bytes(out->data, out->length));
  }

  ValueView node_id(const ValueView& map) {
    expect_keys(map, "NodeId", {"IdType", "Id", "Namespace", "ServerUri"});
    std::string out;
    if (const auto server = number<uint32_t>(map, "ServerUri", 0); server != 0) {
      out += concat("svr=", server, ";");
    }
    const ValueView ns = member(map, "Namespace");
    if (const auto uri = ns.get<std::string_view>()) {
      out += concat("nsu=", *uri, ";");
    } else if (const auto index = number<uint16_t>(map, "Namespace", 0); index != 0) {
      out += concat("ns=", index, ";");
    }
    switch (number<int>(map, "IdType", 0)) {
      case 0:
        return copied(out + concat("i=", number<uint32_t>(map, "Id", 0)));
      case 1:
        return copied(out + concat("s=", text(map, "Id")));
      case 2:
        return copied(out + concat("g=", text(map, "Id")));
      case 3: {
        const ValueView id = bytes(member(map, "Id"));
        UA_ByteString from = borrowed({id.as.s, id.len});
        NativeString encoded;
        if (UA_ByteString_toBase64(&from, encoded.get()) != UA_STATUSCODE_GOOD) {
          throw std::bad_alloc();
        }
        return copied(out + concat("b=", view(*encoded)));
      }
      default:
        refuse("'IdType': expected 0 to 3, got ", member(map, "IdType").to_text(64));
    }
  }
  ValueView qualified_name(const ValueView& value) {
    if (value.tag != BP_T_MAP) {
      return value.is_null() ? arena_.list({uint16_t{0}, ValueView()}, BP_LIST_STRUCT) : value;
    }
    expect_keys(value, "QualifiedName", {"Name", "Uri"});
    return arena_.list({number<uint16_t>(value, "Uri", 0), member(value, "Name")}, BP_LIST_STRUCT);
  }
  ValueView localized_text(const ValueView& value) {
    if (value.tag != BP_T_MAP && !value.is_null()) {
      return value;
    }
    if (!value.is_null()) expect_keys(value, "LocalizedText", {"Locale", "Text"});
    return arena_.list({member(value, "Locale"), member(value, "Text")}, BP_LIST_STRUCT);
  }

  ValueView extension(const ValueView& map, unsigned depth) {
    if (map.is_null() || (map.tag == BP_T_MAP && map.len == 0)) {
      return ValueView();
    }
    expect_keys(map, "ExtensionObject", {"TypeId", "Encoding", "Body"});
    const std::string_view id = *node_id(member(map, "TypeId")).get<std::string_view>();
    const ValueView body = member(map, "Body");
    const auto encoding = number<int>(map, "Encoding", 0);
    const std::string name = concat("opcua:", id);
    if (body.is_null()) {
      return typed(name, ValueView());
    }
    if (encoding != 0) {
      ValueView content = encoding == 1 ? bytes(body) : body;
      if (!content.payload()) {
        refuse("'Body': expected what is encoded, got ", body.to_text(64));
      }
      content.tag = BP_T_ENCODED;
      content.aux = encoding == 1 ? BP_FORMAT_UA_BINARY : BP_FORMAT_XML;
      return typed(name, content);
    }
    auto node = parse_id(id);
    const DataType* type = types_ != nullptr ? types_->by_id(*node) : nullptr;
    if (type == nullptr || !type->is_structure()) {
      refuse("the server describes no structure ", id);
    }
    return typed(name, fields(*type, body, depth));
  }
  static NodeId parse_id(std::string_view text) {
    NodeId out;
    if (UA_NodeId_parse(out.get(), borrowed(text)) != UA_STATUSCODE_GOOD) {
      refuse("'", text, "' is no node id");
    }
    return out;
  }

  ValueView fields(const DataType& type, const ValueView& map, unsigned depth) {
    if (depth == 0) {
      refuse("structures are nested deeper than ", kMaxDepth, " levels");
    }
    if (map.tag != BP_T_MAP) {
      refuse("the structure ", type.id, " is a map of its fields, got ", map.to_text(64));
    }
    if (type.kind == DataType::Kind::kUnion) {
      return one_of(type, map, depth);
    }
    const bool has_mask = type.kind == DataType::Kind::kOptional && map.find("EncodingMask");
    const auto mask = number<uint32_t>(map, "EncodingMask", 0);
    MapBuilder out(arena_);
    unsigned bit = 0;
    for (const Field& each : type.fields) {
      const auto value = map.find(each.name);
      const bool is_told = has_mask ? bit < 32 && (mask >> bit & 1u) != 0 : value.has_value();
      // What is not there is null, or 0.
      if (!each.is_optional || is_told) {
        out.add(each.name, field(each, value.value_or(ValueView()), depth - 1));
      }
      bit += each.is_optional ? 1 : 0;
    }
    for (const auto& [key, value] : map.entries()) {
      const auto name = key.get<std::string_view>().value_or("");
      const bool is_known = std::any_of(type.fields.begin(), type.fields.end(),
                                        [&](const Field& each) { return each.name == name; });
      if (!is_known && !(has_mask && name == "EncodingMask")) {
        out.add(key, value);  // refused with its name
      }
    }
    return arena_.map(out.pairs());
  }
  ValueView one_of(const DataType& type, const ValueView& map, unsigned depth) {
    expect_keys(map, "union", {"SwitchField", "Value"});
    const auto which = number<uint32_t>(map, "SwitchField", 0);
    if (which > type.fields.size()) {
      refuse("'SwitchField': ", which, "; the union ", type.id, " has ", type.fields.size(),
             " fields");
    }
    if (which == 0) {
      return arena_.map({});
    }
    const Field& chosen = type.fields[which - 1];
    return arena_.map({{chosen.name, field(chosen, member(map, "Value"), depth - 1)}});
  }
  ValueView field(const Field& field, const ValueView& value, unsigned depth) {
    if (field.rank < 1) {
      return leaf(field, value, depth);
    }
    if (value.is_null() && field.rank == 1) {
      return arena_.list({});
    }
    std::vector<uint32_t> sizes;
    ListBuilder leaves(arena_);
    collect(field, value, 0, sizes, leaves, depth);
    const ValueView list = arena_.list({leaves.view().as.list, leaves.size()});
    return field.rank == 1 ? list : matrix(arena_.array(std::span<const uint32_t>(sizes)), list);
  }
  void collect(const Field& field, const ValueView& value, size_t level,
               std::vector<uint32_t>& sizes, ListBuilder& leaves, unsigned depth) {
    const auto rank = static_cast<size_t>(field.rank);
    if (level == rank) {
      leaves.add(leaf(field, value, depth));
      return;
    }
    if (value.tag != BP_T_LIST && value.tag != BP_T_ARRAY) {
      refuse("'", field.name, "': expected a list, got ", value.to_text(64));
    }
    if (sizes.size() == level) {
      sizes.push_back(static_cast<uint32_t>(value.size()));
    } else if (sizes[level] != value.size()) {
      refuse("'", field.name, "': the lists of a matrix must be equally long");
    }
    for (const ValueView each : value.items()) {
      collect(field, each, level + 1, sizes, leaves, depth);
    }
    // Without elements the inner dimensions are not told.
    while (value.size() == 0 && sizes.size() < rank) {
      sizes.push_back(0);
    }
  }
  ValueView leaf(const Field& field, const ValueView& value, unsigned depth) {
    if (field.type != nullptr && field.type->is_structure()) {
      return fields(*field.type, value.is_null() ? arena_.map({}) : value, depth);
    }
    const bool is_number = field.built_in <= 11;
    return !value.is_null() || !is_number ? one(field.built_in, value, depth)
           : field.built_in == 1          ? ValueView(false)
                                          : ValueView(0);
  }

  ValueView data_value(const ValueView& map, unsigned depth) {
    MapBuilder out(arena_);
    if (!map.is_null()) {
      expect_keys(map, "DataValue",
                  {"Value", "Status", "SourceTimestamp", "SourcePicoseconds", "ServerTimestamp",
                   "ServerPicoseconds"});
    }
    for (const auto& [key, value] : map.entries()) {
      const auto name = *key.get<std::string_view>();
      if (name == "Value") out.add("value", variant(value, depth - 1));
      if (name == "Status") out.add("status", value);
      if (name == "SourceTimestamp") out.add("source_time", time(value));
      if (name == "SourcePicoseconds") out.add("source_picoseconds", value);
      if (name == "ServerTimestamp") out.add("server_time", time(value));
      if (name == "ServerPicoseconds") out.add("server_picoseconds", value);
    }
    return arena_.map(out.pairs());
  }

  ValueView diagnostic_info(const ValueView& map) {
    Native<UA_DiagnosticInfo, UA_TYPES_DIAGNOSTICINFO> info;
    read(*info, map, kMaxDepth);
    NativeString bytes;
    if (UA_encodeBinary(info.get(), &UA_TYPES[UA_TYPES_DIAGNOSTICINFO], bytes.get()) !=
        UA_STATUSCODE_GOOD) {
      throw std::bad_alloc();
    }
    ValueView out = arena_.copy(ValueView::bytes(bytes->data, bytes->length));
    out.tag = BP_T_ENCODED;
    out.aux = BP_FORMAT_UA_BINARY;
    return out;
  }
  static void read(UA_DiagnosticInfo& info, const ValueView& map, unsigned depth) {
    if (map.is_null()) {
      return;
    }
    expect_keys(map, "DiagnosticInfo",
                {"SymbolicId", "NamespaceUri", "Locale", "LocalizedText", "AdditionalInfo",
                 "InnerStatusCode", "InnerDiagnosticInfo"});
    const auto has = [&](std::string_view key) { return map.find(key).has_value(); };
    info.hasSymbolicId = has("SymbolicId");
    info.symbolicId = number<int32_t>(map, "SymbolicId", 0);
    info.hasNamespaceUri = has("NamespaceUri");
    info.namespaceUri = number<int32_t>(map, "NamespaceUri", 0);
    info.hasLocale = has("Locale");
    info.locale = number<int32_t>(map, "Locale", 0);
    info.hasLocalizedText = has("LocalizedText");
    info.localizedText = number<int32_t>(map, "LocalizedText", 0);
    info.hasInnerStatusCode = has("InnerStatusCode");
    info.innerStatusCode = number<uint32_t>(map, "InnerStatusCode", 0);
    if (has("AdditionalInfo")) {
      info.hasAdditionalInfo = true;
      info.additionalInfo = allocated(text(map, "AdditionalInfo"));
    }
    if (has("InnerDiagnosticInfo")) {
      if (depth == 0) {
        refuse("a DiagnosticInfo is nested deeper than ", kMaxDepth, " levels");
      }
      info.innerDiagnosticInfo = UA_DiagnosticInfo_new();
      if (info.innerDiagnosticInfo == nullptr) throw std::bad_alloc();
      info.hasInnerDiagnosticInfo = true;
      read(*info.innerDiagnosticInfo, member(map, "InnerDiagnosticInfo"), depth - 1);
    }
  }

  Arena& arena_;
  DataTypes* types_;
};

}  // namespace

DataValue from_reversible(const ValueView& map, DataTypes* types) {
  StackArena arena;
  Reader reader(arena, types);
  return reader.data_value(map);
}

}  // namespace backplane::opcua
