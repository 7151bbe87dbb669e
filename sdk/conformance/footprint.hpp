// SPDX-License-Identifier: Apache-2.0
// What this process has, to see whether it has more of it later.
#pragma once

#include <cstddef>

namespace backplane::conformance {

struct Footprint {
  size_t threads = 0;
  size_t descriptors = 0;
  size_t children = 0;

  static Footprint now();
};

/// Bytes of the heap that are in use.
size_t heap_in_use() noexcept;

}  // namespace backplane::conformance
