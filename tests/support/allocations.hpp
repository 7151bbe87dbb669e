// SPDX-License-Identifier: Apache-2.0
// Counts what operator new does: link allocations.cpp into the test.
#pragma once

#include <cstddef>

namespace backplane::test {

/// Calls of operator new on this thread so far.
std::size_t allocations() noexcept;

}  // namespace backplane::test
