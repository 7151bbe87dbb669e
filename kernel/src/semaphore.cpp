// SPDX-License-Identifier: Apache-2.0
#include "semaphore.hpp"

#include "error.hpp"
#include "posix_semaphore.hpp"
#include "system_v_semaphore.hpp"

namespace backplane::kernel {

bp_status open_semaphore(const NativeKey& key, const SemaphoreOptions& options,
                         std::shared_ptr<Semaphore>& out, bp_error* error) {
  if (is_system_v(key.type)) return SystemVSemaphore::open(key, options, out, error);
  if (key.type == BP_KEY_ANONYMOUS) {
    return PosixSemaphore::make_anonymous(key, options, out, error);
  }
  return PosixSemaphore::open(key, options, out, error);
}

bp_status adopt_semaphore(int descriptor, const SemaphoreOptions& options,
                          std::shared_ptr<Semaphore>& out, bp_error* error) {
  return PosixSemaphore::adopt(descriptor, options, out, error);
}

int Semaphore::descriptor(bp_error* error) {
  set_error(error, BP_UNIMPLEMENTED,
            "a semaphore with a name in the system is given away by its key");
  return -1;
}

bp_status remove_semaphore(const NativeKey& key, bp_error* error) {
  return is_system_v(key.type) ? SystemVSemaphore::remove(key, error)
                               : PosixSemaphore::remove(key, error);
}

}  // namespace backplane::kernel
