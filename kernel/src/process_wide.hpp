// SPDX-License-Identifier: Apache-2.0
// What a process has once, and a child made by fork(2) must not take for its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace backplane::kernel {

// Guards what is kept once a process. Held over fork(2), so that the child finds it whole.
std::mutex& process_wide() noexcept;

// Another number in each child. For who keeps it, to see later that it is in a child.
std::uint32_t fork_generation() noexcept;
// The same, once somebody has asked for it.
inline std::atomic<std::uint32_t> known_fork_generation{1};
inline bool is_fork_generation(std::uint32_t kept) noexcept {
  return known_fork_generation.load(std::memory_order_relaxed) == kept;
}

}  // namespace backplane::kernel
