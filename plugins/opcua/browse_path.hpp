// SPDX-License-Identifier: Apache-2.0
// Finds the nodes at the ends of browse paths, and those before them, many in one request.
#pragma once

#include "job.hpp"

namespace backplane::opcua {

/// Those of one client (part 4, 5.8.4). [loop]
class BrowsePaths {
 public:
  using Done = std::function<void(const Status&)>;
  /// `answered` is called behind what the answer of a request has called.
  explicit BrowsePaths(std::function<void()> answered) : answered_(std::move(answered)) {}

  /// Sets `node` and `parent` of the target. `done`, once, perhaps inside this; those of a target
  /// in their order.
  void follow(const Session& session, std::shared_ptr<Target> target, Done done);
  /// What is to be followed, in as few requests as the server takes.
  void send(Session& session);
  /// There is no session any more: what was not sent.
  void fail_all(const Status& status);

 private:
  struct Search {
    std::shared_ptr<Target> target;
    std::vector<UA_RelativePathElement> elements;  // borrow its names
    void end(const Status& status) const;
  };
  void send_some(Session& session, std::vector<Search> searches);

  const std::function<void()> answered_;
  std::vector<Search> added_;
};

}  // namespace backplane::opcua
