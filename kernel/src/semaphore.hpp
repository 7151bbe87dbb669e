// SPDX-License-Identifier: Apache-2.0
// What a process has of one semaphore (backplane/semaphore.h): the same object for all that opened
// it.
#pragma once

#include "backplane/semaphore.h"
#include "native_key.hpp"
#include "process_wide.hpp"

#include <memory>

namespace backplane::kernel {

class Semaphore {
 public:
  Semaphore() = default;
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  // Returns what the process holds, unless this is a child of it.
  virtual ~Semaphore() = default;

  // `is_held`: is returned when the process ends.
  virtual bp_status acquire(bool is_held, std::int64_t deadline_ns, bp_error* error) = 0;
  virtual bp_status release(std::uint32_t n, bp_error* error) = 0;
  virtual bp_status count(std::uint32_t& out, bp_error* error) = 0;
  // -1: none.
  virtual int descriptor(bp_error* error);

  bool is_of_this_process() const noexcept { return generation_ == fork_generation(); }

 private:
  const std::uint32_t generation_ = fork_generation();
};

struct SemaphoreOptions {
  std::uint32_t which = BP_SEMAPHORE_EXISTING;
  std::uint32_t initial = 0;
  std::uint32_t permissions = 0600;
  bool is_owner_trusted = false;
};

// The type of the key is supported. One object a process: what is open already is returned again.
bp_status open_semaphore(const NativeKey& key, const SemaphoreOptions& options,
                         std::shared_ptr<Semaphore>& out, bp_error* error);
bp_status adopt_semaphore(int descriptor, const SemaphoreOptions& options,
                          std::shared_ptr<Semaphore>& out, bp_error* error);
bp_status remove_semaphore(const NativeKey& key, bp_error* error);

}  // namespace backplane::kernel
