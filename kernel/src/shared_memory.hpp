// SPDX-License-Identifier: Apache-2.0
// One object of a segment (backplane/shared_memory.h).
#pragma once

#include "memory_header.hpp"
#include "native_key.hpp"
#include "process_wide.hpp"

#include <functional>
#include <memory>
#include <sys/types.h>

namespace backplane::kernel {

inline constexpr gid_t kNoGroup = static_cast<gid_t>(-1);

struct MemoryOptions {
  std::uint32_t which = BP_MEMORY_EXISTING;
  std::uint64_t size = 0;
  std::uint32_t permissions = 0600;
  std::uint32_t flags = 0;
  std::function<void(void* data)> fill;  // of a new one, before anybody else sees it
  gid_t group = kNoGroup;                // of a new file; if this process is in it, else its own

  bool has(std::uint32_t flag) const noexcept { return (flags & flag) != 0; }
  // Bytes in front of the data.
  std::uint64_t begin() const noexcept { return has(BP_MEMORY_PLAIN) ? 0 : MemoryHeader::kSize; }
};

class SharedMemory {
 public:
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  virtual ~SharedMemory() = default;

  void* data() const noexcept { return data_; }
  std::uint64_t size() const noexcept { return size_; }
  const std::string& name() const noexcept { return name_; }
  bp_mutex* mutex() const noexcept {
    return header_ == nullptr || is_read_only_ ? nullptr : &header_->mutex;
  }

  virtual bp_status grow(std::uint64_t size, bp_error* error) = 0;
  virtual bp_status refresh(bp_error* error) = 0;
  virtual int descriptor(bp_error* error) = 0;  // -1: none
  virtual gid_t group() const noexcept = 0;

 protected:
  SharedMemory(const MemoryOptions& options, std::string name)
      : begin_(options.begin()),
        is_read_only_(options.has(BP_MEMORY_READ_ONLY)),
        name_(std::move(name)) {}
  bool is_of_this_process() const noexcept { return generation_ == fork_generation(); }

  MemoryHeader* header_ = nullptr;  // null: plain
  void* data_ = nullptr;
  std::uint64_t size_ = 0;  // of the data, mapped
  const std::uint64_t begin_;
  const bool is_read_only_;
  const std::string name_;  // text of the key

 private:
  const std::uint32_t generation_ = fork_generation();
};

// Memory that the system gives only when it is touched would else end in the hands of who ends
// processes for memory.
bool is_more_than_the_machine_has(std::uint64_t size) noexcept;

// The type of the key is supported.
bp_status open_memory(const NativeKey& key, const MemoryOptions& options,
                      std::unique_ptr<SharedMemory>& out, bp_error* error);
bp_status adopt_memory(int descriptor, const MemoryOptions& options,
                       std::unique_ptr<SharedMemory>& out, bp_error* error);
bp_status remove_memory(const NativeKey& key, bp_error* error);

}  // namespace backplane::kernel
