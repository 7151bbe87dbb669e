// SPDX-License-Identifier: Apache-2.0
// What this process has, to see whether it has more of it later.
#pragma once

#include "test.hpp"

#include <cstddef>
#include <thread>

namespace backplane::conformance {

struct Footprint {
  size_t threads = 0;
  size_t descriptors = 0;
  size_t children = 0;

  static Footprint now();
};

/// What has ended is gone from /proc a little later.
template <class Holds>
bool soon(Holds holds) {
  const auto end = std::chrono::steady_clock::now() + patience();
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Bytes of the heap that are in use.
size_t heap_in_use() noexcept;

}  // namespace backplane::conformance
