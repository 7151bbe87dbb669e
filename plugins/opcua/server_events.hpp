// SPDX-License-Identifier: Apache-2.0
// Events that the server reports: their types, and what is said from inside (part 5, 6.4; part
// 3, 4.7). Loop thread only.
#pragma once

#include "server_settings.hpp"
#include "values.hpp"

#include <open62541/server.h>

namespace backplane::opcua {

class ServerEvents {
 public:
  explicit ServerEvents(const std::vector<DeclaredEvent>& declared) : declared_(declared) {}

  /// Puts the declared types into the library's server. Throws Error.
  void add_to(UA_Server* server) const;

  /// Reports an event at the node, whose fields are those of the body, a map. Throws Error: a field
  /// that the type does not have, or of another type; the node reports none.
  void raise(UA_Server* server, const UA_NodeId& node, MessageView message) const;

 private:
  struct Field {
    UA_QualifiedName name;  // borrowed
    Shape shape;
  };
  const DeclaredEvent* find_type(std::string_view text) const noexcept;
  Field field(const DeclaredEvent* type, const ValueView& name) const;

  const std::vector<DeclaredEvent>& declared_;
};

}  // namespace backplane::opcua
