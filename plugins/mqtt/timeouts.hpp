// SPDX-License-Identifier: Apache-2.0
// Things that all end after the same time, by number: one timer for all of them.
#pragma once

#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/loop.hpp>

#include <deque>
#include <functional>

namespace backplane::mqtt {

class Timeouts {
 public:
  /// `expired(number)` runs on the loop, also for numbers that are done with by then.
  Timeouts(const Host& host, std::chrono::nanoseconds after, std::function<void(uint64_t)> expired)
      : after_(after), expired_(std::move(expired)), timer_(host, [this] { run(); }) {}

  /// [any]
  void add(uint64_t number) {
    const int64_t at = monotonic_ns() + after_.count();
    auto queue = queue_.lock();
    queue->push_back({at, number});
    const bool is_first = queue->size() == 1;
    queue.unlock();
    if (is_first) {
      static_cast<void>(timer_.at(at));
    }
  }

  /// Nothing expires any more. [any]
  void stop() {
    queue_.lock()->clear();
    timer_.cancel();
  }

 private:
  struct Entry {
    int64_t at;
    uint64_t number;
  };

  void run() {
    const int64_t now = monotonic_ns();
    auto queue = queue_.lock();
    while (!queue->empty() && queue->front().at <= now) {
      const uint64_t number = queue->front().number;
      queue->pop_front();
      queue.unlock();
      expired_(number);
      queue.relock();
    }
    const int64_t next = queue->empty() ? 0 : queue->front().at;
    queue.unlock();
    if (next != 0) {
      static_cast<void>(timer_.at(next));
    }
  }

  const std::chrono::nanoseconds after_;
  const std::function<void(uint64_t)> expired_;
  Guarded<std::deque<Entry>> queue_;
  Timer timer_;  // the last member: its callback ends first
};

}  // namespace backplane::mqtt
