// SPDX-License-Identifier: Apache-2.0
// Points in time as the C API has them: monotonic nanoseconds, 0 for ever.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace backplane::detail {

/// Of the C API: 0 is for ever.
inline int64_t deadline_of(std::chrono::steady_clock::time_point deadline) noexcept {
  if (deadline == std::chrono::steady_clock::time_point::max()) {
    return 0;
  }
  const auto since = std::chrono::nanoseconds(deadline.time_since_epoch()).count();
  return std::max<int64_t>(since, 1);
}
/// Times that no clock reaches are for ever.
inline std::chrono::steady_clock::time_point time_after(std::chrono::nanoseconds time) noexcept {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point now = Clock::now();
  return time > Clock::time_point::max() - now ? Clock::time_point::max() : now + time;
}

}  // namespace backplane::detail
