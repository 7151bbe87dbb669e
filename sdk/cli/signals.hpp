// SPDX-License-Identifier: Apache-2.0
// SIGINT, SIGTERM and SIGHUP as events that the main thread waits for; no handler runs.
#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <optional>
#include <thread>

namespace backplane::cli {

/// Make it before the process has a second thread: threads inherit what is blocked.
class Signals {
 public:
  /// Blocks the three signals, and ignores SIGPIPE: a closed pipe is seen where it is written to.
  Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals();

  /// The next of the three, or nothing after `at_most`. Blocks; one thread at a time.
  std::optional<int> wait(std::chrono::nanoseconds at_most) const;

  /// From now on the next SIGINT or SIGTERM ends the process at once, with 128 + its number. wait()
  /// is not called any more.
  void end_at_next();

 private:
  sigset_t set_{};
  std::atomic<bool> over_{false};
  std::thread ender_;
};

}  // namespace backplane::cli
