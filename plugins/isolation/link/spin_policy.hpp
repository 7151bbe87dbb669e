// SPDX-License-Identifier: Apache-2.0
// Whether to look for the next frame without sleeping, and for how long.
#pragma once

#include <algorithm>
#include <cstdint>
#include <sched.h>

namespace backplane::isolation {

/// After a frame the next one often comes within what a wake would cost. Where it did not, fewer
/// and fewer frames are followed by another try, down to one of 64; where it did, all are again.
class SpinPolicy {
 public:
  /// 0: never. Nor where there is one processor for both sides.
  explicit SpinPolicy(int64_t most_ns) noexcept : most_ns_(processors() > 1 ? most_ns : 0) {}

  /// A frame has come: until when to look for the next; 0: not at all.
  int64_t end(int64_t now_ns) noexcept {
    if (most_ns_ == 0 || left_ > 0) {
      left_ -= left_ > 0 ? 1 : 0;
      return 0;
    }
    return now_ns + most_ns_;
  }
  void succeeded() noexcept { pause_ = 0; }
  void failed() noexcept {
    pause_ = std::clamp(pause_ * 2, 1, 64);
    left_ = pause_;
  }

  /// Of a processor that waits, for the other thread of its core.
  static void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

 private:
  static int processors() noexcept {
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  }

  const int64_t most_ns_;
  int pause_ = 0;  // frames that are passed over after the next failure, halved
  int left_ = 0;   // frames that are passed over
};

}  // namespace backplane::isolation
