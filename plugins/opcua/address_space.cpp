// SPDX-License-Identifier: Apache-2.0
#include "address_space.hpp"

#include "error_map.hpp"

namespace backplane::opcua {
namespace {

using Path = std::span<const Address::Segment>;

std::string text_of(Path path) {
  std::string out;
  for (const Address::Segment& segment : path) {
    out += concat("/", segment.ns, ":", segment.name);
  }
  return out;
}

/// "ns=1;s=Line1.Tank" for /1:Line1/1:Tank.
std::string id_of(Path path) {
  std::string out = concat("ns=", path.back().ns, ";s=");
  for (const Address::Segment& segment : path) {
    out += concat(out.back() == '=' ? "" : ".", segment.name);
  }
  return out;
}

void require(UA_StatusCode status, const std::string& id) {
  if (status != UA_STATUSCODE_GOOD) {
    const Status why = bad_status(status, concat("node '", id, "'"));
    throw Error(Status(BP_INVALID_ARGUMENT, why.message())
                    .with_native(static_cast<int32_t>(status), kDomain));
  }
}

UA_LocalizedText text(const std::string& words) {
  return {UA_STRING_NULL, words.empty() ? UA_STRING_NULL : borrowed(words)};
}

UA_QualifiedName browse_name(Path path) { return {path.back().ns, borrowed(path.back().name)}; }

/// Objects organizes, an object has components.
UA_NodeId reference_to(Path path) {
  return ns0(path.size() == 1 ? UA_NS0ID_ORGANIZES : UA_NS0ID_HASCOMPONENT);
}

void add_property(UA_Server* server, const UA_NodeId& node, const char* name, void* value,
                  const UA_DataType& type, const std::string& id) {
  UA_VariableAttributes attributes = UA_VariableAttributes_default;
  attributes.displayName.text = borrowed(name);
  attributes.dataType = type.typeId;
  attributes.valueRank = UA_VALUERANK_SCALAR;
  UA_Variant_setScalar(&attributes.value, value, &type);
  require(UA_Server_addVariableNode(server, UA_NODEID_NUMERIC(node.namespaceIndex, 0), node,
                                    ns0(UA_NS0ID_HASPROPERTY), {0, borrowed(name)},
                                    ns0(UA_NS0ID_PROPERTYTYPE), attributes, nullptr, nullptr),
          id);
}

/// Shown as it is: no registry of units is claimed.
UA_EUInformation unit_of(const std::string& unit) {
  UA_EUInformation out;
  UA_EUInformation_init(&out);
  out.unitId = -1;
  out.displayName.text = borrowed(unit);
  return out;
}

std::vector<UA_Argument> arguments_of(const std::vector<DeclaredArgument>& declared) {
  std::vector<UA_Argument> out;
  for (const DeclaredArgument& each : declared) {
    UA_Argument argument;
    UA_Argument_init(&argument);
    argument.name = borrowed(each.name);
    argument.description = text(each.description);
    each.shape.describe(argument);
    out.push_back(argument);
  }
  return out;
}

UA_NodeId id_of_parent(const AddressSpace::Node& node) {
  return node.parent != nullptr ? *node.parent->id : ns0(UA_NS0ID_OBJECTSFOLDER);
}

void add_object(UA_Server* server, const AddressSpace::Node& node) {
  UA_ObjectAttributes attributes = UA_ObjectAttributes_default;
  attributes.displayName = text(node.path.back().name);
  attributes.eventNotifier = UA_EVENTNOTIFIER_SUBSCRIBE_TO_EVENT;
  require(UA_Server_addObjectNode(server, *node.id, id_of_parent(node), reference_to(node.path),
                                  browse_name(node.path), ns0(UA_NS0ID_BASEOBJECTTYPE), attributes,
                                  nullptr, nullptr),
          to_text(*node.id));
}

void add_variable(UA_Server* server, const AddressSpace::Node& node) {
  const DeclaredVariable& declared = node.variable->declared();
  UA_VariableAttributes attributes = UA_VariableAttributes_default;
  attributes.displayName = text(declared.title);
  attributes.description = text(declared.description);
  declared.shape.describe(attributes);
  attributes.accessLevel = static_cast<UA_Byte>(
      (declared.is_readable ? UA_ACCESSLEVELMASK_READ : 0u) |
      (declared.is_writable ? UA_ACCESSLEVELMASK_WRITE | UA_ACCESSLEVELMASK_STATUSWRITE |
                                  UA_ACCESSLEVELMASK_TIMESTAMPWRITE
                            : 0u) |
      (declared.history > 0 && declared.is_readable ? UA_ACCESSLEVELMASK_HISTORYREAD : 0u));
  attributes.historizing = declared.history > 0;
  const UA_UInt32 type = declared.range ? UA_NS0ID_ANALOGITEMTYPE : UA_NS0ID_BASEDATAVARIABLETYPE;
  require(UA_Server_addNode_begin(server, UA_NODECLASS_VARIABLE, *node.id, id_of_parent(node),
                                  reference_to(node.path), browse_name(node.path), ns0(type),
                                  &attributes, &UA_TYPES[UA_TYPES_VARIABLEATTRIBUTES],
                                  node.variable, nullptr),
          declared.id);
  if (declared.range) {
    UA_Range range{declared.range->first, declared.range->second};
    add_property(server, *node.id, "EURange", &range, UA_TYPES[UA_TYPES_RANGE], declared.id);
  }
  if (!declared.unit.empty()) {
    UA_EUInformation unit = unit_of(declared.unit);
    add_property(server, *node.id, "EngineeringUnits", &unit, UA_TYPES[UA_TYPES_EUINFORMATION],
                 declared.id);
  }
  require(UA_Server_addNode_finish(server, *node.id), declared.id);
  require(UA_Server_setVariableNodeDynamic(server, *node.id, true), declared.id);
  require(UA_Server_setVariableNode_valueBackend(server, *node.id, node.variable->backend()),
          declared.id);
}

void add_method(UA_Server* server, const AddressSpace::Node& node, UA_MethodCallback called) {
  const DeclaredMethod& declared = node.method->declared();
  UA_MethodAttributes attributes = UA_MethodAttributes_default;
  attributes.displayName = text(declared.title);
  attributes.description = text(declared.description);
  attributes.executable = true;
  attributes.userExecutable = true;
  const auto inputs = arguments_of(declared.inputs);
  const auto outputs = arguments_of(declared.outputs);
  const UA_NodeId any = UA_NODEID_NUMERIC(node.id->namespaceIndex, 0);
  // A component also of Objects: what is only organized cannot be called.
  require(UA_Server_addMethodNodeEx(
              server, *node.id, id_of_parent(node), ns0(UA_NS0ID_HASCOMPONENT),
              browse_name(node.path), attributes, called, inputs.size(), inputs.data(), any,
              nullptr, outputs.size(), outputs.data(), any, nullptr, node.method, nullptr),
          declared.id);
  require(UA_Server_setMethodNodeAsync(server, *node.id, true), declared.id);
}

}  // namespace

AddressSpace::AddressSpace(const Host& host, const ServerSettings& settings,
                           Variable::Changed changed)
    : settings_(settings), changed_(std::move(changed)) {
  for (const DeclaredVariable& each : settings_.variables) {
    variables_.push_back(std::make_unique<Variable>(host, each, changed_));
    enter(each.id, each.path).variable = variables_.back().get();
  }
  for (const DeclaredMethod& each : settings_.methods) {
    methods_.push_back(std::make_unique<Method>(host, each));
    enter(each.id, each.path).method = methods_.back().get();
  }
}

AddressSpace::Node& AddressSpace::enter(const std::string& id, Path path) {
  const Node* const parent = object(path.first(path.size() - 1));
  const auto [at, is_new] = by_id_.try_emplace(id);
  Node& node = at->second;
  if (!is_new) {
    throw Error(BP_INVALID_ARGUMENT, "node '", id, "' is there twice, the first time as ",
                node.variable != nullptr ? "a variable"
                : node.method != nullptr ? "a method"
                                         : "the object above others");
  }
  if (const auto other = by_path_.try_emplace(text_of(path), &node); !other.second) {
    throw Error(BP_INVALID_ARGUMENT, "node '", id, "': at ", text_of(path),
                " there is another one already, '", to_text(*other.first->second->id), "'");
  }
  auto parsed = parse_node_id(id);
  parsed.or_throw();
  node.id = *std::move(parsed);
  node.path.assign(path.begin(), path.end());
  node.parent = parent;
  in_order_.push_back(&node);
  return node;
}

const AddressSpace::Node* AddressSpace::object(Path path) {
  if (path.empty()) {
    return nullptr;
  }
  const auto known = by_path_.find(text_of(path));
  if (known == by_path_.end()) {
    return &enter(id_of(path), path);
  }
  const Node& node = *known->second;
  if (node.variable != nullptr || node.method != nullptr) {
    throw Error(BP_INVALID_ARGUMENT, "node '", to_text(*node.id),
                "' is no object: nothing can be below it");
  }
  return &node;
}

void AddressSpace::add_to(UA_Server* server, UA_MethodCallback called) const {
  for (size_t i = 1; i < settings_.namespaces.size(); ++i) {
    if (UA_Server_addNamespace(server, settings_.namespaces[i].c_str()) != i) {
      throw std::bad_alloc();
    }
  }
  for (const Node* const node : in_order_) {
    if (node->variable != nullptr) {
      add_variable(server, *node);
    } else if (node->method != nullptr) {
      add_method(server, *node, called);
    } else {
      add_object(server, *node);
    }
  }
}

const AddressSpace::Node* AddressSpace::find(const Address& address) const {
  if (address.is_path()) {
    const auto at = by_path_.find(text_of(address.path));
    return at == by_path_.end() ? nullptr : at->second;
  }
  const auto id = node_id_of(address, settings_.namespaces);
  id.or_throw();
  return find(**id);
}

const AddressSpace::Node* AddressSpace::find(const UA_NodeId& id) const {
  const auto at = by_id_.find(to_text(id));
  return at == by_id_.end() ? nullptr : &at->second;
}

}  // namespace backplane::opcua
