// SPDX-License-Identifier: Apache-2.0
// A segment of System V: the system counts who has it attached.
#pragma once

#include "shared_memory.hpp"

struct shmid_ds;

namespace backplane::kernel {

class SystemVMemory final : public SharedMemory {
 public:
  static bp_status open(const NativeKey& key, const MemoryOptions& options,
                        std::unique_ptr<SharedMemory>& out, bp_error* error);
  static bp_status remove(const NativeKey& key, bp_error* error);

  // Whether it is not whole yet, or will never be, and this user may remove it.
  static bool is_half_made(const shmid_ds& about) noexcept;
  // Removes the segment if nobody has it attached, and it is not kept. False: it is not removed.
  static bool remove_if_nobodys(int id, const std::string& key_text) noexcept;

  ~SystemVMemory() override;

  bp_status grow(std::uint64_t size, bp_error* error) override;
  bp_status refresh(bp_error* error) override;
  int descriptor(bp_error* error) override;
  gid_t group() const noexcept override;

 private:
  SystemVMemory(NativeKey key, int id, const MemoryOptions& options);

  bp_status attach(std::uint64_t least, bool is_new, const MemoryOptions& options, bp_error* error);
  bp_status make(shmid_ds about, const MemoryOptions& options, bp_error* error);

  const NativeKey key_;
  const int id_;
  void* base_ = nullptr;
  bool is_kept_ = true;  // it is not removed by this
};

}  // namespace backplane::kernel
