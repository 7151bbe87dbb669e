// SPDX-License-Identifier: Apache-2.0
#include "semaphore.hpp"

#include "posix_semaphore.hpp"
#include "system_v_semaphore.hpp"

namespace backplane::kernel {

bp_status open_semaphore(const NativeKey& key, const SemaphoreOptions& options,
                         std::shared_ptr<Semaphore>& out, bp_error* error) {
  return is_system_v(key.type) ? SystemVSemaphore::open(key, options, out, error)
                               : PosixSemaphore::open(key, options, out, error);
}

bp_status remove_semaphore(const NativeKey& key, bp_error* error) {
  return is_system_v(key.type) ? SystemVSemaphore::remove(key, error)
                               : PosixSemaphore::remove(key, error);
}

}  // namespace backplane::kernel
