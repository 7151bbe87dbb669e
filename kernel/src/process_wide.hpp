// SPDX-License-Identifier: Apache-2.0
// What a process has once, and a child made by fork(2) must not take for its own.
#pragma once

#include <cstdint>
#include <mutex>

namespace backplane::kernel {

// Guards what is kept once a process. Held over fork(2), so that the child finds it whole.
std::mutex& process_wide() noexcept;

// Another number in each child.
std::uint32_t fork_generation() noexcept;

}  // namespace backplane::kernel
