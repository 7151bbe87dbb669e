// SPDX-License-Identifier: Apache-2.0
// CallGate: lets callbacks through until it is closed, which may happen at any time, on any thread.
//
// Design notes. One atomic step for each callback: its runner's name is seen before it looks
// whether the gate is closed. A second one would wake close(), which seldom meets a callback: so
// that looks again.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace backplane::detail {

class CallGate {
 public:
  /// True: a callback may run, until leave(). Never two at once; who calls sees to that.
  bool enter() noexcept {
    runner_.exchange(std::this_thread::get_id());
    if (is_closed()) {
      leave();
      return false;
    }
    return true;
  }
  void leave() noexcept { runner_.store(std::thread::id(), std::memory_order_release); }
  bool is_closed() const noexcept { return closed_.load(); }
  /// From now on no callback begins, and none is under way but one that this is called from.
  void close() noexcept {
    closed_.store(true);
    for (;;) {
      const std::thread::id runner = runner_.load();
      if (runner == std::thread::id() || runner == std::this_thread::get_id()) {
        return;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

 private:
  std::atomic<std::thread::id> runner_;  // of a callback
  std::atomic<bool> closed_{false};
};

}  // namespace backplane::detail
