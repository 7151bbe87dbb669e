// SPDX-License-Identifier: Apache-2.0
#include "endpoint_table.hpp"

#include "executor.hpp"
#include "host.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

namespace backplane::kernel {
namespace {

using namespace std::chrono_literals;

// While some thread is still inside the kernel.
constexpr std::int64_t kCollectAgainNs = 1'000'000;

// What takes the place of an optional slot that an endpoint does not have.
void no_credit(bp_op*, std::uint32_t) {}
void no_ack(bp_op*, std::uint64_t, bp_status) {}
std::uint32_t no_submit_n(bp_op* const*, std::uint32_t) { return 0; }

// The endpoints of a quarantined instance.
bp_status unavailable(bp_op* op) { return set_error(op->error, BP_UNAVAILABLE, kQuarantinedText); }
void ignore_cancel(bp_op*) {}
void ignore_close(void*) {}
constexpr bp_endpoint_ops kQuarantined = {BP_SIZE_TO(bp_endpoint_ops, close),
                                          0,
                                          unavailable,
                                          no_submit_n,
                                          ignore_cancel,
                                          no_credit,
                                          no_ack,
                                          ignore_close};

}  // namespace

EndpointTable::EndpointTable(Executor& executor) : executor_(executor) {}

EndpointTable::~EndpointTable() {
  for (auto& chunk : chunks_) delete[] chunk.load(std::memory_order_relaxed);
}

template <typename Visit>
void EndpointTable::for_each_slot(Visit visit) const {
  for (const auto& chunk : chunks_) {
    Slot* const slots = chunk.load(std::memory_order_acquire);
    if (slots == nullptr) break;
    for (std::uint32_t i = 0; i < kChunkSize; ++i) visit(slots[i]);
  }
}

bp_ref EndpointTable::insert(const bp_endpoint_ops* ops, void* self, std::uint32_t verbs,
                             const Host* provider) {
  auto pending = std::make_shared<PendingList>();
  const std::lock_guard lock(free_mutex_);
  if (free_.empty()) {
    if (allocated_ == kChunks) return 0;
    auto* slots = new Slot[kChunkSize];
    for (std::uint32_t i = kChunkSize; i-- > 0;) {
      slots[i].index_ = allocated_ * kChunkSize + i;
      free_.push_back(&slots[i]);
    }
    chunks_[allocated_++].store(slots, std::memory_order_release);
  }
  Slot* const slot = free_.back();
  free_.pop_back();
  slot->pending = std::move(pending);
  slot->self = self;
  slot->provider = provider;
  slot->verbs = verbs;
  slot->ops_.store(ops, std::memory_order_release);
  slot->references_.store(1, std::memory_order_relaxed);
  const std::uint32_t generation = slot->generation_.load(std::memory_order_relaxed) + 1;
  slot->generation_.store(generation, std::memory_order_release);
  return static_cast<bp_ref>(generation) << 32 | slot->index_;
}

bool EndpointTable::retain(bp_ref ref) noexcept {
  const InKernel inside(ThreadRegistry::current());
  Slot* const slot = find(ref);
  if (slot == nullptr) return false;
  std::uint32_t references = slot->references_.load(std::memory_order_relaxed);
  do {
    if (references == 0) return false;
  } while (!slot->references_.compare_exchange_weak(references, references + 1,
                                                    std::memory_order_acq_rel));
  return true;
}

bool EndpointTable::release(bp_ref ref) noexcept {
  const InKernel inside(ThreadRegistry::current());
  Slot* const slot = find(ref);
  if (slot == nullptr) return false;
  std::uint32_t references = slot->references_.load(std::memory_order_relaxed);
  do {
    if (references == 0) return false;
  } while (!slot->references_.compare_exchange_weak(references, references - 1,
                                                    std::memory_order_acq_rel));
  if (references == 1) end(*slot, static_cast<std::uint32_t>(ref >> 32));
  return true;
}

void EndpointTable::end(Slot& slot, std::uint32_t generation) noexcept {
  if (!slot.generation_.compare_exchange_strong(generation, generation + 1)) return;
  if (slot.pending->close_and_cancel()) retire(slot);
}

void EndpointTable::retire(Slot& slot) noexcept {
  const std::lock_guard lock(retire_mutex_);
  // An operation that was looked up before the close may still have pended and ended after it: then
  // it comes here again.
  if (slot.retire_epoch_ == 0) retired_.push_back({&slot, false});
  slot.retire_epoch_ = ThreadRegistry::advance();
  if (!collect_scheduled_) {
    collect_scheduled_ = true;
    schedule_collect(true);
  }
}

void EndpointTable::schedule_collect(bool soon) noexcept {
  const auto run = [](void* self) { static_cast<EndpointTable*>(self)->collect(); };
  if (soon) {
    executor_.post(run, this);
  } else {
    executor_.at(this, monotonic_now() + kCollectAgainNs, run, this, &collect_timer_);
  }
}

void EndpointTable::collect() noexcept {
  std::vector<Slot*> ready;
  {
    const std::lock_guard lock(retire_mutex_);
    std::uint64_t oldest_safe = 0;
    for (const Retired& retired : retired_)
      oldest_safe = std::max(oldest_safe, retired.slot->retire_epoch_);
    const bool all = ThreadRegistry::quiescent_since(oldest_safe);
    auto waiting = retired_.begin();
    for (auto [slot, seen_empty] : retired_) {
      const bool quiet = (all || ThreadRegistry::quiescent_since(slot->retire_epoch_)) &&
                         slot->pending->closed_and_empty();
      if (quiet && seen_empty) {
        slot->retire_epoch_ = 0;
        ready.push_back(slot);
        continue;
      }
      if (quiet) {  // who ended the last operation may be about to retire the slot once more
        seen_empty = true;
        slot->retire_epoch_ = ThreadRegistry::advance();
      }
      *waiting++ = {slot, seen_empty};
    }
    retired_.erase(waiting, retired_.end());
    collect_scheduled_ = !retired_.empty();
    if (collect_scheduled_) schedule_collect(false);
  }
  for (Slot* slot : ready) free_slot(*slot);
}

void EndpointTable::free_slot(Slot& slot) noexcept {
  slot.ops()->close(slot.self);
  const std::lock_guard lock(free_mutex_);
  slot.pending.reset();
  slot.provider = nullptr;
  free_.push_back(&slot);
}

void EndpointTable::close_all_of(const Host* provider) noexcept {
  const InKernel inside(ThreadRegistry::current());
  std::vector<std::pair<Slot*, std::uint32_t>> open;
  {
    const std::lock_guard lock(free_mutex_);
    for_each_slot([&](Slot& slot) {
      const std::uint32_t generation = slot.generation_.load(std::memory_order_relaxed);
      if (slot.provider == provider && (generation & 1u) != 0) open.emplace_back(&slot, generation);
    });
  }
  for (const auto& [slot, generation] : open) end(*slot, generation);
}

bool EndpointTable::wait_until_closed(const Host* provider, std::int64_t timeout_ns) noexcept {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::nanoseconds(timeout_ns);
  while (open_slots_of(provider) != 0) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(200us);
  }
  return true;
}

void EndpointTable::quarantine(const Host* provider) noexcept {
  const InKernel inside(ThreadRegistry::current());
  std::vector<std::shared_ptr<PendingList>> pending;
  {
    const std::lock_guard lock(free_mutex_);
    for_each_slot([&](Slot& slot) {
      if (slot.provider != provider) return;
      slot.ops_.store(&kQuarantined, std::memory_order_release);
      pending.push_back(slot.pending);
    });
  }
  for (const auto& list : pending) list->abandon_all();
}

std::uint64_t EndpointTable::open_slots_of(const Host* provider) const noexcept {
  auto& self = const_cast<EndpointTable&>(*this);  // the lock is not part of the table's value
  const std::lock_guard lock(self.free_mutex_);
  std::uint64_t count = 0;
  for_each_slot([&](const Slot& slot) { count += slot.provider == provider ? 1 : 0; });
  return count;
}

const bp_endpoint_ops* EndpointTable::normalise(const bp_endpoint_ops* offered,
                                                std::string& problem) {
  if (offered == nullptr) {
    problem = "the endpoint has no table of functions (bp_endpoint.ops is NULL)";
    return nullptr;
  }
  {
    const std::shared_lock lock(tables_mutex_);
    if (const auto found = tables_.find(offered); found != tables_.end())
      return found->second.get();
  }
  constexpr std::uint32_t kMinor0 = BP_SIZE_TO(bp_endpoint_ops, close);
  if (offered->struct_size < kMinor0) {
    problem = "bp_endpoint_ops.struct_size is " + std::to_string(offered->struct_size) +
              ", expected at least " + std::to_string(kMinor0);
    return nullptr;
  }
  auto table = std::make_unique<bp_endpoint_ops>();
  std::memcpy(table.get(), offered, std::min<std::size_t>(sizeof *table, offered->struct_size));
  const char* missing = table->submit == nullptr   ? "submit"
                        : table->cancel == nullptr ? "cancel"
                        : table->close == nullptr  ? "close"
                                                   : nullptr;
  if (missing != nullptr) {
    problem = std::string("bp_endpoint_ops.") + missing + " is NULL, but mandatory";
    return nullptr;
  }
  if (table->submit_n == nullptr) table->submit_n = no_submit_n;
  if (table->credit == nullptr) table->credit = no_credit;
  if (table->ack == nullptr) table->ack = no_ack;
  const std::unique_lock lock(tables_mutex_);
  return tables_.try_emplace(offered, std::move(table)).first->second.get();
}

}  // namespace backplane::kernel
