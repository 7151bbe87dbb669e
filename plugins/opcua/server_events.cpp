// SPDX-License-Identifier: Apache-2.0
#include "server_events.hpp"

#include "address.hpp"
#include "error_map.hpp"
#include "put_element.hpp"
#include "time.hpp"

#include <array>

namespace backplane::opcua {
namespace {

constexpr UA_UInt16 kUInt16 = 5;
constexpr UA_UInt16 kString = 12;
constexpr UA_UInt16 kDateTime = 13;
constexpr UA_UInt16 kLocalizedText = 21;
constexpr UA_UInt16 kUsualSeverity = 500;
constexpr UA_UInt16 kMostSevere = 1000;

struct StandardField {
  std::string_view name;
  UA_UInt16 type;
};
/// The others are the library's: EventId, SourceNode, ReceiveTime; EventType says what it is.
constexpr std::array kStandardFields = {
    StandardField{"Message", kLocalizedText}, StandardField{"Severity", kUInt16},
    StandardField{"SourceName", kString}, StandardField{"Time", kDateTime}};

void require(UA_StatusCode status, std::string_view context) {
  if (status != UA_STATUSCODE_GOOD) {
    throw Error(bad_status(status, context));
  }
}

/// An event's node, until it is reported.
class EventNode {
 public:
  EventNode(UA_Server* server, const UA_NodeId& type) : server_(server) {
    require(UA_Server_createEvent(server, type, node_.get()),
            concat("an event of the type '", to_text(type), "'"));
  }
  ~EventNode() {
    if (server_ != nullptr) {
      UA_Server_deleteNode(server_, *node_, true);
    }
  }
  EventNode(const EventNode&) = delete;
  EventNode& operator=(const EventNode&) = delete;

  void set(const UA_QualifiedName& name, const UA_Variant& value) {
    require(UA_Server_writeObjectProperty(server_, *node_, name, value),
            concat("field '", view(name.name), "'"));
  }
  template <class T>
  void set(const char* name, T value, int type) {
    UA_Variant variant;
    UA_Variant_setScalar(&variant, &value, &UA_TYPES[type]);
    set({0, borrowed(name)}, variant);
  }
  void report_at(const UA_NodeId& origin) {
    require(UA_Server_triggerEvent(server_, *node_, origin, nullptr, true),
            concat("reporting at '", to_text(origin), "'"));
    server_ = nullptr;  // it has deleted the node
  }

 private:
  UA_Server* server_;
  NodeId node_;
};

void add_field(UA_Server* server, const UA_NodeId& type, const DeclaredArgument& field,
               const std::string& event) {
  UA_VariableAttributes attributes = UA_VariableAttributes_default;
  attributes.displayName.text = borrowed(field.name);
  attributes.description.text = borrowed(field.description);
  field.shape.describe(attributes);
  NodeId node;
  const std::string context = concat("event '", event, "', field '", field.name, "'");
  require(UA_Server_addVariableNode(server, UA_NODEID_NUMERIC(type.namespaceIndex, 0), type,
                                    ns0(UA_NS0ID_HASPROPERTY),
                                    {type.namespaceIndex, borrowed(field.name)},
                                    ns0(UA_NS0ID_PROPERTYTYPE), attributes, nullptr, node.get()),
          context);
  // So that each event of the type has it.
  require(
      UA_Server_addReference(server, *node, ns0(UA_NS0ID_HASMODELLINGRULE),
                             UA_EXPANDEDNODEID_NUMERIC(0, UA_NS0ID_MODELLINGRULE_MANDATORY), true),
      context);
}

}  // namespace

void ServerEvents::add_to(UA_Server* server) const {
  for (const DeclaredEvent& each : declared_) {
    auto id = parse_node_id(each.id);
    id.or_throw();
    UA_ObjectTypeAttributes attributes = UA_ObjectTypeAttributes_default;
    attributes.displayName.text = borrowed(each.name);
    attributes.description.text = borrowed(each.description);
    require(UA_Server_addObjectTypeNode(
                server, **id, ns0(UA_NS0ID_BASEEVENTTYPE), ns0(UA_NS0ID_HASSUBTYPE),
                {(*id)->namespaceIndex, borrowed(each.name)}, attributes, nullptr, nullptr),
            concat("event '", each.id, "'"));
    for (const DeclaredArgument& field : each.fields) {
      add_field(server, **id, field, each.id);
    }
  }
}

const DeclaredEvent* ServerEvents::find_type(std::string_view text) const noexcept {
  for (const DeclaredEvent& each : declared_) {
    if (each.id == text || each.name == text) {
      return &each;
    }
  }
  return nullptr;
}

ServerEvents::Field ServerEvents::field(const DeclaredEvent* type, const ValueView& name) const {
  const auto wanted = name.get<std::string_view>().value_or("");
  std::string all;
  for (const StandardField& each : kStandardFields) {
    if (each.name == wanted) {
      return {{0, borrowed(each.name)}, {each.type, {}}};
    }
    all += concat(each.name, ", ");
  }
  if (type != nullptr) {
    for (const DeclaredArgument& each : type->fields) {
      if (each.name == wanted) {
        const auto id = parse_node_id(type->id);
        return {{(*id)->namespaceIndex, borrowed(each.name)}, each.shape};
      }
      all += concat(each.name, ", ");
    }
  }
  throw Error(BP_INVALID_ARGUMENT, "an event of the type '",
              type != nullptr ? type->name : "BaseEventType", "' has no field '", wanted,
              "' that can be written; it has ", all, "EventType");
}

void ServerEvents::raise(UA_Server* server, const UA_NodeId& node, MessageView message) const {
  if (message.body().tag != BP_T_MAP) {
    throw Error(BP_INVALID_ARGUMENT,
                "an event is a map of its fields, such as {\"Message\": \"it is "
                "too hot\", \"Severity\": 700}, got ",
                message.body().to_text(64));
  }
  NodeId type(ns0(UA_NS0ID_BASEEVENTTYPE));
  const DeclaredEvent* declared = nullptr;
  if (const auto said = message.body().find("EventType")) {
    const auto text = said->get<std::string_view>().value_or("");
    declared = find_type(text);
    auto id = parse_node_id(declared != nullptr ? std::string_view(declared->id) : text);
    if (!id) {
      throw Error(BP_INVALID_ARGUMENT, "EventType '", said->to_text(64),
                  "': expected a type of 'events', or the node id of one of the standard's");
    }
    type = *std::move(id);
  }
  EventNode event(server, *type);
  const auto time = message.time();
  event.set("Time", time ? to_date_time(ValueView(*time)).value() : UA_DateTime_now(),
            UA_TYPES_DATETIME);
  event.set("Severity", kUsualSeverity, UA_TYPES_UINT16);
  for (const auto& [name, value] : message.body().entries()) {
    if (name.get<std::string_view>() == "EventType") {
      continue;
    }
    const Field wanted = field(declared, name);
    const bool is_any = wanted.shape.type == kVariant;
    const std::string context = concat("field '", view(wanted.name.name), "'");
    Variant native;
    try {
      const UA_UInt16 built_in = is_any ? UA_UInt16{0} : wanted.shape.type;
      native = to_variant(value, Wanted{built_in, nullptr});
    } catch (const Error& error) {
      throw Error(Status(error.status()).with_context(context));
    }
    // A typed value is what it says it is.
    const bool is_of_type = is_any || native->type == &built_in_type(wanted.shape.type);
    if (!is_of_type || (!is_any && !wanted.shape.holds(*native))) {
      throw Error(BP_INVALID_ARGUMENT, context, " is a ", wanted.shape.text(), ", got ",
                  value.to_text(64));
    }
    if (view(wanted.name.name) == "Severity") {
      const auto severity = *static_cast<const UA_UInt16*>(native->data);
      if (severity < 1 || severity > kMostSevere) {
        throw Error(BP_OUT_OF_RANGE, "field 'Severity': expected 1 to ", kMostSevere, ", got ",
                    severity);
      }
    }
    event.set(wanted.name, *native);
  }
  event.report_at(node);
}

}  // namespace backplane::opcua
