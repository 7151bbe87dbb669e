// SPDX-License-Identifier: Apache-2.0
// BROWSE: the references of a node, a page at a time: the next page is asked for when the credit
// has taken this one.
#pragma once

#include "job.hpp"
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/operation.hpp>

#include <map>

namespace backplane::opcua {

class Client;

/// The browses of one endpoint. What may be called on any thread only asks the loop.
class Browses : public std::enable_shared_from_this<Browses> {
 public:
  explicit Browses(Client& client) : client_(client) {}

  Status begin(Op op, const std::shared_ptr<Target>& target);
  void cancel(Op op) noexcept { poke(op, true); }
  void credit(Op op) noexcept { poke(op, false); }

 private:
  class Look;
  void poke(Op op, bool cancelled) noexcept;

  Client& client_;
  Guarded<std::map<bp_op*, std::shared_ptr<Look>>> looks_;
};

}  // namespace backplane::opcua
