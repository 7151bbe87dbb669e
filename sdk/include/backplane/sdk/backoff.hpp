// SPDX-License-Identifier: Apache-2.0
// Backoff: how long to wait before a child process is started again.
#pragma once

#include <algorithm>
#include <chrono>

namespace backplane {

/// The first restart is at once; each further one waits twice as long, from 0.1 s to the most. Who
/// ran long enough begins anew. No jitter: one child competes with nobody. Not thread-safe.
class Backoff {
 public:
  Backoff(std::chrono::nanoseconds most, std::chrono::nanoseconds stable_after)
      : most_(most), stable_after_(stable_after) {}

  std::chrono::nanoseconds next(std::chrono::nanoseconds ran) {
    if (ran >= stable_after_) {
      delay_ = std::chrono::nanoseconds(0);
    }
    const auto now = std::min(delay_, most_);
    delay_ = std::min(std::max<std::chrono::nanoseconds>(2 * delay_, kFirst), most_);
    return now;
  }
  void reset() { delay_ = std::chrono::nanoseconds(0); }

 private:
  static constexpr std::chrono::milliseconds kFirst{100};
  const std::chrono::nanoseconds most_;
  const std::chrono::nanoseconds stable_after_;
  std::chrono::nanoseconds delay_{0};
};

}  // namespace backplane
