// SPDX-License-Identifier: Apache-2.0
// Of System V the system counts who has a segment attached, and that decides whether it is
// nobody's. Who lists segments attaches each for a moment to read its header: whoever decides, or
// lists, waits until nobody does.
#pragma once

#include "descriptor.hpp"
#include "file_lock.hpp"

#include <fcntl.h>

namespace backplane::kernel {

class AttachLock {
 public:
  // LOCK_SH: to decide; LOCK_EX: to list. Where another has it for a second it is done without.
  explicit AttachLock(int kind) noexcept
      : file_(::open("/proc/sysvipc/shm", O_RDONLY | O_CLOEXEC)) {
    if (file_) lock_file(file_.get(), kind);
  }
  AttachLock(const AttachLock&) = delete;
  AttachLock& operator=(const AttachLock&) = delete;
  // Said, because a child made by fork(2) meanwhile has the descriptor, too.
  ~AttachLock() {
    if (file_) ::flock(file_.get(), LOCK_UN);
  }

 private:
  const Descriptor file_;
};

}  // namespace backplane::kernel
