// SPDX-License-Identifier: Apache-2.0
// BROWSE of the own server: the references of a node, as the credit takes them.
#pragma once

#include "server.hpp"

namespace backplane::opcua {

/// The browses of one endpoint. What may be called on any thread only asks the loop.
class LocalBrowses : public std::enable_shared_from_this<LocalBrowses> {
 public:
  explicit LocalBrowses(Server& server) : server_(server) {}

  Status begin(Op op, const Address& address, std::string_view text);
  void cancel(Op op) noexcept { poke(op, true); }
  void credit(Op op) noexcept { poke(op, false); }

 private:
  struct Look {
    Native<UA_BrowseResult, UA_TYPES_BROWSERESULT> found;
    size_t next = 0;
  };
  void poke(Op op, bool cancelled) noexcept;
  void deliver(Op op);
  void finish(Op op, const Status& status);

  Server& server_;
  std::map<bp_op*, Look> looks_;  // the loop's
};

}  // namespace backplane::opcua
