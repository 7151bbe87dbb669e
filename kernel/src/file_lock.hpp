// SPDX-License-Identifier: Apache-2.0
// flock(2), for a moment: whoever may read a file can lock it.
#pragma once

#include "futex.hpp"

#include <poll.h>
#include <sys/file.h>

namespace backplane::kernel {

// `kind`: LOCK_EX or LOCK_SH. An errno, or 0; EBUSY: another has had it for so long, a second
// unless it is said.
inline int lock_file(int file, int kind, std::int64_t patience_ns = 1'000'000'000) noexcept {
  const std::int64_t end = monotonic_now() + patience_ns;
  for (;;) {
    if (::flock(file, kind | LOCK_NB) == 0) return 0;
    if (errno != EWOULDBLOCK && errno != EINTR) return errno;
    if (monotonic_now() >= end) return EBUSY;
    ::poll(nullptr, 0, 1);
  }
}

}  // namespace backplane::kernel
