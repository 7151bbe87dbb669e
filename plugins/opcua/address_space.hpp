// SPDX-License-Identifier: Apache-2.0
// What a server has: the declared variables and methods, and the objects that lead to them. Made
// once, before the server starts, and the same until its end: finding something needs no lock.
#pragma once

#include "method.hpp"
#include "variable.hpp"

#include <map>
#include <open62541/server.h>

namespace backplane::opcua {

class AddressSpace {
 public:
  struct Node {
    NodeId id;
    std::vector<Address::Segment> path;  // from Objects
    const Node* parent = nullptr;        // null: Objects
    Variable* variable = nullptr;        // both null: an object
    Method* method = nullptr;
  };

  /// The settings outlive it; `changed` is each variable's. Throws Error (INVALID_ARGUMENT): a node
  /// is there twice, or is given what is not of its type.
  AddressSpace(const Host& host, const ServerSettings& settings, Variable::Changed changed);
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  /// Puts all into the library's server. `called` is each method's function, the Method its node's
  /// context. Throws Error. [loop]
  void add_to(UA_Server* server, UA_MethodCallback called) const;

  /// Null: it is none of these. Throws Error: there is no such namespace. [any]
  const Node* find(const Address& address) const;
  /// By its node id. [any]
  const Node* find(const UA_NodeId& id) const;
  const std::vector<std::unique_ptr<Variable>>& variables() const noexcept { return variables_; }
  const std::vector<std::unique_ptr<Method>>& methods() const noexcept { return methods_; }

 private:
  using Path = std::span<const Address::Segment>;
  /// The object at the end of the path; it is made, with those before it, if need be.
  const Node* object(Path path);
  Node& enter(const std::string& id, Path path);

  const ServerSettings& settings_;
  const Variable::Changed changed_;
  std::vector<std::unique_ptr<Variable>> variables_;
  std::vector<std::unique_ptr<Method>> methods_;
  std::map<std::string, Node, std::less<>> by_id_;
  std::map<std::string, const Node*, std::less<>> by_path_;
  std::vector<const Node*> in_order_;  // each behind its parent
};

}  // namespace backplane::opcua
