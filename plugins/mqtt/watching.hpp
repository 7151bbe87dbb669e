// SPDX-License-Identifier: Apache-2.0
// The watches of one endpoint. Each has a hub of its own, so that retained messages go to the
// newcomer alone; the subscription at the broker is shared by all.
#pragma once

#include "subscriptions.hpp"
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/hub.hpp>

#include <unordered_map>

namespace backplane::mqtt {

class Client;
class Inbox;

/// Any thread. What it starts may outlive it.
class Watching {
 public:
  Watching(const Host& host, const Settings& settings, Client& client, Inbox& inbox,
           std::string filter);

  Status watch(Op op);
  void cancel(Op op) noexcept;
  void credit(Op op, uint32_t n) noexcept;
  void ack(Op op, uint64_t seq, bp_status status) noexcept;

 private:
  class Watch;
  /// By operation; one that has ended may stay until its listener notices.
  using Watches = Guarded<std::unordered_map<bp_op*, std::shared_ptr<Watch>>>;

  std::shared_ptr<Watch> find(Op op) noexcept;

  const Host& host_;
  const Settings& settings_;
  Client& client_;
  Inbox& inbox_;
  const std::string filter_;
  std::shared_ptr<Watches> watches_;
};

}  // namespace backplane::mqtt
