// SPDX-License-Identifier: Apache-2.0
#include "data_types.hpp"

#include "put_element.hpp"

#include <algorithm>
#include <set>

namespace backplane::opcua {
namespace {

constexpr size_t kMostTypes = 32'768;  // with encodings; a server may tell of others without end
constexpr size_t kMostFields = 1024;
constexpr unsigned kMostSupertypes = 32;
constexpr UA_Int32 kMostDimensions = 32;  // a peer's; an empty matrix has as many zeros

/// Of namespace 0: what a value of the type is encoded as; abstract numbers are in a Variant.
UA_UInt16 built_in_of(const UA_NodeId& id) noexcept {
  if (id.namespaceIndex != 0 || id.identifierType != UA_NODEIDTYPE_NUMERIC) {
    return 0;
  }
  switch (const UA_UInt32 number = id.identifier.numeric) {
    case UA_NS0ID_NUMBER:
    case UA_NS0ID_INTEGER:
    case UA_NS0ID_UINTEGER:
      return kVariant;
    case UA_NS0ID_ENUMERATION:
      return kInt32;
    default:
      return number <= kBuiltInTypes ? static_cast<UA_UInt16>(number) : 0;
  }
}

const UA_DataType* library_type(const UA_NodeId& id) noexcept {
  return id.namespaceIndex == 0 ? UA_findDataType(&id) : nullptr;
}

const UA_DataType* library_type_by_encoding(const UA_NodeId& id) noexcept {
  if (id.namespaceIndex != 0 || id.identifierType != UA_NODEIDTYPE_NUMERIC) {
    return nullptr;
  }
  for (const UA_DataType& type : UA_TYPES) {
    if (type.binaryEncodingId.identifier.numeric == id.identifier.numeric &&
        type.typeKind >= UA_DATATYPEKIND_STRUCTURE) {
      return &type;
    }
  }
  return nullptr;
}

/// A server may send any number, which is no value of the enumeration then.
UA_Int32 kind_number(const UA_StructureDefinition& definition) noexcept {
  UA_Int32 out = 0;
  std::memcpy(&out, &definition.structureType, sizeof out);
  return out;
}

/// Unknown: a kind that the standard has got since.
DataType::Kind kind_of(const UA_StructureDefinition& definition) noexcept {
  switch (kind_number(definition)) {
    case UA_STRUCTURETYPE_STRUCTURE:
    case UA_STRUCTURETYPE_STRUCTUREWITHSUBTYPEDVALUES:
      return DataType::Kind::kStructure;
    case UA_STRUCTURETYPE_STRUCTUREWITHOPTIONALFIELDS:
      return DataType::Kind::kOptional;
    case UA_STRUCTURETYPE_UNION:
    case UA_STRUCTURETYPE_UNIONWITHSUBTYPEDVALUES:
      return DataType::Kind::kUnion;
    default:
      return DataType::Kind::kUnknown;
  }
}

/// A map has each once.
bool has_own_names(const UA_StructureDefinition& definition) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < definition.fieldsSize; ++i) {
    names.insert(view(definition.fields[i].name));
  }
  return names.size() == definition.fieldsSize;
}

bool allows_subtypes(const UA_StructureDefinition& definition) noexcept {
  const UA_Int32 kind = kind_number(definition);
  return kind == UA_STRUCTURETYPE_STRUCTUREWITHSUBTYPEDVALUES ||
         kind == UA_STRUCTURETYPE_UNIONWITHSUBTYPEDVALUES;
}

}  // namespace

bool DataTypes::is_full() const noexcept {
  return types_.size() + by_encoding_.size() >= kMostTypes;
}

DataType& DataTypes::at(const std::string& id) {
  auto& type = types_[id];
  if (!type) {
    type = std::make_unique<DataType>();
    type->id = id;
  }
  return *type;
}

const DataType* DataTypes::find(const std::string& id) const {
  const auto at = types_.find(id);
  return at == types_.end() || at->second->kind == DataType::Kind::kUnknown ? nullptr
                                                                            : at->second.get();
}

const DataType* DataTypes::by_id(const UA_NodeId& id) {
  const std::string text = to_text(id);
  if (const auto at = types_.find(text); at != types_.end()) {
    return find(text);
  }
  if (const UA_DataType* known = library_type(id)) {
    return from_library(*known);
  }
  if (const UA_UInt16 built_in = built_in_of(id); built_in != 0) {
    DataType& type = at(text);
    type.kind = DataType::Kind::kSimple;
    type.built_in = built_in;
    return &type;
  }
  if (!is_full()) {
    missing_.ids.push_back(NodeId::copy_of(id));
  }
  return nullptr;
}

const DataType* DataTypes::by_encoding(const UA_NodeId& encoding) {
  const std::string text = to_text(encoding);
  if (const auto at = by_encoding_.find(text); at != by_encoding_.end()) {
    const DataType* const type = find(at->second);
    return type != nullptr && type->is_structure() ? type : nullptr;
  }
  if (const UA_DataType* known = library_type_by_encoding(encoding)) {
    const DataType* const type = from_library(*known);
    by_encoding_[text] = type->id;
    return type;
  }
  if (!is_full()) {
    missing_.encodings.push_back(NodeId::copy_of(encoding));
  }
  return nullptr;
}

/// The library has what is in namespace 0, without the names of enumerations.
const DataType* DataTypes::from_library(const UA_DataType& known) {
  const std::string id = to_text(known.typeId);
  if (const auto at = types_.find(id); at != types_.end()) {
    return at->second.get();
  }
  DataType& type = at(id);
  type.encoding = NodeId::copy_of(known.binaryEncodingId);
  switch (known.typeKind) {
    case UA_DATATYPEKIND_STRUCTURE:
      type.kind = DataType::Kind::kStructure;
      break;
    case UA_DATATYPEKIND_OPTSTRUCT:
      type.kind = DataType::Kind::kOptional;
      break;
    case UA_DATATYPEKIND_UNION:
      type.kind = DataType::Kind::kUnion;
      break;
    case UA_DATATYPEKIND_ENUM:
      type.kind = DataType::Kind::kEnumeration;
      type.built_in = kInt32;
      return &type;
    default:
      type.kind = DataType::Kind::kSimple;
      type.built_in = known.typeKind <= UA_DATATYPEKIND_DIAGNOSTICINFO
                          ? static_cast<UA_UInt16>(known.typeKind + 1)
                          : UA_UInt16{0};
      return &type;
  }
  type.built_in = kExtensionObject;
  for (size_t i = 0; i < known.membersSize; ++i) {
    const UA_DataTypeMember& member = known.members[i];
    Field field;
    field.name = member.memberName;
    field.rank = member.isArray ? 1 : -1;
    field.is_optional = member.isOptional;
    const DataType* inner = from_library(*member.memberType);
    field.built_in = inner->built_in;
    field.type = inner->kind == DataType::Kind::kSimple ? nullptr : inner;
    type.fields.push_back(std::move(field));
  }
  return &type;
}

void DataTypes::need(const UA_NodeId& id, std::vector<NodeId>& more) {
  if (is_told(id)) {
    return;
  }
  if (built_in_of(id) != 0 || library_type(id) != nullptr) {
    by_id(id);  // from now on it is here
  } else {
    more.push_back(NodeId::copy_of(id));
  }
}

bool DataTypes::define(const UA_NodeId& id, const UA_Variant& definition,
                       std::vector<NodeId>& more) {
  if (is_full() || is_told(id)) {
    return is_told(id);
  }
  if (UA_Variant_hasScalarType(&definition, &UA_TYPES[UA_TYPES_ENUMDEFINITION])) {
    const auto& told = *static_cast<const UA_EnumDefinition*>(definition.data);
    DataType& type = at(to_text(id));
    type.kind = DataType::Kind::kEnumeration;
    for (size_t i = 0; i < std::min(told.fieldsSize, kMostFields); ++i) {
      type.names.emplace_back(told.fields[i].value, view(told.fields[i].name));
    }
    unlinked_.push_back(&type);
    return true;
  }
  if (!UA_Variant_hasScalarType(&definition, &UA_TYPES[UA_TYPES_STRUCTUREDEFINITION])) {
    return false;
  }
  const auto& told = *static_cast<const UA_StructureDefinition*>(definition.data);
  if (told.fieldsSize > kMostFields || kind_of(told) == DataType::Kind::kUnknown ||
      !has_own_names(told)) {
    return false;
  }
  DataType& type = at(to_text(id));
  type.kind = kind_of(told);
  type.built_in = kExtensionObject;
  type.encoding = NodeId::copy_of(told.defaultEncodingId);
  for (size_t i = 0; i < told.fieldsSize; ++i) {
    const UA_StructureField& from = told.fields[i];
    Field field;
    field.name = view(from.name);
    field.type_id = to_text(from.dataType);
    field.rank = from.valueRank;
    field.has_subtypes = allows_subtypes(told) && from.isOptional;
    field.is_optional = type.kind == DataType::Kind::kOptional && from.isOptional;
    need(from.dataType, more);
    type.fields.push_back(std::move(field));
  }
  unlinked_.push_back(&type);
  if (!UA_NodeId_isNull(&told.defaultEncodingId)) {
    by_encoding_.try_emplace(to_text(told.defaultEncodingId), type.id);
  }
  return true;
}

void DataTypes::derive(const UA_NodeId& id, const UA_NodeId& from, std::vector<NodeId>& more) {
  DataType& type = at(to_text(id));
  if (type.kind == DataType::Kind::kUnknown) {
    type.kind = DataType::Kind::kSimple;
    unlinked_.push_back(&type);
  }
  type.derived_from = to_text(from);
  need(from, more);
}

void DataTypes::set_encoding(const UA_NodeId& encoding, const UA_NodeId& id,
                             std::vector<NodeId>& more) {
  by_encoding_[to_text(encoding)] = to_text(id);
  need(id, more);
}

void DataTypes::set_unknown(const UA_NodeId& id) { at(to_text(id)); }

void DataTypes::set_unknown_encoding(const UA_NodeId& encoding) {
  by_encoding_.try_emplace(to_text(encoding));
}

bool DataTypes::link_field(Field& field) const {
  if (!field.type_id.empty()) {
    const DataType* const type = find(field.type_id);
    if (type == nullptr || type->built_in == 0 || field.name.empty() ||
        (field.rank != -1 && field.rank < 1) || field.rank > kMostDimensions) {
      return false;
    }
    field.built_in = type->built_in;
    field.type =
        type->is_structure() || type->kind == DataType::Kind::kEnumeration ? type : nullptr;
    // It would have no byte, so that no count of it could be trusted.
    if (type->kind == DataType::Kind::kStructure && type->fields.empty()) {
      return false;
    }
    // What derives from Structure without a definition is not an extension object: it is in line.
    if (type->built_in == kExtensionObject && field.type == nullptr && !field.has_subtypes &&
        type->id != "i=22") {
      return false;
    }
    if (field.has_subtypes) {
      field.built_in = type->built_in == kExtensionObject ? kExtensionObject : kVariant;
      field.type = nullptr;
    }
  }
  return true;
}

void DataTypes::link() {
  for (DataType* type : unlinked_) {
    // Simple types and enumerations: what is at the end of the line.
    const DataType* from = type;
    for (unsigned i = 0; i < kMostSupertypes && from != nullptr && from->built_in == 0; ++i) {
      from = find(from->derived_from);
    }
    if (type->built_in == 0 && from != nullptr) {
      type->built_in = from->built_in;
    }
  }
  // A structure is known if all of its fields are; in circles all are, until one is not.
  for (bool is_stable = false; !is_stable;) {
    is_stable = true;
    for (DataType* type : unlinked_) {
      const bool is_good =
          type->kind == DataType::Kind::kUnknown ||
          (type->built_in != 0 && std::all_of(type->fields.begin(), type->fields.end(),
                                              [&](Field& field) { return link_field(field); }));
      if (!is_good) {
        type->kind = DataType::Kind::kUnknown;
        is_stable = false;
      }
    }
  }
  unlinked_.clear();
}

}  // namespace backplane::opcua
