// SPDX-License-Identifier: Apache-2.0
// What the parts of one route share: the host, the clock, and the turn in which everything happens.
#pragma once

#include "turn.hpp"
#include <backplane/sdk/loop.hpp>

namespace backplane::route {

/// Every callback of the host goes through inside(); all other state of a route is touched there
/// only.
class Core {
 public:
  using Clock = std::function<int64_t()>;

  Core(const Host& its_host, Clock clock) : host(its_host), clock_(std::move(clock)) {}
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  /// Runs `body` in the turn: now, or, while somebody is inside, `left_behind()` is what is done
  /// later (made now, from what is borrowed). No exception leaves them: memory that is out ends the
  /// process. [any]
  template <class Body, class LeftBehind>
  void inside(Body&& body, LeftBehind&& left_behind) noexcept {
    if (turn_.enter()) {
      body();
    } else if (!turn_.defer(left_behind())) {
      return;
    }
    bp_op* completed = nullptr;
    do {
      at_end();
      completed = finished != nullptr ? std::exchange(finished, nullptr) : completed;
    } while (!turn_.leave());
    if (completed != nullptr) {
      host.complete(completed, Status::ok());  // the last act: this may be destroyed by it
    }
  }
  template <class Body>
  void inside(const Body& body) noexcept {
    inside(body, [&body] { return std::function<void()>(body); });
  }

  int64_t now() const { return clock_(); }

  /// Says in the log what is wrong with messages: at most once a second, and how many there were.
  void complain(std::string_view text, std::string_view where, const Status& why);

  const Host& host;
  std::function<void()> at_end;  // called before each end of a turn
  bool state_changed = true;     // what the route reports may be different
  bp_op* finished = nullptr;     // drain or stop, to be completed when the turn has ended

 private:
  const Clock clock_;
  Turn turn_;
  int64_t complained_ns_ = 0;
  uint64_t complaints_ = 0;
};

}  // namespace backplane::route
