// SPDX-License-Identifier: Apache-2.0
// What is in front of the data of a segment (backplane/shared_memory.h).
#pragma once

#include "backplane/mutex.h"
#include "backplane/shared_memory.h"
#include "robust_mutex.hpp"

#include <atomic>
#include <string_view>

namespace backplane::kernel {

struct MemoryHeader {
  static constexpr std::uint64_t kMagic = 0x3130'6d65'6d5f'7062;  // "bp_mem01"
  static constexpr std::uint64_t kSize = 4096;

  std::atomic<std::uint64_t> magic;  // last
  std::uint32_t flags;               // BP_MEMORY_KEPT
  std::uint32_t reserved;
  std::atomic<std::uint64_t> size;  // of the data; it only grows
  // Who made it. A number means a process only together with its start and with the boot.
  std::uint64_t maker;
  std::uint64_t maker_start;  // in clock ticks since the boot: proc(5), stat, field 22
  char boot[40];              // /proc/sys/kernel/random/boot_id
  bp_mutex mutex;
  char key[1024];  // its text; empty: it is longer

  // Of memory that is zero. All but the magic, which says that the segment is whole.
  void make(std::uint64_t data_size, std::uint32_t kept, std::string_view key_text) noexcept;
  void is_whole() noexcept { magic = kMagic; }
  // Whether it is a header, of a segment with at most `most` bytes of data.
  bool is_valid(std::uint64_t most) const noexcept;
  // Whether the process that made it is there.
  bool is_maker_alive() const noexcept;
};
static_assert(sizeof(MemoryHeader) <= MemoryHeader::kSize);

}  // namespace backplane::kernel
