// SPDX-License-Identifier: Apache-2.0
// An endpoint on the instance's own server: a node that was declared, an object above such nodes,
// or one of the standard's.
#pragma once

#include "server.hpp"
#include <backplane/sdk/endpoint_object.hpp>

namespace backplane::opcua {

class LocalNode final {
 public:
  /// `node` is null for what was not declared.
  LocalNode(Server& server, const AddressSpace::Node* node, Address address, std::string_view text);

  Status read(Op op);
  Status write(Op op);
  Status watch(Op op);
  Status call(Op op);
  Status serve(Op op);
  Status browse(Op op);
  void cancel(Op op) noexcept;
  void credit(Op op, uint32_t n) noexcept;
  void ack(Op op, uint64_t seq, bp_status status) noexcept;

  /// What can be done with it.
  uint32_t verbs() const noexcept;

 private:
  Hub* hub() const;

  Server& server_;
  const AddressSpace::Node* const node_;
  const Address address_;
  const std::string text_;
};

}  // namespace backplane::opcua
