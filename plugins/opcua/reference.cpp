// SPDX-License-Identifier: Apache-2.0
#include "reference.hpp"

#include <backplane/operation.h>

namespace backplane::opcua {
namespace {

constexpr std::pair<UA_NodeClass, std::string_view> kClasses[] = {
    {UA_NODECLASS_OBJECT, "Object"},
    {UA_NODECLASS_VARIABLE, "Variable"},
    {UA_NODECLASS_METHOD, "Method"},
    {UA_NODECLASS_OBJECTTYPE, "ObjectType"},
    {UA_NODECLASS_VARIABLETYPE, "VariableType"},
    {UA_NODECLASS_REFERENCETYPE, "ReferenceType"},
    {UA_NODECLASS_DATATYPE, "DataType"},
    {UA_NODECLASS_VIEW, "View"},
};

std::string_view class_name(UA_NodeClass node_class) noexcept {
  for (const auto& [each, name] : kClasses) {
    if (each == node_class) {
      return name;
    }
  }
  return "Unspecified";
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

std::optional<UA_NodeClass> class_by_name(std::string_view name) noexcept {
  for (const auto& [each, its_name] : kClasses) {
    if (its_name == name) {
      return each;
    }
  }
  return std::nullopt;
}

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
