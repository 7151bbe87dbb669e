// SPDX-License-Identifier: Apache-2.0
// What a kernel has for bp.shared_memory/1: the segments that are found by a name through it.
#pragma once

#include "backplane/service/shared_memory.h"
#include "descriptor.hpp"

#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace backplane::kernel {

extern const bp_shared_memory_service kSharedMemoryService;

// Keeps a descriptor of each, so that it is there until the kernel ends, whoever made it.
class SharedNames {
 public:
  // `make` makes one, `adopt` opens the one that there is; `which` as of bp_memory_options. Any
  // thread; one call at a time.
  using Make = std::function<bp_status(int& descriptor)>;
  using Adopt = std::function<bp_status(int descriptor)>;
  bp_status open(const std::string& name, std::uint32_t which, const Make& make, const Adopt& adopt,
                 bp_error* error);

 private:
  std::mutex mutex_;
  std::map<std::string, Descriptor> descriptors_;  // guarded by mutex_
};

}  // namespace backplane::kernel
