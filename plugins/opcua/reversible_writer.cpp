// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"
#include "data_types.hpp"
#include "put_element.hpp"
#include "reversible.hpp"
#include "time.hpp"
#include <backplane/sdk/rfc3339.hpp>

namespace backplane::opcua {
namespace {

constexpr std::string_view kFirstTime = "0001-01-01T00:00:00Z";
constexpr std::string_view kLastTime = "9999-12-31T23:59:59Z";

class Writer {
 public:
  Writer(Arena& arena, DataTypes* types) : arena_(arena), types_(types) {}

  /// {"Type", "Body", "Dimensions"}.
  ValueView variant(ValueView value) {
    const UA_UInt16 type = type_of(value);
    if (type == 0) {
      return ValueView();
    }
    ValueView content = value;
    std::string_view structure;
    if (value.tag == BP_T_TYPED) {
      const std::string_view id = type_id(value);
      if (built_in_by_name(id) != 0) {
        content = value.at(1);
      } else if (value.at(1).tag == BP_T_LIST || value.at(1).tag == BP_T_MATRIX) {
        structure = id;
        content = value.at(1);
      }
    }
    MapBuilder out(arena_);
    out.add("Type", uint32_t{type});
    const ValueView elements = content.tag == BP_T_MATRIX ? content.at(1) : content;
    const bool is_record = elements.tag == BP_T_LIST && elements.aux == BP_LIST_STRUCT;
    const bool is_array = !is_record && (elements.tag == BP_T_LIST || elements.tag == BP_T_ARRAY);
    out.add("Body", is_array ? list(type, elements, structure) : one(type, elements, structure));
    if (content.tag == BP_T_MATRIX) {
      out.add("Dimensions", content.at(0));
    }
    return arena_.map(out.pairs());
  }

  ValueView time(UA_DateTime time) {
    // The standard's two ends; what lies outside of them has none of its own.
    const int64_t ticks = since_1970(time);
    constexpr int64_t kTicks = 10'000'000;
    if (ticks < -62'135'596'800 * kTicks || (time < 0 && ticks > 0)) {
      return kFirstTime;
    }
    if (ticks >= 253'402'300'799 * kTicks) {
      return kLastTime;
    }
    std::string text = to_rfc3339(time_value(time)).value();
    text.pop_back();  // Z
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return copied(text + 'Z');
  }

  ValueView status(UA_StatusCode status) { return uint32_t{status}; }

 private:
  ValueView copied(std::string_view text) { return arena_.copy(ValueView(text)); }

  ValueView list(UA_UInt16 type, const ValueView& elements, std::string_view structure) {
    ListBuilder out(arena_);
    for (const ValueView each : elements.items()) {
      out.add(one(type, each, structure));
    }
    return arena_.list({out.view().as.list, out.size()});
  }

  ValueView one(UA_UInt16 type, const ValueView& value, std::string_view structure) {
    switch (type) {
      case 8:
        return copied(std::to_string(value.as.i));
      case 9:
        return copied(std::to_string(value.as.u));
      case 13:
        return time(*to_date_time(value));
      case 16:  // text like any other
        return value.is_null() ? ValueView() : ValueView(std::string_view(value.as.s, value.len));
      case 17:
      case 18:
        return node_id(value.get<std::string_view>().value_or(""));
      case 20:
        return value.at(0).as.u == 0 ? arena_.map({{"Name", value.at(1)}})
                                     : arena_.map({{"Name", value.at(1)}, {"Uri", value.at(0)}});
      case 21:
        return arena_.map({{"Locale", value.at(0)}, {"Text", value.at(1)}});
      case kExtensionObject:
        return structure.empty() ? extension(value) : extension(structure, value);
      case kDataValue:
        return data_value(value);
      case kVariant:
        return variant(value);
      case 25:
        return diagnostic_info(value);
      default:
        return plain(value);
    }
  }
  /// Numbers, text and bytes, without what JSON would not know.
  static ValueView plain(ValueView value) {
    value.flags = 0;
    return value;
  }

  ValueView node_id(std::string_view text) {
    Native<UA_ExpandedNodeId, UA_TYPES_EXPANDEDNODEID> id;
    if (UA_ExpandedNodeId_parse(id.get(), borrowed(text)) != UA_STATUSCODE_GOOD) {
      refuse("'", text, "' is no node id");
    }
    const UA_NodeId& node = id->nodeId;
    MapBuilder out(arena_);
    switch (node.identifierType) {
      case UA_NODEIDTYPE_STRING:
        out.add("IdType", 1).add("Id", copied(view(node.identifier.string)));
        break;
      case UA_NODEIDTYPE_GUID: {
        NativeString guid;
        UA_Guid_print(&node.identifier.guid, guid.get());
        out.add("IdType", 2).add("Id", copied(view(*guid)));
        break;
      }
      case UA_NODEIDTYPE_BYTESTRING: {
        const UA_ByteString& bytes = node.identifier.byteString;
        out.add("IdType", 3).add("Id", arena_.copy(ValueView::bytes(bytes.data, bytes.length)));
        break;
      }
      default:
        out.add("Id", node.identifier.numeric);
        break;
    }
    if (id->namespaceUri.length > 0) {
      out.add("Namespace", copied(view(id->namespaceUri)));
    } else if (node.namespaceIndex != 0) {
      out.add("Namespace", node.namespaceIndex);
    }
    if (id->serverIndex != 0) {
      out.add("ServerUri", id->serverIndex);
    }
    return arena_.map(out.pairs());
  }

  ValueView extension(const ValueView& value) {
    const std::string_view id = type_id(value);
    const ValueView body = value.tag == BP_T_TYPED ? value.at(1) : ValueView();
    if (body.tag == BP_T_MAP) {
      return extension(id, body);
    }
    if (body.is_null()) {
      return id == "i=0" || id.empty() ? ValueView() : arena_.map({{"TypeId", node_id(id)}});
    }
    const bool is_xml = body.aux == BP_FORMAT_XML;
    const ValueView bytes = is_xml ? ValueView(std::string_view(body.as.s, body.len))
                                   : ValueView::bytes(body.as.p, body.len);
    return arena_.map({{"TypeId", node_id(id)}, {"Encoding", is_xml ? 2 : 1}, {"Body", bytes}});
  }
  ValueView extension(std::string_view id, const ValueView& fields) {
    const auto node = parse_node_id(id);
    node.or_throw();
    const DataType* const type = types_ != nullptr ? types_->by_id(**node) : nullptr;
    if (type == nullptr || !type->is_structure()) {
      refuse("the server describes no structure ", id);
    }
    return arena_.map({{"TypeId", node_id(id)}, {"Body", structure(*type, fields)}});
  }

  /// Null is not written.
  ValueView structure(const DataType& type, const ValueView& fields) {
    MapBuilder out(arena_);
    if (type.kind == DataType::Kind::kUnion) {
      uint32_t which = 0;
      for (const Field& each : type.fields) {
        ++which;
        if (const auto value = fields.find(each.name)) {
          return arena_.map({{"SwitchField", which}, {"Value", field(each, *value)}});
        }
      }
      return arena_.map({{"SwitchField", 0u}});
    }
    if (type.kind == DataType::Kind::kOptional) {
      out.add("EncodingMask", mask(type, fields));
    }
    for (const Field& each : type.fields) {
      const auto value = fields.find(each.name);
      const ValueView written = value ? field(each, *value) : ValueView();
      if (!written.is_null()) {
        out.add(each.name, written);
      }
    }
    return arena_.map(out.pairs());
  }
  static uint32_t mask(const DataType& type, const ValueView& fields) {
    uint32_t out = 0;
    unsigned bit = 0;
    for (const Field& each : type.fields) {
      if (each.is_optional) {
        out |= fields.find(each.name) && bit < 32 ? 1u << bit : 0u;
        ++bit;
      }
    }
    return out;
  }

  /// Its type is known: no Type, no Body.
  ValueView field(const Field& field, const ValueView& value) {
    const ValueView bare =
        value.tag == BP_T_TYPED && field.built_in != kExtensionObject && field.built_in != kVariant
            ? value.at(1)
            : value;
    if (field.rank < 1) {
      return leaf(field, bare);
    }
    if (field.rank > 1) {  // lists in lists
      const ValueView matrix = bare.tag == BP_T_TYPED ? bare.at(1) : bare;
      const auto sizes = matrix.at(0).get<std::vector<uint32_t>>().value();
      size_t next = 0;
      return rows(field, name_of(bare), sizes, 0, matrix.at(1), next);
    }
    return row(field, name_of(bare), bare.tag == BP_T_TYPED ? bare.at(1) : bare);
  }
  /// What stands once around extension objects that are all of one type.
  static std::string_view name_of(const ValueView& value) {
    const std::string_view id = value.tag == BP_T_TYPED ? type_id(value) : std::string_view();
    return built_in_by_name(id) == 0 ? id : std::string_view();
  }
  ValueView leaf(const Field& field, const ValueView& value, std::string_view name = {}) {
    return field.type != nullptr && field.type->is_structure() ? structure(*field.type, value)
                                                               : one(field.built_in, value, name);
  }
  ValueView row(const Field& field, std::string_view name, const ValueView& elements) {
    ListBuilder out(arena_);
    for (const ValueView each : elements.items()) {
      out.add(leaf(field, each, name));
    }
    return arena_.list({out.view().as.list, out.size()});
  }
  ValueView rows(const Field& field, std::string_view name, const std::vector<uint32_t>& sizes,
                 size_t level, const ValueView& elements, size_t& next) {
    if (level == sizes.size()) {
      return leaf(field, elements.at(next++), name);
    }
    ListBuilder out(arena_);
    for (uint32_t i = 0; i < sizes[level] && next < elements.size(); ++i) {
      out.add(rows(field, name, sizes, level + 1, elements, next));
    }
    return arena_.list({out.view().as.list, out.size()});
  }

  ValueView data_value(const ValueView& value) {
    MapBuilder out(arena_);
    for (const auto& [key, part] : value.entries()) {
      const auto name = key.get<std::string_view>().value_or("");
      if (name == "value") out.add("Value", variant(part));
      if (name == "status") out.add("Status", plain(part));
      if (name == "source_time") out.add("SourceTimestamp", time(*to_date_time(part)));
      if (name == "source_picoseconds") out.add("SourcePicoseconds", part);
      if (name == "server_time") out.add("ServerTimestamp", time(*to_date_time(part)));
      if (name == "server_picoseconds") out.add("ServerPicoseconds", part);
    }
    return arena_.map(out.pairs());
  }

  ValueView diagnostic_info(const ValueView& value) {
    Native<UA_DiagnosticInfo, UA_TYPES_DIAGNOSTICINFO> info;
    const UA_ByteString bytes = borrowed({value.as.s, value.len});
    if (value.tag != BP_T_ENCODED ||
        UA_decodeBinary(&bytes, info.get(), &UA_TYPES[UA_TYPES_DIAGNOSTICINFO], nullptr) !=
            UA_STATUSCODE_GOOD) {
      refuse("expected an encoded DiagnosticInfo, got ", value.type_name());
    }
    return diagnostic_info(*info, kMaxDepth);
  }
  ValueView diagnostic_info(const UA_DiagnosticInfo& info, unsigned depth) {
    if (depth == 0) {
      refuse("a DiagnosticInfo is nested deeper than ", kMaxDepth, " levels");
    }
    MapBuilder out(arena_);
    if (info.hasSymbolicId) out.add("SymbolicId", info.symbolicId);
    if (info.hasNamespaceUri) out.add("NamespaceUri", info.namespaceUri);
    if (info.hasLocale) out.add("Locale", info.locale);
    if (info.hasLocalizedText) out.add("LocalizedText", info.localizedText);
    if (info.hasAdditionalInfo) out.add("AdditionalInfo", copied(view(info.additionalInfo)));
    if (info.hasInnerStatusCode) out.add("InnerStatusCode", info.innerStatusCode);
    if (info.hasInnerDiagnosticInfo && info.innerDiagnosticInfo != nullptr) {
      out.add("InnerDiagnosticInfo", diagnostic_info(*info.innerDiagnosticInfo, depth - 1));
    }
    return arena_.map(out.pairs());
  }

  Arena& arena_;
  DataTypes* types_;
};

}  // namespace

ValueView to_reversible(Arena& arena, const UA_DataValue& value, DataTypes* types) {
  Writer writer(arena, types);
  MapBuilder out(arena);
  if (value.hasValue) out.add("Value", writer.variant(to_value(arena, value.value, types)));
  if (value.hasStatus) out.add("Status", writer.status(value.status));
  if (value.hasSourceTimestamp) out.add("SourceTimestamp", writer.time(value.sourceTimestamp));
  if (value.hasSourcePicoseconds) out.add("SourcePicoseconds", value.sourcePicoseconds);
  if (value.hasServerTimestamp) out.add("ServerTimestamp", writer.time(value.serverTimestamp));
  if (value.hasServerPicoseconds) out.add("ServerPicoseconds", value.serverPicoseconds);
  return arena.map(out.pairs());
}

}  // namespace backplane::opcua
