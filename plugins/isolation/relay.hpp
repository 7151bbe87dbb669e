// SPDX-License-Identifier: Apache-2.0
// Relay: what the plugin in the host asks of services, done with the rights of its instance.
#pragma once

#include "plugins/isolation/link/peer.hpp"
#include <backplane/sdk/config.hpp>

#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace backplane::isolation {

/// On the loop.
class Relay {
 public:
  /// `memory_mib`: the most that it may make of shared memory at a time.
  Relay(const Host& host, std::vector<std::string> services, std::optional<int64_t> memory_mib)
      : host_(host),
        services_(std::move(services)),
        most_shared_(memory_mib ? static_cast<double>(*memory_mib) * (1 << 20)
                                : std::numeric_limits<double>::infinity()) {}

  /// A frame of the host that is no operation. Throws Error when it asks for what its plugin has no
  /// right to, or breaks a rule.
  void received(Peer& peer, wire::Frame::Reader frame);
  /// Of the present run: the plugin has told its state.
  bool told_state() const noexcept { return told_state_; }
  /// A new run: its metrics begin at nothing, ours go on.
  void forget_run();

 private:
  struct Metric {
    uint64_t id = 0;
    bool counter = false;
    int64_t value = 0;
  };

  void require(std::string_view service) const;
  void log(wire::Log::Reader in);
  void state(wire::State::Reader in);
  void metric(wire::Metric::Reader in);
  void values(capnp::List<wire::MetricValue>::Reader in);
  void credential(Peer& peer, wire::Credential::Reader in);
  void shared(Peer& peer, wire::Shared::Reader in);
  bp_status share(wire::Shared::Reader in, int32_t& out, bp_error& error);

  const Host& host_;
  const std::vector<std::string> services_;
  const double most_shared_;  // bytes
  bool told_state_ = false;
  std::unordered_map<uint64_t, Metric> metrics_;  // by the host's numbers
  std::unordered_set<uint64_t> defined_;          // of all runs: our kernel keeps them
};

}  // namespace backplane::isolation
