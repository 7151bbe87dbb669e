// SPDX-License-Identifier: Apache-2.0
// Turn: one at a time without waiting. Whoever comes while somebody is inside leaves what is to be
// done, and the one inside does it before leaving.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace backplane::route {

/// Two atomic operations where nobody competes. What was left is done in the order in which it
/// came. No lock is held while anything runs, so that a destination may call back into the route
/// that is just calling it.
class Turn {
 public:
  /// False: somebody is inside; defer().
  [[nodiscard]] bool enter() noexcept {
    State free = State::kFree;
    return state_.compare_exchange_strong(free, State::kTaken, std::memory_order_acquire);
  }

  /// Leaves `body` to the one inside. True: nobody was any more; the caller is inside now, and
  /// leave() will run it.
  [[nodiscard]] bool defer(std::function<void()> body) {
    const std::lock_guard lock(mutex_);
    left_.push_back(std::move(body));
    return state_.exchange(State::kTakenAndLeft, std::memory_order_acq_rel) == State::kFree;
  }

  /// True: the turn has ended. False: it has run what others left meanwhile; call it again.
  [[nodiscard]] bool leave() {
    State taken = State::kTaken;
    if (state_.compare_exchange_strong(taken, State::kFree, std::memory_order_release)) {
      return true;
    }
    std::vector<std::function<void()>> todo;
    {
      const std::lock_guard lock(mutex_);
      todo.swap(left_);
      state_.store(State::kTaken, std::memory_order_relaxed);
    }
    for (const auto& body : todo) {
      body();
    }
    return false;
  }

 private:
  enum class State : uint8_t { kFree, kTaken, kTakenAndLeft };
  std::atomic<State> state_{State::kFree};
  std::mutex mutex_;
  std::vector<std::function<void()>> left_;  // guarded by mutex_
};

}  // namespace backplane::route
