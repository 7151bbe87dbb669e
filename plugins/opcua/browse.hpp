// SPDX-License-Identifier: Apache-2.0
// BROWSE: the references of a node, a page at a time: the next page is asked for when the credit
// has taken this one.
#pragma once

#include "job.hpp"
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/operation.hpp>

#include <map>
#include <optional>

namespace backplane::opcua {

class Client;

/// What may be called on any thread only asks the loop.
class Browses {
 public:
  explicit Browses(Client& client) : client_(client) {}

  Status begin(Op op, std::shared_ptr<Target> target);
  void cancel(Op op) noexcept { poke(op, true); }
  void credit(Op op) noexcept { poke(op, false); }
  /// Ends all, and refuses new ones. [loop]
  void stop(const Status& status);

 private:
  class Look;
  struct Looks {
    std::map<bp_op*, std::shared_ptr<Look>> all;
    std::optional<Status> stopped;
  };
  void poke(Op op, bool cancelled) noexcept;

  Client& client_;
  Guarded<Looks> looks_;
};

}  // namespace backplane::opcua
