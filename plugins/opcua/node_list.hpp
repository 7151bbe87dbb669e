// SPDX-License-Identifier: Apache-2.0
// Lists of nodes: what the option `nodes` of the folder Objects says.
#pragma once

#include "job.hpp"
#include <backplane/sdk/guarded.hpp>

namespace backplane::opcua {

/// An element of a list.
struct ListedNode {
  /// An address, or a map of `node`, the address, and `range`. Throws Error (INVALID_ARGUMENT).
  explicit ListedNode(const ValueView& element);

  std::shared_ptr<Target> target;
  std::string range;  // empty: all of it
};

/// The list that a message asks for. Throws Error (INVALID_ARGUMENT): there is none; `verb` says
/// what would be done with it.
ValueView nodes_of(MessageView in, std::string_view verb);

/// What is wrong with an element says which one it is. Throws Error (INVALID_ARGUMENT).
void for_each_node(const ValueView& nodes, const std::function<void(ListedNode)>& body);

/// A list that is read, shared by its endpoint and its reads.
class NodeList {
 public:
  /// Throws Error (INVALID_ARGUMENT).
  explicit NodeList(ValueView nodes);

  bool is(const ValueView& nodes) const noexcept;

  /// What is asked for in one session.
  struct Found {
    std::vector<NodeId> ids;
    std::vector<UA_ReadValueId> asked;    // borrow from `ids` and the items
    std::vector<UA_StatusCode> statuses;  // of each item; one that is not good is not asked for
  };
  const std::vector<ListedNode>& items() const noexcept { return items_; }
  // ---- the loop's ----
  std::shared_ptr<const Found> found;  // when each item was
  uint64_t generation = 0;             // of `found`

 private:
  const OwnedMessage nodes_;
  std::vector<ListedNode> items_;
};

/// The last list of an endpoint. [any]
class LastList {
 public:
  /// Throws Error (INVALID_ARGUMENT).
  std::shared_ptr<NodeList> of(const ValueView& nodes);

 private:
  Guarded<std::shared_ptr<NodeList>> last_;
};

}  // namespace backplane::opcua
