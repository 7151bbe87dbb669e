// SPDX-License-Identifier: Apache-2.0
#include "node_management.hpp"

#include "address.hpp"
#include "error_map.hpp"
#include "put_element.hpp"
#include "reference.hpp"

namespace backplane::opcua {
namespace {

constexpr std::string_view kMethods[] = {"add_node", "delete_node", "add_reference",
                                         "delete_reference"};

size_t method_of(MessageView in) {
  const auto name = in.header<std::string>(BP_H_METHOD).value_or("");
  const auto* const at = std::find(std::begin(kMethods), std::end(kMethods), name);
  if (at == std::end(kMethods)) {
    throw Error(BP_INVALID_ARGUMENT, "there is no method '", name,
                "' of a node; there are add_node, delete_node, add_reference, delete_reference");
  }
  return static_cast<size_t>(at - std::begin(kMethods));
}

UA_Byte access_of(const std::string& text) {
  if (text == "read") return UA_ACCESSLEVELMASK_READ;
  if (text == "write") return UA_ACCESSLEVELMASK_WRITE;
  if (text == "read_write" || text.empty()) {
    return UA_ACCESSLEVELMASK_READ | UA_ACCESSLEVELMASK_WRITE;
  }
  throw Error(BP_INVALID_ARGUMENT, "'access': expected read, write or read_write, got '", text,
              "'");
}

/// What a new node has of itself.
class Attributes {
 public:
  Attributes(const std::string& title, const std::string& description)
      : title_{UA_STRING_NULL, borrowed(title)},
        description_{UA_STRING_NULL, borrowed(description)} {}

  UA_ExtensionObject of_object() {
    object_ = UA_ObjectAttributes_default;
    object_.specifiedAttributes = kOfEach;  // a server passes over the others
    object_.displayName = title_;
    object_.description = description_;
    return wrapped(&object_, UA_TYPES[UA_TYPES_OBJECTATTRIBUTES]);
  }
  UA_ExtensionObject of_variable(const UA_NodeId& type, UA_Byte access, Variant value) {
    value_ = std::move(value);
    variable_ = UA_VariableAttributes_default;
    variable_.specifiedAttributes =
        kOfEach | UA_NODEATTRIBUTESMASK_DATATYPE | UA_NODEATTRIBUTESMASK_VALUERANK |
        UA_NODEATTRIBUTESMASK_ARRAYDIMENSIONS | UA_NODEATTRIBUTESMASK_ACCESSLEVEL |
        UA_NODEATTRIBUTESMASK_USERACCESSLEVEL |
        (value_->type != nullptr ? UA_NODEATTRIBUTESMASK_VALUE : UA_NODEATTRIBUTESMASK_NONE);
    variable_.displayName = title_;
    variable_.description = description_;
    variable_.dataType = type;
    variable_.accessLevel = access;
    variable_.userAccessLevel = access;
    variable_.value = *value_;
    const bool is_scalar = value_->type == nullptr || UA_Variant_isScalar(value_.get());
    const size_t rank = std::max<size_t>(value_->arrayDimensionsSize, 1);
    dimensions_.assign(is_scalar ? 0 : rank, 0);
    variable_.valueRank = is_scalar ? UA_VALUERANK_SCALAR : static_cast<UA_Int32>(rank);
    variable_.arrayDimensions = dimensions_.data();
    variable_.arrayDimensionsSize = dimensions_.size();
    return wrapped(&variable_, UA_TYPES[UA_TYPES_VARIABLEATTRIBUTES]);
  }

 private:
  static constexpr UA_UInt32 kOfEach =
      UA_NODEATTRIBUTESMASK_DISPLAYNAME | UA_NODEATTRIBUTESMASK_DESCRIPTION;  // part 4, 7.24

  static UA_ExtensionObject wrapped(void* what, const UA_DataType& type) {
    UA_ExtensionObject out;
    UA_ExtensionObject_setValueNoDelete(&out, what, &type);
    return out;
  }
  const UA_LocalizedText title_;
  const UA_LocalizedText description_;
  UA_ObjectAttributes object_{};
  UA_VariableAttributes variable_{};
  Variant value_;
  std::vector<UA_UInt32> dimensions_;
};

UA_StatusCode status_of(const UA_AddNodesResult& result) { return result.statusCode; }
UA_StatusCode status_of(UA_StatusCode result) { return result; }

void tell(MessageBuilder& out, const UA_AddNodesResult& result) {
  out.body(out.arena().copy(to_text(result.addedNodeId)));
}
void tell(MessageBuilder&, UA_StatusCode) {}

}  // namespace

NodeManagement::NodeManagement(std::shared_ptr<Target> target, Requests& requests, uint64_t key,
                               MessageView in)
    : Job(std::move(target)),
      requests_(requests),
      key_(key),
      in_(in),
      method_(static_cast<Method>(method_of(in))) {}

std::string NodeManagement::context() const {
  return concat(kMethods[static_cast<size_t>(method_)], " of '", target().text, "'");
}

std::string NodeManagement::text(std::string_view key) const {
  const auto value = in_.body().find(key);
  if (!value) {
    return {};
  }
  const auto out = value->get<std::string>();
  if (!out) {
    throw Error(BP_INVALID_ARGUMENT, context(), ": '", key, "': expected text, got ",
                value->to_text(64));
  }
  return *out;
}

bool NodeManagement::flag(std::string_view key, bool otherwise) const {
  const auto value = in_.body().find(key);
  const auto out = value ? value->get<bool>() : std::optional(otherwise);
  if (!out) {
    throw Error(BP_INVALID_ARGUMENT, context(), ": '", key, "': expected true or false, got ",
                value->to_text(64));
  }
  return *out;
}

NodeId NodeManagement::node_id(const Session& session, std::string_view key,
                               UA_UInt32 otherwise) const {
  const std::string said = text(key);
  if (said.empty()) {
    if (otherwise == 0) {
      throw Error(BP_INVALID_ARGUMENT, context(), ": '", key, "' is absent");
    }
    return NodeId(UA_NODEID_NUMERIC(0, otherwise));
  }
  const auto address = parse_address(said);
  if (!address || address->is_path()) {
    throw Error(BP_INVALID_ARGUMENT, context(), ": '", key,
                "': expected a node id, such as i=35, got '", said, "'");
  }
  auto out = node_id_of(*address, session.namespaces());
  out.or_throw();
  return *std::move(out);
}

template <class Response>
void NodeManagement::answered(const Response& response) {
  UA_StatusCode status = service_status(response);
  if (!is_bad(status)) {
    status = status_of(response.results[0]);
  }
  if (is_bad(status)) {
    return fail(bad_status(status, context()));
  }
  requests_.answer(key_, [&](MessageBuilder& out) {
    tell(out, response.results[0]);
    return Status::ok();
  });
}

void NodeManagement::run(Session& session) {
  if (!in_.body().is_null() && in_.body().tag != BP_T_MAP) {
    throw Error(BP_INVALID_ARGUMENT, context(), ": expected a map, got ", in_.body().to_text(64));
  }
  switch (method_) {
    case Method::kAddNode:
      return add_node(session);
    case Method::kDeleteNode:
      return delete_node(session);
    case Method::kAddReference:
      return add_reference(session);
    case Method::kDeleteReference:
      return delete_reference(session);
  }
}

void NodeManagement::add_node(Session& session) {
  const std::string node_class = text("class");
  const bool is_object = node_class == "Object";
  if (!is_object && node_class != "Variable") {
    throw Error(BP_INVALID_ARGUMENT, context(), ": 'class': expected Object or Variable, got '",
                node_class, "'");
  }
  const auto name = parse_address(concat("/", text("name")));
  if (!name || name->path.size() != 1) {
    throw Error(BP_INVALID_ARGUMENT, context(),
                ": 'name': expected a browse name, such as 1:Level, ", "got '", text("name"), "'");
  }
  const auto number = namespace_of(name->path.front(), session.namespaces());
  number.or_throw();
  const std::string title = in_.body().find("title") ? text("title") : name->path.front().name;
  const std::string description = text("description");
  const NodeId reference = node_id(session, "reference", UA_NS0ID_HASCOMPONENT);
  const NodeId definition =
      node_id(session, "type_definition",
              is_object ? UA_NS0ID_BASEOBJECTTYPE : UA_NS0ID_BASEDATAVARIABLETYPE);
  NodeId id;
  if (in_.body().find("id")) {
    id = node_id(session, "id", 0);
  }
  NodeId type;
  Attributes attributes(title, description);
  UA_AddNodesItem item;
  UA_AddNodesItem_init(&item);
  item.parentNodeId.nodeId = *target().node;
  item.referenceTypeId = *reference;
  item.requestedNewNodeId.nodeId = *id;
  item.browseName = {*number, borrowed(name->path.front().name)};
  item.nodeClass = is_object ? UA_NODECLASS_OBJECT : UA_NODECLASS_VARIABLE;
  item.typeDefinition.nodeId = *definition;
  if (is_object) {
    item.nodeAttributes = attributes.of_object();
  } else {
    const std::string said = text("type");
    const UA_UInt16 built_in = built_in_by_name(said);
    type = built_in != 0 ? NodeId::copy_of(built_in_type(built_in).typeId)
                         : node_id(session, "type", 0);
    const auto value = in_.body().find("value");
    const bool is_any = built_in == 0 || built_in == kVariant;
    Variant native =
        value ? to_variant(*value, Wanted{is_any ? UA_UInt16{0} : built_in, nullptr}) : Variant();
    item.nodeAttributes = attributes.of_variable(
        is_any && built_in == kVariant ? UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATATYPE) : *type,
        access_of(text("access")), std::move(native));
  }
  UA_AddNodesRequest request;
  UA_AddNodesRequest_init(&request);
  request.nodesToAdd = &item;
  request.nodesToAddSize = 1;
  session.ask<UA_AddNodesResponse, UA_TYPES_ADDNODESRESPONSE>(
      request, UA_TYPES_ADDNODESREQUEST,
      [self = shared_from_this()](const UA_AddNodesResponse& response) {
        self->answered(response);
      });
}

void NodeManagement::delete_node(Session& session) {
  UA_DeleteNodesItem item;
  UA_DeleteNodesItem_init(&item);
  item.nodeId = *target().node;
  item.deleteTargetReferences = flag("references", true);
  UA_DeleteNodesRequest request;
  UA_DeleteNodesRequest_init(&request);
  request.nodesToDelete = &item;
  request.nodesToDeleteSize = 1;
  session.ask<UA_DeleteNodesResponse, UA_TYPES_DELETENODESRESPONSE>(
      request, UA_TYPES_DELETENODESREQUEST,
      [self = shared_from_this()](const UA_DeleteNodesResponse& response) {
        self->answered(response);
      });
}

void NodeManagement::find_reference(const Session& session) {
  reference_ = node_id(session, "reference", 0);
  other_ = node_id(session, "target", 0);
  is_forward_ = flag("forward", true);
}

void NodeManagement::add_reference(Session& session) {
  find_reference(session);
  const std::string said = text("target_class");
  if (said.empty()) {
    return read_target_class(session);
  }
  const auto target_class = class_by_name(said);
  if (!target_class) {
    throw Error(BP_INVALID_ARGUMENT, context(),
                ": 'target_class': expected a class of nodes, such as Variable, got '", said, "'");
  }
  add_reference(session, *target_class);
}

/// A server may refuse a reference whose target is of another class than it is told (part 4,
/// 5.8.3.2).
void NodeManagement::read_target_class(Session& session) {
  session.read_attribute(
      *other_, UA_ATTRIBUTEID_NODECLASS,
      [self = shared_from_this(), &session](UA_StatusCode service, const UA_DataValue& value) {
        const UA_StatusCode status = !is_bad(service) && value.hasStatus ? value.status : service;
        if (is_bad(status)) {
          return self->fail(bad_status(status, concat(self->context(), ": its target")));
        }
        const bool is_class = UA_Variant_hasScalarType(&value.value, &UA_TYPES[UA_TYPES_INT32]);
        self->add_reference(session, is_class ? *static_cast<const UA_UInt32*>(value.value.data)
                                              : uint32_t{UA_NODECLASS_UNSPECIFIED});
      });
}

void NodeManagement::add_reference(Session& session, uint32_t target_class) {
  UA_AddReferencesItem item;
  UA_AddReferencesItem_init(&item);
  item.sourceNodeId = *target().node;
  item.referenceTypeId = *reference_;
  item.isForward = is_forward_;
  item.targetNodeId.nodeId = *other_;
  std::memcpy(&item.targetNodeClass, &target_class, sizeof target_class);  // any, as told
  UA_AddReferencesRequest request;
  UA_AddReferencesRequest_init(&request);
  request.referencesToAdd = &item;
  request.referencesToAddSize = 1;
  session.ask<UA_AddReferencesResponse, UA_TYPES_ADDREFERENCESRESPONSE>(
      request, UA_TYPES_ADDREFERENCESREQUEST,
      [self = shared_from_this()](const UA_AddReferencesResponse& response) {
        self->answered(response);
      });
}

void NodeManagement::delete_reference(Session& session) {
  find_reference(session);
  UA_DeleteReferencesItem item;
  UA_DeleteReferencesItem_init(&item);
  item.sourceNodeId = *target().node;
  item.referenceTypeId = *reference_;
  item.isForward = is_forward_;
  item.targetNodeId.nodeId = *other_;
  item.deleteBidirectional = true;
  UA_DeleteReferencesRequest request;
  UA_DeleteReferencesRequest_init(&request);
  request.referencesToDelete = &item;
  request.referencesToDeleteSize = 1;
  session.ask<UA_DeleteReferencesResponse, UA_TYPES_DELETEREFERENCESRESPONSE>(
      request, UA_TYPES_DELETEREFERENCESREQUEST,
      [self = shared_from_this()](const UA_DeleteReferencesResponse& response) {
        self->answered(response);
      });
}

}  // namespace backplane::opcua
