// SPDX-License-Identifier: Apache-2.0
// A ring of bytes in memory that two processes share, and where one that waits says so. It is
// modelled in tests/model/ring.pml.
//
// Design notes. Neither side believes what the other may have written: each keeps its own cursor,
// looks at the other's only through a bound, and copies bytes out before it reads them. A side that
// sleeps is woken through the socket: it says that it sleeps and looks once more; the other side
// publishes, and looks whether it sleeps. All of these are sequentially consistent, so that one of
// the two sees the other.
#pragma once

#include <backplane/sdk/status.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace backplane::isolation {

struct RingMemory {
  static constexpr uint64_t kSize = uint64_t{64} * 1024;

  // ---- the writer's line ----
  alignas(64) std::atomic<uint64_t> written;  // bytes so far
  std::atomic<uint32_t> writer_waits;         // for room; the reader takes it
  // ---- the reader's line ----
  alignas(64) std::atomic<uint64_t> read;  // bytes so far
  std::atomic<uint32_t> reader_sleeps;     // the writer takes it
  alignas(64) std::byte bytes[kSize];
};

/// The two directions of a link. Zero is both empty.
struct LinkMemory {
  RingMemory to_host;
  RingMemory to_proxy;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

/// True, once: the other side waits.
inline bool take_wait(std::atomic<uint32_t>& waits) noexcept {
  return waits.load() != 0 && waits.exchange(0) != 0;
}

/// For one thread at a time.
class RingWriter {
 public:
  /// `at`: the bytes that were written before; none of memory that is zero.
  explicit RingWriter(RingMemory& memory, uint64_t at = 0) noexcept : memory_(&memory), at_(at) {}

  /// Bytes that may be put now; none where the reader's cursor cannot be.
  size_t room() const noexcept {
    const uint64_t used = at_ - memory_->read.load();
    return used > RingMemory::kSize ? 0 : RingMemory::kSize - used;
  }
  /// No more than there is room for. Nobody sees it before publish().
  void put(const void* from, size_t size) noexcept {
    const size_t place = at_ % RingMemory::kSize;
    const size_t first = std::min<size_t>(size, RingMemory::kSize - place);
    std::memcpy(memory_->bytes + place, from, first);
    std::memcpy(memory_->bytes, static_cast<const std::byte*>(from) + first, size - first);
    at_ += size;
  }
  void publish() noexcept { memory_->written = at_; }
  /// True, once: the reader sleeps, and is to be woken.
  bool must_wake() noexcept { return take_wait(memory_->reader_sleeps); }
  /// Says that it waits for room. False: there is some.
  bool wait() noexcept {
    memory_->writer_waits = 1;
    if (room() == 0) {
      return true;
    }
    memory_->writer_waits = 0;
    return false;
  }

 private:
  RingMemory* memory_;
  uint64_t at_;
};

/// Of memory that is zero. For one thread at a time.
class RingReader {
 public:
  explicit RingReader(RingMemory& memory) noexcept : memory_(&memory) {}

  bool is_empty() const noexcept { return memory_->written.load(std::memory_order_acquire) == at_; }
  /// As many bytes as there are, up to `size`: how many. Throws Error when the writer's cursor
  /// cannot be.
  size_t take(void* to, size_t size) {
    const uint64_t filled = memory_->written.load(std::memory_order_acquire) - at_;
    if (filled > RingMemory::kSize) {
      throw Error(BP_DATA_LOSS, "the memory of the link was damaged");
    }
    const size_t n = std::min<size_t>(size, filled);
    const size_t place = at_ % RingMemory::kSize;
    const size_t first = std::min<size_t>(n, RingMemory::kSize - place);
    std::memcpy(to, memory_->bytes + place, first);
    std::memcpy(static_cast<std::byte*>(to) + first, memory_->bytes, n - first);
    at_ += n;
    memory_->read = at_;
    return n;
  }
  /// True, once: the writer waits for room, and is to be woken.
  bool must_wake() noexcept { return take_wait(memory_->writer_waits); }
  /// Says that it sleeps. False: there is something, and it does not.
  bool sleep() noexcept {
    memory_->reader_sleeps = 1;
    if (memory_->written.load() == at_) {
      return true;
    }
    memory_->reader_sleeps = 0;
    return false;
  }
  void awake() noexcept { memory_->reader_sleeps = 0; }

 private:
  RingMemory* memory_;
  uint64_t at_ = 0;
};

}  // namespace backplane::isolation
