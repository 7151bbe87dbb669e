// SPDX-License-Identifier: Apache-2.0
// futex(2) on a word that processes share.
#pragma once

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace backplane::kernel {

inline timespec to_timespec(std::int64_t ns) noexcept {
  constexpr std::int64_t kSecond = 1'000'000'000;
  return {static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
}

inline std::int64_t monotonic_now() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

// A deadline of the C API, where 0 is none and the past may be anything.
constexpr std::int64_t kPast = 1;  // nothing is waited for
inline std::int64_t deadline_from(std::int64_t deadline_ns) noexcept {
  return deadline_ns < 0 ? kPast : deadline_ns;
}

// Waits while the word has this value, until it is woken or `deadline_ns` (monotonic; 0: none).
// False: the deadline passed. May end early.
inline bool futex_wait(const std::uint32_t* word, std::uint32_t value,
                       std::int64_t deadline_ns) noexcept {
  const timespec deadline = to_timespec(deadline_ns);
  return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline_ns == 0 ? nullptr : &deadline,
                 nullptr, FUTEX_BITSET_MATCH_ANY) == 0 ||
         errno != ETIMEDOUT;
}

inline void futex_wake(const std::uint32_t* word, int at_most = INT_MAX) noexcept {
  syscall(SYS_futex, word, FUTEX_WAKE, at_most, nullptr, nullptr, 0);
}

// Between two looks of who spins: the core may do less meanwhile.
inline void pause_core() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace backplane::kernel
