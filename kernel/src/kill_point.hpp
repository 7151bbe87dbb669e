// SPDX-License-Identifier: Apache-2.0
// Where a test ends a process: after each step of what must survive that. Only in builds with
// tests.
#pragma once

namespace backplane::kernel {

#ifdef BP_KILL_POINTS
// What is called at each; null: nothing.
inline void (*at_kill_point)(const char* label) = nullptr;
inline void kill_point(const char* label) noexcept {
  if (at_kill_point != nullptr) at_kill_point(label);
}
#else
inline void kill_point(const char* /*label*/) noexcept {}
#endif

}  // namespace backplane::kernel
