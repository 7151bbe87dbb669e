// SPDX-License-Identifier: Apache-2.0
#include "reference.hpp"

#include <backplane/operation.h>

namespace backplane::opcua {
namespace {

std::string_view class_name(UA_NodeClass node_class) noexcept {
  switch (node_class) {
    case UA_NODECLASS_OBJECT:
      return "Object";
    case UA_NODECLASS_VARIABLE:
      return "Variable";
    case UA_NODECLASS_METHOD:
      return "Method";
    case UA_NODECLASS_OBJECTTYPE:
      return "ObjectType";
    case UA_NODECLASS_VARIABLETYPE:
      return "VariableType";
    case UA_NODECLASS_REFERENCETYPE:
      return "ReferenceType";
    case UA_NODECLASS_DATATYPE:
      return "DataType";
    case UA_NODECLASS_VIEW:
      return "View";
    default:
      return "Unspecified";
  }
}

uint32_t verbs_of_class(UA_NodeClass node_class) noexcept {
  constexpr uint32_t kBrowse = BP_VERB_BIT(BP_V_BROWSE);
  switch (node_class) {
    case UA_NODECLASS_VARIABLE:
      return kBrowse | BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE) | BP_VERB_BIT(BP_V_WATCH);
    case UA_NODECLASS_METHOD:
      return kBrowse | BP_VERB_BIT(BP_V_CALL);
    default:
      return kBrowse;
  }
}

}  // namespace

UA_BrowseDescription forward_references(const UA_NodeId& node) noexcept {
  UA_BrowseDescription out;
  UA_BrowseDescription_init(&out);
  out.nodeId = node;
  out.browseDirection = UA_BROWSEDIRECTION_FORWARD;
  out.referenceTypeId = ns0(UA_NS0ID_HIERARCHICALREFERENCES);
  out.includeSubtypes = true;
  out.resultMask = UA_BROWSERESULTMASK_ALL;
  return out;
}

void fill_entry(MessageBuilder& entry, const UA_ReferenceDescription& reference) {
  const bool is_here = reference.nodeId.serverIndex == 0;
  Arena& arena = entry.arena();
  const auto kept = [&arena](const std::string& text) { return arena.copy(ValueView(text)); };
  entry
      .header(BP_H_PATH,
              kept(is_here ? to_text(reference.nodeId.nodeId) : to_text(reference.nodeId)))
      .header(BP_H_TYPE, class_name(reference.nodeClass))
      .header(BP_H_TITLE, view(reference.displayName.text))
      .header(BP_H_VERBS, is_here ? verbs_of_class(reference.nodeClass) : 0u);
  entry.body(arena.map({{"name", kept(concat(reference.browseName.namespaceIndex, ":",
                                             view(reference.browseName.name)))},
                        {"reference", kept(to_text(reference.referenceTypeId))},
                        {"forward", static_cast<bool>(reference.isForward)},
                        {"class", class_name(reference.nodeClass)},
                        {"type", kept(to_text(reference.typeDefinition))}}));
}

}  // namespace backplane::opcua
