// SPDX-License-Identifier: Apache-2.0
// The endpoint of a node, or of one of its attributes.
#pragma once

#include "client.hpp"
#include "list_read.hpp"
#include <backplane/sdk/endpoint_object.hpp>

namespace backplane::opcua {

class NodeEndpoint final {
 public:
  NodeEndpoint(Client& client, Address address, std::string_view text);
  NodeEndpoint(const NodeEndpoint&) = delete;
  NodeEndpoint& operator=(const NodeEndpoint&) = delete;

  Status read(Op op);
  Status write(Op op);
  Status call(Op op);
  Status watch(Op op);
  Status browse(Op op);
  void cancel(Op op) noexcept;
  void credit(Op op, uint32_t n) noexcept;

  /// What can be done with an address.
  static uint32_t verbs_of_address(const Address& address) noexcept;

 private:
  template <class Start>
  Status begin(Op op, Start start);
  template <class T>
  Status submit(Op op);
  Status read_list(Op op);
  Status inquire(Op op);
  void cancel_request(Op op) noexcept;

  Client& client_;
  const std::shared_ptr<Target> target_;
  LastList last_list_;  // of the folder Objects
};

}  // namespace backplane::opcua
