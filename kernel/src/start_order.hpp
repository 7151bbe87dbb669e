// SPDX-License-Identifier: Apache-2.0
// In what order instances start; they stop in the reverse.
#pragma once

#include <cstddef>
#include <vector>

namespace backplane::kernel {

/// What one instance waits for, as indices.
struct StartNode {
  std::vector<std::size_t> after;  // must have started: the operator says so
  std::vector<std::size_t> uses;   // should have started, because it opens addresses there
};

struct StartOrder {
  /// All indices; empty when there is a cycle.
  std::vector<std::size_t> order;
  /// A cycle of `after` alone: each starts after the next, the last after the first. Empty when
  /// there is none.
  std::vector<std::size_t> cycle;
};

/// Topological; where it is free, as declared. Those that use each other in a circle are ordered by
/// `after` alone among themselves, and still come after what they use outside it. O(n log n +
/// edges).
StartOrder start_order(const std::vector<StartNode>& nodes);

}  // namespace backplane::kernel
