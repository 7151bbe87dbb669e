// SPDX-License-Identifier: Apache-2.0
// From a reference to an endpoint: slots that never move, found by index and checked by generation.
#pragma once

#include "backplane/endpoint.h"
#include "operation.hpp"
#include "verb.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

namespace backplane::kernel {

class Executor;

// One line of the cache: of many endpoints, an operation waits for one line of memory each.
class alignas(64) Slot {
 public:
  [[nodiscard]] const bp_endpoint_ops* ops() const noexcept {
    return ops_.load(std::memory_order_acquire);
  }

  // Constant while the slot is open.
  void* self = nullptr;
  const Host* provider = nullptr;
  // What pends in it. Shared, so that a quarantine may go through it while the slot is freed.
  std::shared_ptr<PendingList> pending;
  VerbMask verbs = 0;  // what the caller may do: verbs, and verbs with a flag; nothing unknown

 private:
  friend class EndpointTable;
  std::atomic<std::uint32_t> generation_{0};  // odd: open
  std::atomic<const bp_endpoint_ops*> ops_{nullptr};
  std::atomic<std::uint32_t> references_{0};
  std::uint32_t index_ = 0;
  std::uint64_t retire_epoch_ = 0;  // 0: not retired; guarded by the table's retire mutex
};
static_assert(sizeof(Slot) == 64);

// Design notes: a slot's end. The last close makes the generation even, so that nobody finds the
// slot, and cancels what pends. When nothing pends any more the slot is retired: once every thread
// that may have looked it up before has left the kernel, nothing can be added to what pends; and
// once everybody has left who may have ended the last of that, the endpoint's close runs and the
// slot is free. The waiting is done by a task on the executor, never by a caller.
class EndpointTable {
 public:
  explicit EndpointTable(Executor& executor);
  ~EndpointTable();

  // A new open slot with one reference. 0: the table is full (RESOURCE_EXHAUSTED).
  bp_ref insert(const bp_endpoint_ops* ops, void* self, std::uint32_t verbs, const Host* provider);

  // The open slot of a reference, or NULL. Only inside InKernel; valid until it ends, or as long as
  // something pends in it.
  [[nodiscard]] Slot* find(bp_ref ref) const noexcept {
    const auto index = static_cast<std::uint32_t>(ref);
    const std::uint32_t chunk = index >> kChunkBits;
    if (chunk >= kChunks) return nullptr;
    Slot* const slots = chunks_[chunk].load(std::memory_order_acquire);
    if (slots == nullptr) return nullptr;
    Slot& slot = slots[index & (kChunkSize - 1)];
    const auto generation = static_cast<std::uint32_t>(ref >> 32);
    if (slot.generation_.load(std::memory_order_acquire) != generation || (generation & 1u) == 0)
      return nullptr;
    return &slot;
  }

  bool retain(bp_ref ref) noexcept;
  // False: not open.
  bool release(bp_ref ref) noexcept;

  // Nothing pends in a closed slot any more.
  void retire(Slot& slot) noexcept;

  // All slots of an instance, whoever holds references: no new operation, cancel what pends.
  // Asynchronous like close.
  void close_all_of(const Host* provider) noexcept;
  // Waits until all slots of an instance are free; false: not within the time. Not on a loop
  // thread.
  bool wait_until_closed(const Host* provider, std::int64_t timeout_ns) noexcept;
  // From now on endpoints of this instance answer UNAVAILABLE, and what pends is completed with it;
  // `close` is never called.
  void quarantine(const Host* provider) noexcept;
  [[nodiscard]] std::uint64_t open_slots_of(const Host* provider) const noexcept;

  // The normalised copy of a table that an endpoint shows, or NULL with `problem` saying which slot
  // is missing.
  const bp_endpoint_ops* normalise(const bp_endpoint_ops* offered, std::string& problem);

 private:
  static constexpr std::uint32_t kChunkBits = 10;
  static constexpr std::uint32_t kChunkSize = 1u << kChunkBits;
  static constexpr std::uint32_t kChunks = 4096;

  struct Retired {
    Slot* slot;
    bool seen_empty;
  };

  // Closes it if it is open, in this generation.
  void end(Slot& slot, std::uint32_t generation) noexcept;
  void collect() noexcept;
  void schedule_collect(bool soon) noexcept;
  void free_slot(Slot& slot) noexcept;
  template <typename Visit>
  void for_each_slot(Visit visit) const;

  Executor& executor_;
  std::array<std::atomic<Slot*>, kChunks> chunks_{};

  std::mutex free_mutex_;
  std::vector<Slot*> free_;      // guarded by free_mutex_
  std::uint32_t allocated_ = 0;  // chunks; guarded by free_mutex_

  std::mutex retire_mutex_;
  std::vector<Retired> retired_;     // guarded by retire_mutex_
  bool collect_scheduled_ = false;   // guarded by retire_mutex_
  std::uint64_t collect_timer_ = 0;  // likewise

  std::shared_mutex tables_mutex_;
  std::unordered_map<const bp_endpoint_ops*, std::unique_ptr<bp_endpoint_ops>>
      tables_;  // guarded by tables_mutex_
};

}  // namespace backplane::kernel
