// SPDX-License-Identifier: Apache-2.0
// Of System V the system counts who has a segment attached, and that decides whether it is
// nobody's. Who lists segments attaches each for a moment to read its header: whoever lists, or
// decides about one that seems to be somebody's, waits until nobody lists. Processes with different
// mounts of /proc do not: there a segment that is closed while it is listed stays until it is
// opened, or cleaned.
#pragma once

#include "descriptor.hpp"
#include "file_lock.hpp"

#include <fcntl.h>

namespace backplane::kernel {

class AttachLock {
 public:
  // LOCK_SH: to decide; LOCK_EX: to list. Anybody can have it, also for ever: then it is done
  // without.
  explicit AttachLock(int kind) noexcept
      : file_(::open("/proc/sysvipc/shm", O_RDONLY | O_CLOEXEC)) {
    if (file_) lock_file(file_.get(), kind, kPatience);
  }
  AttachLock(const AttachLock&) = delete;
  AttachLock& operator=(const AttachLock&) = delete;
  // Said, because a child made by fork(2) meanwhile has the descriptor, too.
  ~AttachLock() {
    if (file_) ::flock(file_.get(), LOCK_UN);
  }

 private:
  static constexpr std::int64_t kPatience = 100'000'000;

  const Descriptor file_;
};

}  // namespace backplane::kernel
