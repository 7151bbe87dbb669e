// SPDX-License-Identifier: Apache-2.0
// A semaphore of System V: the system itself returns what an ended process held (SEM_UNDO).
#pragma once

#include "semaphore.hpp"

#include <mutex>

namespace backplane::kernel {

class SystemVSemaphore final : public Semaphore {
 public:
  static bp_status open(const NativeKey& key, const SemaphoreOptions& options,
                        std::shared_ptr<Semaphore>& out, bp_error* error);
  static bp_status remove(const NativeKey& key, bp_error* error);

  SystemVSemaphore(int id, std::string name);
  ~SystemVSemaphore() override;

  bp_status acquire(bool is_held, std::int64_t deadline_ns, bp_error* error) override;
  bp_status release(std::uint32_t n, bp_error* error) override;
  bp_status count(std::uint32_t& out, bp_error* error) override;

 private:
  // Of the system calls.
  bp_status failed(int number, std::string_view call, bp_error* error) const;

  const int id_;
  const std::string name_;  // text of the key
  std::mutex mutex_;
  // What the system would return of this process; guarded by mutex_. It is never asked to return
  // what was not acquired: a release with SEM_UNDO takes back what others were given when its
  // process ends, and is why QSystemSemaphore fails after 32767 of them.
  std::uint32_t held_ = 0;
};

}  // namespace backplane::kernel
