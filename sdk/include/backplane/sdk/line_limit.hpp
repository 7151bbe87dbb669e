// SPDX-License-Identifier: Apache-2.0
// LineLimit: lines of the log that a peer can cause any number of times.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

namespace backplane {

/// The first line at once, then one a time at most. Not thread-safe.
class LineLimit {
 public:
  explicit LineLimit(std::chrono::nanoseconds between) : between_ns_(between.count()) {}

  /// Nothing: not now. Else how many were left out since the last one; `now_ns` by monotonic_ns().
  std::optional<uint64_t> next(int64_t now_ns) noexcept {
    if (now_ns < next_ns_) {
      ++left_out_;
      return std::nullopt;
    }
    next_ns_ = now_ns + between_ns_;
    return std::exchange(left_out_, 0);
  }

 private:
  const int64_t between_ns_;
  int64_t next_ns_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace backplane
