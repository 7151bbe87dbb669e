// SPDX-License-Identifier: Apache-2.0
#include "shared_memory.hpp"

#include "file_memory.hpp"
#include "system_v_memory.hpp"

#include <sys/sysinfo.h>

namespace backplane::kernel {

bool is_more_than_the_machine_has(std::uint64_t size) noexcept {
  struct sysinfo machine {};
  return ::sysinfo(&machine) == 0 &&
         size / machine.mem_unit > std::uint64_t{machine.totalram} + machine.totalswap;
}

bp_status open_memory(const NativeKey& key, const MemoryOptions& options,
                      std::unique_ptr<SharedMemory>& out, bp_error* error) {
  if (is_system_v(key.type)) return SystemVMemory::open(key, options, out, error);
  if (key.type == BP_KEY_ANONYMOUS) return FileMemory::make_anonymous(key, options, out, error);
  return FileMemory::open(key, options, out, error);
}

bp_status adopt_memory(int descriptor, const MemoryOptions& options,
                       std::unique_ptr<SharedMemory>& out, bp_error* error) {
  return FileMemory::adopt(descriptor, options, out, error);
}

bp_status remove_memory(const NativeKey& key, bp_error* error) {
  return is_system_v(key.type) ? SystemVMemory::remove(key, error) : FileMemory::remove(key, error);
}

}  // namespace backplane::kernel
