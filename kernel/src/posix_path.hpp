// SPDX-License-Identifier: Apache-2.0
// Where the C library keeps what has a name of POSIX: shm_overview(7), sem_overview(7).
#pragma once

#include "native_key.hpp"

namespace backplane::kernel {

inline constexpr const char* kSharedMemoryFolder = "/dev/shm";

// `prefix`: "" for memory, "sem." for semaphores.
bp_status posix_path(const NativeKey& key, std::string_view prefix, std::string& out,
                     bp_error* error);

}  // namespace backplane::kernel
