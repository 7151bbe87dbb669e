// SPDX-License-Identifier: Apache-2.0
// Reconnect: when to try again, and what to say about it. Capped exponential back-off with full
// jitter, so that a thousand clients of a broker that returns do not come at once.
#pragma once

#include "guarded.hpp"
#include "host.hpp"
#include "loop.hpp"

#include <random>

namespace backplane {

/// Calls `attempt` on the loop: at once after start(), later again after each failed(). It never
/// calls the connection up by itself: up() is for whoever has the proof, such as a CONNACK. States
/// as operators see them: CONNECTING with the reason and the time of the next try, UP, IDLE once
/// stopped. Needs bp.executor/1 and bp.state/1.
///
///     Reconnect reconnect_{host(), [this] { client_.connect(); }};
///     on_connack: reconnect_.up("connected to " + url);
///     on_error, on_disconnect: reconnect_.failed(reason);
class Reconnect {
 public:
  struct Options {
    std::chrono::nanoseconds first =
        std::chrono::milliseconds(100);  // the longest first wait; doubles with each failure
    std::chrono::nanoseconds longest = std::chrono::seconds(5);
    uint64_t seed = 0;                    // of the jitter; 0: a random one
    std::function<int64_t()> clock = {};  // monotonic nanoseconds; empty: the real one
    // Where BP_STATE_* and the detail go, for an instance with several connections; empty: the
    // host.
    std::function<void(uint32_t, std::string_view)> report = {};
    Counter lost = {};  // how often a connection that was up has failed
  };

  /// `host` outlives it. May be destroyed at any time, like a Timer.
  Reconnect(const Host& host, std::function<void()> attempt)
      : Reconnect(host, std::move(attempt), Options()) {}
  Reconnect(const Host& host, std::function<void()> attempt, Options options)
      : host_(host),
        attempt_(std::move(attempt)),
        options_(std::move(options)),
        state_(options_.seed != 0 ? options_.seed : std::random_device()()),
        timer_(host, [this] { run(); }) {}

  /// Tries as soon as the loop runs. No-op while it is started. [any]
  void start() {
    {
      auto state = state_.lock();
      if (state->phase != Phase::kStopped) {
        return;
      }
      state->phase = Phase::kWaiting;
      state->failures = 0;
    }
    report(BP_STATE_CONNECTING, "first try");
    arm(now());
  }

  /// The peer has answered. No-op unless a try is under way. [any]
  void up(std::string_view detail) {
    {
      auto state = state_.lock();
      if (state->phase != Phase::kTrying) {
        return;
      }
      state->phase = Phase::kUp;
      state->up_since = now();
    }
    report(BP_STATE_UP, detail);
  }

  /// The try, or the connection, has failed: schedules the next try. The second report of one
  /// failure does nothing. [any]
  void failed(std::string_view reason) {
    int64_t next = 0;
    int64_t wait = 0;
    unsigned failures = 0;
    {
      auto state = state_.lock();
      if (state->phase != Phase::kTrying && state->phase != Phase::kUp) {
        return;
      }
      if (state->phase == Phase::kUp) {
        options_.lost.add();
        // A connection that soon falls again goes on with the longer waits.
        state->failures = now() - state->up_since >= options_.longest.count() ? 0 : state->failures;
      }
      state->phase = Phase::kWaiting;
      failures = ++state->failures;
      wait = draw(*state);
      next = now() + wait;
    }
    const int64_t tenths = (wait + 50'000'000) / 100'000'000;
    report(BP_STATE_CONNECTING, concat(reason, ", next try in ", tenths / 10, ".", tenths % 10,
                                       " s (failure ", failures, ")"));
    arm(next);
  }

  /// No try begins any more. [any]
  void stop() {
    state_.lock()->phase = Phase::kStopped;
    timer_.cancel();
    report(BP_STATE_IDLE, "stopped");
  }

 private:
  enum class Phase { kStopped, kWaiting, kTrying, kUp };
  struct State {
    explicit State(uint64_t seed) : random(seed) {}
    Phase phase = Phase::kStopped;
    unsigned failures = 0;
    int64_t up_since = 0;
    std::mt19937_64 random;
  };

  void report(uint32_t state, std::string_view detail) const {
    options_.report ? options_.report(state, detail) : host_.report(state, detail);
  }
  int64_t now() const { return options_.clock ? options_.clock() : monotonic_ns(); }
  int64_t draw(State& state) const {
    int64_t most = options_.first.count();
    for (unsigned i = 1; i < state.failures && most < options_.longest.count(); ++i) {
      most *= 2;
    }
    return std::uniform_int_distribution<int64_t>(
        0, std::min(most, options_.longest.count()))(state.random);
  }
  void arm(int64_t time) {
    if (const Status status = timer_.at(time); status.is_error()) {
      detail::log_failure(host_, status);
    }
  }
  void run() {
    {
      auto state = state_.lock();
      if (state->phase != Phase::kWaiting) {
        return;
      }
      state->phase = Phase::kTrying;
    }
    try {
      attempt_();
    } catch (...) {
      failed(current_exception_status().to_string());
    }
  }

  const Host& host_;
  const std::function<void()> attempt_;
  const Options options_;
  Guarded<State> state_;
  Timer timer_;  // the last member: its callback ends first
};

}  // namespace backplane
