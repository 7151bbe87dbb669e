// SPDX-License-Identifier: Apache-2.0
// SharedMemory: memory that processes share (backplane/shared_memory.h says what holds).
#pragma once

#include "mutex.hpp"
#include "native_key.hpp"
#include "shared_handle.hpp"
#include <backplane/shared_memory.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace backplane {

/// A segment of Backplane's, as it is found.
struct MemoryInfo {
  std::string key;  // its text; empty: not known
  uint64_t size = 0;
  bool is_open = false;
  bool is_kept = false;
  uint64_t maker = 0;  // number of the process that made it
  bool maker_lives = false;
  uint32_t owner = 0;  // number of the user
  uint32_t permissions = 0;
};

/// Lives as long as a process has it open:
///
///     const auto key = NativeKey::safe(NativeKey::Use::kSharedMemory, "line 1").value();
///     SharedMemory memory = SharedMemory::open(key, {.size = sizeof(Line)}).value();
///     ProcessLock lock = memory.lock().value();
///     memory.as<Line>().speed = 1.5;
///
/// The memory is for several threads at once. Of an object size, data, as, lock and descriptor are,
/// too; while grow or refresh runs, or it is moved or destroyed, nothing else uses it, nor its
/// memory.
class SharedMemory {
 public:
  enum class Which : uint32_t {
    kExisting = BP_MEMORY_EXISTING,
    kAny = BP_MEMORY_ANY,
    kNew = BP_MEMORY_NEW,
  };
  struct Options {
    Which which = Which::kAny;
    uint64_t size = 0;
    uint32_t permissions = 0600;
    bool read_only = false;  // of one that there is
    bool plain = false;      // for programs without Backplane
    bool kept = false;
    bool huge_pages = false;
    bool fixed = false;        // anonymous
    bool one_writer = false;   // anonymous
    bool trust_owner = false;  // it may be another user's (BP_MEMORY_TRUST_OWNER)
  };

  /// Errors: as of bp_memory_open and NativeKey::raw.
  static Result<SharedMemory> open(const NativeKey& key, const Options& options) {
    bp_key raw_key{};
    if (Status status = key.raw(raw_key); status.is_error()) {
      return status;
    }
    const bp_memory_options raw_options = raw_of(options);
    bp_error error{};
    bp_memory* raw = nullptr;
    const bp_status status = bp_memory_open(&raw_key, &raw_options, &raw, &error);
    return made(status, error, raw, options, bp_shared_memory());
  }
  /// One that there is. Errors: as of open.
  static Result<SharedMemory> attach(const NativeKey& key, bool read_only = false) {
    return open(key, {.which = Which::kExisting, .read_only = read_only});
  }
  /// Of a descriptor that another process gave; it stays the caller's. Errors: as of
  /// bp_memory_adopt.
  static Result<SharedMemory> adopt(int descriptor, Options options) {
    return adopt(*bp_shared_memory(), descriptor, options);
  }
  /// Errors: as of bp_memory_remove and NativeKey::raw.
  static Status remove(const NativeKey& key) {
    bp_key raw_key{};
    if (Status status = key.raw(raw_key); status.is_error()) {
      return status;
    }
    bp_error error{};
    const bp_status status = bp_memory_remove(&raw_key, &error);
    return Status::from(status, error);
  }

  /// Those that this user may read. Errors: as of bp_memory_list.
  static Result<std::vector<MemoryInfo>> list() {
    std::vector<MemoryInfo> out;
    const auto add = [](void* user, const bp_memory_info* info) {
      const auto has = [&](uint32_t flag) { return (info->flags & flag) != 0; };
      static_cast<std::vector<MemoryInfo>*>(user)->push_back(
          {std::string(to_view(info->key)), info->size, has(BP_MEMORY_INFO_OPEN),
           has(BP_MEMORY_INFO_KEPT), info->maker, has(BP_MEMORY_INFO_MAKER_LIVES), info->owner,
           info->permissions});
    };
    bp_error error{};
    const bp_status status = bp_memory_list(add, &out, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return out;
  }
  /// Removes those that nobody has open and that are not kept: how many. Errors: as above.
  static Result<uint64_t> clean() {
    bp_error error{};
    uint64_t removed = 0;
    const bp_status status = bp_memory_clean(&removed, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return removed;
  }

  /// For a plugin, whose host has the service (open_memory of host_memory.hpp). Errors: as of
  /// bp_shared_memory_service.
  static Result<SharedMemory> open(const bp_shared_memory_service& service, const bp_host* host,
                                   std::string_view key, const Options& options) {
    const bp_memory_options raw_options = raw_of(options);
    bp_error error{};
    bp_memory* raw = nullptr;
    const bp_status status = service.open_memory(host, to_str(key), &raw_options, &raw, &error);
    return made(status, error, raw, options, &service);
  }
  static Result<SharedMemory> adopt(const bp_shared_memory_service& service, int descriptor,
                                    Options options) {
    options.which = Which::kExisting;
    const bp_memory_options raw_options = raw_of(options);
    bp_error error{};
    bp_memory* raw = nullptr;
    const bp_status status = service.memory_adopt(descriptor, &raw_options, &raw, &error);
    return made(status, error, raw, options, &service);
  }

  uint64_t size() const noexcept { return functions().memory_size(raw_.get()); }
  /// Empty of one that is opened to read.
  std::span<std::byte> data() noexcept {
    return is_read_only_ ? std::span<std::byte>() : std::span(first(), size());
  }
  std::span<const std::byte> const_data() const noexcept { return {first(), size()}; }
  /// The object at its first byte. Thrown are OUT_OF_RANGE: it is too small for one;
  /// FAILED_PRECONDITION: it is opened to read, and the object is not const.
  template <class Object>
  Object& as() {
    check_for(sizeof(Object), true);
    return *reinterpret_cast<Object*>(first());
  }
  template <class Object>
  const Object& as() const {
    check_for(sizeof(Object), false);
    return *reinterpret_cast<const Object*>(first());
  }

  /// The lock of the whole segment. FAILED_PRECONDITION: it is plain, or opened to read. Other
  /// errors: as of bp_mutex_lock.
  Result<ProcessLock> lock() { return lock_until(ProcessMutex::Clock::time_point::max()); }
  Result<ProcessLock> lock_within(std::chrono::nanoseconds at_most) {
    return lock_until(detail::time_after(at_most));
  }
  Result<ProcessLock> lock_until(ProcessMutex::Clock::time_point deadline) {
    bp_mutex* const mutex = functions().memory_mutex(raw_.get());
    if (mutex == nullptr) {
      return Status(BP_FAILED_PRECONDITION,
                    "a segment that is plain, or opened to read, has no lock");
    }
    return ProcessLock::of(*mutex, deadline, functions());
  }

  /// References into it may be invalid then. Errors: as of bp_memory_grow.
  Status grow(uint64_t size) {
    bp_error error{};
    const bp_status status = functions().memory_grow(raw_.get(), size, &error);
    return Status::from(status, error);
  }
  /// What others made larger. Errors: as of bp_memory_refresh.
  Status refresh() {
    bp_error error{};
    const bp_status status = functions().memory_refresh(raw_.get(), &error);
    return Status::from(status, error);
  }
  /// Of an anonymous one, to be given away and closed. Errors: as of bp_memory_descriptor.
  Result<int> descriptor() {
    bp_error error{};
    const int out = functions().memory_descriptor(raw_.get(), &error);
    if (out < 0) {
      return Status::from(error.code, error);
    }
    return out;
  }

  /// For the functions of C.
  bp_memory* raw() const noexcept { return raw_.get(); }

 private:
  using Handle = detail::SharedHandle<bp_memory, &bp_shared_memory_service::memory_close>;
  SharedMemory(Handle raw, bool is_read_only) : raw_(std::move(raw)), is_read_only_(is_read_only) {}
  const bp_shared_memory_service& functions() const noexcept { return detail::functions_of(raw_); }

  static Result<SharedMemory> made(bp_status status, const bp_error& error, bp_memory* raw,
                                   const Options& options,
                                   const bp_shared_memory_service* functions) {
    if (status < 0) {
      return Status::from(status, error);
    }
    return SharedMemory(Handle(raw, {functions}), options.read_only);
  }
  static bp_memory_options raw_of(const Options& options) noexcept {
    const uint32_t flags =
        (options.read_only ? BP_MEMORY_READ_ONLY : 0) | (options.plain ? BP_MEMORY_PLAIN : 0) |
        (options.kept ? BP_MEMORY_KEPT : 0) | (options.huge_pages ? BP_MEMORY_HUGE_PAGES : 0) |
        (options.fixed ? BP_MEMORY_FIXED : 0) | (options.one_writer ? BP_MEMORY_ONE_WRITER : 0) |
        (options.trust_owner ? BP_MEMORY_TRUST_OWNER : 0);
    return {sizeof(bp_memory_options), static_cast<uint32_t>(options.which), options.size,
            options.permissions, flags};
  }
  std::byte* first() const noexcept {
    return static_cast<std::byte*>(functions().memory_data(raw_.get()));
  }
  void check_for(size_t object, bool is_written) const {
    if (size() < object) {
      throw Error(BP_OUT_OF_RANGE, "the segment has ", size(), " bytes, the object ", object);
    }
    if (is_written && is_read_only_) {
      throw Error(BP_FAILED_PRECONDITION, "the segment is opened to read: take a const object");
    }
  }

  Handle raw_;
  bool is_read_only_;
};

}  // namespace backplane
