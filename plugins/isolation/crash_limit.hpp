// SPDX-License-Identifier: Apache-2.0
// CrashLimit: when a plugin has crashed too often to be started again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace backplane::isolation {

/// More than `crashes` within `window` are too many. Not thread-safe.
class CrashLimit {
 public:
  CrashLimit(size_t crashes, std::chrono::nanoseconds window)
      : crashes_(crashes), window_(window) {}

  /// A crash at that monotonic time. True: it was one too many.
  bool add(int64_t now_ns) {
    times_.push_back(now_ns);
    while (times_.front() < now_ns - window_.count()) {
      times_.pop_front();
    }
    return times_.size() > crashes_;
  }
  size_t count() const noexcept { return times_.size(); }

 private:
  const size_t crashes_;
  const std::chrono::nanoseconds window_;
  std::deque<int64_t> times_;
};

}  // namespace backplane::isolation
