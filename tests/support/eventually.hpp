// SPDX-License-Identifier: Apache-2.0
// Waits for what another thread or process does: no test sleeps.
#pragma once

#include <chrono>
#include <poll.h>

namespace backplane::test {

/// True as soon as the condition holds; false when it does not within the time.
template <class Condition>
bool eventually(const Condition& condition,
                std::chrono::milliseconds at_most = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + at_most;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

}  // namespace backplane::test
