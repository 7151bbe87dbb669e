// SPDX-License-Identifier: Apache-2.0
// A reference from one node to another as the message of a browse.
#pragma once

#include "native.hpp"
#include <backplane/sdk/message.hpp>

#include <optional>

namespace backplane::opcua {

/// "Variable", as browses tell them; nothing: no class has that name.
std::optional<UA_NodeClass> class_by_name(std::string_view name) noexcept;

/// What a browse asks of a node: the hierarchical references, forward. Borrows from the id.
UA_BrowseDescription forward_references(const UA_NodeId& node) noexcept;

/// Borrows from the reference.
void fill_entry(MessageBuilder& entry, const UA_ReferenceDescription& reference);

}  // namespace backplane::opcua
