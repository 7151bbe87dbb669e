// SPDX-License-Identifier: Apache-2.0
// Waits for what another thread or process does: no test sleeps.
#pragma once

#include <algorithm>
#include <chrono>
#include <poll.h>

namespace backplane::test {

/// True as soon as the condition holds; false when it does not within the time. Of a while in which
/// this thread did not get to look, since others had the machine, a second counts.
template <class Condition>
bool eventually(const Condition& condition,
                std::chrono::milliseconds at_most = std::chrono::seconds(20)) {
  using Clock = std::chrono::steady_clock;
  constexpr Clock::duration kMostAtOnce = std::chrono::seconds(1);
  Clock::duration left = at_most;
  for (auto before = Clock::now(); !condition();) {
    poll(nullptr, 0, 1);
    const auto now = Clock::now();
    left -= std::min(now - before, kMostAtOnce);
    before = now;
    if (left <= Clock::duration::zero()) return condition();
  }
  return true;
}

}  // namespace backplane::test
