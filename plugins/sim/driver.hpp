// SPDX-License-Identifier: Apache-2.0
// Driver: writes one signal to its target, tick by tick, and is silent while somebody else has the
// say.
#pragma once

#include "echo_filter.hpp"
#include "request.hpp"
#include "signal.hpp"
#include <backplane/sdk/hub.hpp>

namespace backplane::sim {

/// Runs on the loop; what the target tells may come on any thread. The instance waits for its
/// InFlight before it destroys one.
///
/// A tick that finds the write before still under way is skipped and counted; so is nothing else.
/// Until the target can be opened, each tick tries again.
class Driver {
 public:
  using Clock = std::function<int64_t()>;  // monotonic nanoseconds
  /// `changed` is told when status() has changed; no lock is held.
  Driver(const Host& host, InFlight& in_flight, const SignalOptions& options,
         std::function<void()> changed, Clock clock = monotonic_ns);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  /// The first value is written as soon as the target is open.
  void start();
  /// No tick begins any more; a write that is under way goes on. On the loop.
  void drain();
  /// Cancels that write too. On the loop.
  void stop();

  const std::string& name() const noexcept { return options_.name; }
  /// Pending until the first write is done; then OK, or why the last write or open failed.
  Status status();
  /// The last value, as it was written; nothing before the first tick.
  std::optional<bp_value> last();
  Hub& hub() noexcept { return hub_; }

 private:
  struct State {
    Signal signal;
    EchoFilter echoes = {};
    bp_message value = {{},      nullptr,      0, 0,
                        nullptr, BP_TIME_NONE, 0, 0};  // being written, or written
    bool has_value = false;
    bp_ref target = 0;
    bool watchable = true;
    bool ended = false;
    int64_t next_tick = 0;
    int64_t held_until = INT64_MIN;
    std::optional<double> outside = {};
    Status status = Status::pending();
  };

  void tick();
  void opened(const Status& status, const bp_message& out);
  void written(const Status& status);
  void told(MessageView message);
  void watch_ended(const Status& status);
  void watch_target();
  void write_next();
  void settle(const Status& status);
  void arm();

  const Host& host_;
  const SignalOptions options_;
  const std::function<void()> changed_;
  const Clock clock_;
  const Counter writes_;
  const Counter failures_;
  const Counter skipped_;
  const Counter holds_;
  Hub hub_;
  Guarded<State> state_;
  Request open_;
  Request write_;
  Request watch_;
  Timer timer_;  // the last member: its callback ends first
};

}  // namespace backplane::sim
