// SPDX-License-Identifier: Apache-2.0
// A segment that is a file: of POSIX, in /dev/shm, or anonymous, a memfd.
// Header and data are mapped apart: the data moves when it grows, the lock in the header must not.
//
// Whoever has one of POSIX open has a shared lock of its file (flock(2)), which the system takes
// away when the process ends: a file whose exclusive lock can be had is nobody's.
#pragma once

#include "descriptor.hpp"
#include "shared_memory.hpp"

namespace backplane::kernel {

class FileMemory final : public SharedMemory {
 public:
  static bp_status open(const NativeKey& key, const MemoryOptions& options,
                        std::unique_ptr<SharedMemory>& out, bp_error* error);
  static bp_status make_anonymous(const NativeKey& key, const MemoryOptions& options,
                                  std::unique_ptr<SharedMemory>& out, bp_error* error);
  static bp_status adopt(int descriptor, const MemoryOptions& options,
                         std::unique_ptr<SharedMemory>& out, bp_error* error);
  static bp_status remove(const NativeKey& key, bp_error* error);

  // Removes the file if nobody has it open, and it is not kept. False: it is not removed.
  static bool remove_if_nobodys(const char* path) noexcept;

  // The same of each whose name begins so.
  static void remove_nobodys(std::string_view prefix) noexcept;

  ~FileMemory() override;

  bp_status grow(std::uint64_t size, bp_error* error) override;
  bp_status refresh(bp_error* error) override;
  int descriptor(bp_error* error) override;
  gid_t group() const noexcept override;

 private:
  FileMemory(Descriptor file, const MemoryOptions& options, std::string name);

  static bp_status open_file(Descriptor file, const std::string& path, const std::string& text,
                             const MemoryOptions& options, std::unique_ptr<SharedMemory>& out,
                             bp_error* error);
  static bp_status make_file(const std::string& path, const std::string& text,
                             const MemoryOptions& options, std::unique_ptr<SharedMemory>& out,
                             bp_error* error);

  bp_status map_header(bp_error* error);
  bp_status map(std::uint64_t data_size, bp_error* error);
  bp_status map_what_is_there(const MemoryOptions& options, bp_error* error);
  bp_status make(const MemoryOptions& options, bp_error* error);
  bp_status allocate(std::uint64_t data_size, bp_error* error) const;
  bp_status allocate_huge(std::uint64_t data_size, bp_error* error);

  const Descriptor file_;
  std::string path_;  // empty: it is not removed by this
  bool is_anonymous_ = false;
  bool is_of_huge_pages_ = false;  // which have one mapping, that does not grow
};

}  // namespace backplane::kernel
