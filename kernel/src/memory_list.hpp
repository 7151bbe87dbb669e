// SPDX-License-Identifier: Apache-2.0
// The segments of Backplane's that there are.
#pragma once

#include "backplane/shared_memory.h"

#include <string>
#include <vector>

namespace backplane::kernel {

struct FoundMemory {
  std::uint32_t flags = 0;  // BP_MEMORY_INFO_*
  std::string key;          // its text
  std::uint64_t size = 0;
  std::uint64_t maker = 0;
  std::uint32_t owner = 0;
  std::uint32_t permissions = 0;
  std::string path;  // of POSIX
  int id = -1;       // of System V
};

bp_status list_memory(std::vector<FoundMemory>& out, bp_error* error);
bp_status clean_memory(std::uint64_t& removed, bp_error* error);

}  // namespace backplane::kernel
