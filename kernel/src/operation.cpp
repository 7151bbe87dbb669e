// SPDX-License-Identifier: Apache-2.0
#include "operation.hpp"

#include "completion_queue.hpp"
#include "deadline_queue.hpp"
#include "endpoint_table.hpp"
#include "error.hpp"
#include "executor.hpp"
#include "host.hpp"
#include "kernel.hpp"
#include "plugin_instance.hpp"

#include <cstring>
#include <new>
#include <thread>
#include <utility>

namespace backplane::kernel {

void Operation::begin(Kind what, const Host* by) noexcept {
  kind = what;
  caller = by;
  list_ = nullptr;
  handler = 0;
  clear_error(op.error);
  op.status = BP_PENDING;
  op.out = bp_message{};
  op.out.time_ns = BP_TIME_NONE;
  for (std::uint64_t& word : op.impl) word = 0;  // what another endpoint left there is nothing
  credit_.store(op.credit, std::memory_order_relaxed);
  untold_credit_.store(0, std::memory_order_relaxed);
  state_.store(kDispatching | 1u, std::memory_order_relaxed);
}

bool Operation::finish_inline() noexcept {
  std::uint32_t expected = kDispatching | 1u;
  if (state_.compare_exchange_strong(expected, kCompleted | kInline, std::memory_order_acq_rel))
    return true;
  // Somebody else is inside (the caller's cancel), or the endpoint breached the contract.
  const std::uint32_t before = state_.fetch_or(kCompleted | kInline, std::memory_order_acq_rel);
  state_.fetch_sub(1, std::memory_order_acq_rel);
  return (before & kCompleted) == 0;
}

void Operation::pend_in(PendingList& list) noexcept {
  list_ = &list;
  const PendingList::Then then = list.add(*this);
  if (op.deadline_ns != 0) provider->kernel_deadlines().arm(*this);
  const std::uint32_t before = state_.fetch_and(~kDispatching, std::memory_order_seq_cst);
  tell_credit();
  if (then == PendingList::Then::kAbandon) {
    abandon(BP_UNAVAILABLE, kQuarantinedText);
  } else if (then == PendingList::Then::kCancel) {
    state_.fetch_or(kCancelRequested, std::memory_order_relaxed);
    call_cancel();
  } else if ((before & kCancelRequested) != 0) {
    call_cancel();
  }
  leave();
}

void Operation::finish_later(bp_status status) noexcept {
  complete(status);
  leave();
}

bool Operation::enter() noexcept {
  std::uint32_t state = state_.load(std::memory_order_relaxed);
  do {
    if ((state & kCompleted) != 0) return false;
  } while (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire,
                                         std::memory_order_relaxed));
  return true;
}

void Operation::leave() noexcept {
  const std::uint32_t before = state_.fetch_sub(1, std::memory_order_acq_rel);
  if ((before & kBusy) == 1 && (before & (kCompleted | kInline)) == kCompleted) finish();
}

void Operation::leave_without_done() noexcept {
  const std::uint32_t before = state_.fetch_sub(1, std::memory_order_acq_rel);
  if ((before & kBusy) != 1 || (before & (kCompleted | kInline)) != kCompleted) return;
  const auto run = [](void* operation) { static_cast<Operation*>(operation)->finish(); };
  if (provider->kernel.executor().post(run, this) < 0) finish();  // the loop has ended
}

bool Operation::enter_to_complete(bp_status status, std::uint32_t flags) noexcept {
  // Two completers at a time are a breach, but an abandon may meet one; the flag decides.
  std::uint32_t state = state_.load(std::memory_order_relaxed);
  do {
    if ((state & kCompleted) != 0) return false;
  } while (!state_.compare_exchange_weak(state, (state + 1) | kCompleted | flags,
                                         std::memory_order_acq_rel, std::memory_order_relaxed));
  final_status_ = status;  // nobody finishes it while this call is inside
  return true;
}

bool Operation::complete(bp_status status) noexcept {
  if (!enter_to_complete(status, 0)) return false;
  leave();
  return true;
}

void Operation::request_cancel(bool at_deadline) noexcept {
  if (!enter()) return;
  const std::uint32_t flags = at_deadline ? kCancelRequested | kAtDeadline : kCancelRequested;
  const std::uint32_t before = state_.fetch_or(flags, std::memory_order_acq_rel);
  // While submit is under way the endpoint does not know the operation yet: pend_in passes the
  // request on.
  if ((before & kDispatching) == 0) call_cancel();
  leave();
}

void Operation::abandon(bp_status status, std::string_view why) noexcept {
  if (!enter_to_complete(status, kAbandoned)) return;
  static constexpr bp_message kNothing = {{}, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0};
  set_error(std::exchange(op.error, nullptr), status, why);
  op.in = &kNothing;
  op.scratch = nullptr;
  op.scratch_len = 0;
  leave();
}

bool Operation::at_rest() const noexcept {
  const std::uint32_t state = state_.load(std::memory_order_acquire);
  return (state & kCompleted) != 0;
}

bool Operation::take_credit(std::uint32_t n) noexcept {
  std::uint32_t have = credit_.load(std::memory_order_relaxed);
  do {
    if (have == UINT32_MAX) return true;
    if (n > have) return false;
  } while (!credit_.compare_exchange_weak(have, have - n, std::memory_order_relaxed));
  return true;
}

void Operation::add_credit(std::uint32_t n) noexcept {
  const auto add_to = [n](std::atomic<std::uint32_t>& credit) {
    std::uint32_t have = credit.load(std::memory_order_relaxed);
    std::uint32_t sum = 0;
    do {
      sum = have > UINT32_MAX - n ? UINT32_MAX : have + n;
    } while (!credit.compare_exchange_weak(have, sum, std::memory_order_seq_cst));
  };
  add_to(credit_);
  add_to(untold_credit_);
  // Else pend_in tells: it clears the flag before it looks, and we look at the flag after adding.
  if ((state_.load(std::memory_order_seq_cst) & kDispatching) == 0) tell_credit();
}

void Operation::tell_credit() noexcept {
  // Most operations are never granted any.
  if (kind != Kind::kSubmit || untold_credit_.load(std::memory_order_seq_cst) == 0) return;
  if (const std::uint32_t n = untold_credit_.exchange(0, std::memory_order_seq_cst); n != 0) {
    slot->ops()->credit(&op, n);
  }
}

void Operation::call_cancel() noexcept {
  switch (kind) {
    case Kind::kSubmit:
      slot->ops()->cancel(&op);
      break;
    case Kind::kOpen:
      if (Instance* const instance = opening.load(std::memory_order_seq_cst); instance != nullptr)
        instance->cancel(op);
      break;
    case Kind::kLifeCycle:
      provider->instance->cancel(op);
      break;
  }
}

void Operation::finish() noexcept {
  bp_status status = final_status_;
  const std::uint32_t state = state_.load(std::memory_order_relaxed);
  if (op.deadline_ns != 0) provider->kernel_deadlines().disarm(*this);
  if (status == BP_CANCELLED && (state & kAtDeadline) != 0) {
    status = set_deadline_error(op.error);
  } else if (status < 0) {
    fill_error(op.error, status);
  }
  Slot* const used_slot = slot;
  PendingList* const list = list_;
  const Host* const by = provider;
  if (handler != 0) by->table().release(handler);
  op.status = by->settle(*this, status);
  if (list != nullptr) {
    const InKernel inside(
        ThreadRegistry::current());  // the slot, and its list, are not reclaimed meanwhile
    if (list->remove(*this) && kind == Kind::kSubmit) by->table().retire(*used_slot);
  }
  // The operation may be used again from here on.
  if (queue != nullptr) {
    queue->push_completion(*this);
  } else {
    op.done(&op);
  }
}

PendingList::Then PendingList::add(Operation& operation) noexcept {
  const std::lock_guard lock(mutex_);
  list_.push_back(operation);
  return abandoned_ ? Then::kAbandon : closed_ ? Then::kCancel : Then::kWait;
}

bool PendingList::remove(Operation& operation) noexcept {
  const std::lock_guard lock(mutex_);
  list_.erase(list_.iterator_to(operation));
  return closed_ && list_.empty();
}

std::vector<Operation*> PendingList::enter_all() noexcept {
  std::vector<Operation*> entered;
  const std::lock_guard lock(mutex_);
  entered.reserve(list_.size());
  for (Operation& operation : list_) {
    if (operation.enter()) entered.push_back(&operation);
  }
  return entered;
}

bool PendingList::close_and_cancel() noexcept {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    if (list_.empty()) return true;
  }
  for (Operation* operation : enter_all()) {
    operation->request_cancel(false);
    operation->leave();
  }
  return false;
}

void PendingList::abandon_all() noexcept {
  {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
  }
  for (Operation* operation : enter_all()) {
    operation->abandon(BP_UNAVAILABLE, kQuarantinedText);
    operation->leave();
  }
}

bool PendingList::closed_and_empty() noexcept {
  const std::lock_guard lock(mutex_);
  return closed_ && list_.empty();
}

std::size_t PendingList::size() noexcept {
  const std::lock_guard lock(mutex_);
  return list_.size();
}

bool PendingList::wait_until_empty(std::chrono::nanoseconds timeout) noexcept {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (size() != 0) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

namespace {

constexpr std::size_t kThreadCache = 256;
constexpr std::size_t kSlab = 32;

struct CommonList {
  std::mutex mutex;
  Operation* head = nullptr;  // guarded by mutex
};

CommonList& common() noexcept {
  static auto* list = new CommonList;  // never destroyed: threads may end after main
  return *list;
}

// A thread's own free operations; given to the common list at its end.
struct Cache {
  Operation* head = nullptr;
  std::size_t size = 0;

  Operation* pop() noexcept {
    Operation* const first = head;
    if (first != nullptr) {
      head = first->free_next;
      --size;
    }
    return first;
  }
  void push(Operation* operation) noexcept {
    operation->free_next = head;
    head = operation;
    ++size;
  }
  void spill(std::size_t keep) noexcept {
    CommonList& list = common();
    const std::lock_guard lock(list.mutex);
    while (size > keep) {
      Operation* const operation = pop();
      operation->free_next = list.head;
      list.head = operation;
    }
  }
  bool refill() noexcept {
    CommonList& list = common();
    {
      const std::lock_guard lock(list.mutex);
      while (list.head != nullptr && size < kSlab) {
        Operation* const operation = list.head;
        list.head = operation->free_next;
        push(operation);
      }
    }
    if (size != 0) return true;
    auto* slab = new (std::nothrow) Operation[kSlab];
    if (slab == nullptr) return false;
    for (std::size_t i = kSlab; i-- > 0;) push(&slab[i]);
    return true;
  }
  ~Cache() { spill(0); }
};

Cache& cache() noexcept {
  static thread_local Cache instance;
  return instance;
}

}  // namespace

Operation* OperationPool::take() noexcept {
  Cache& mine = cache();
  if (mine.head == nullptr && !mine.refill()) return nullptr;
  Operation* const operation = mine.pop();
  operation->slot = nullptr;
  operation->queue = nullptr;
  std::memset(static_cast<void*>(&operation->op), 0, sizeof operation->op);
  operation->op.struct_size = BP_SIZE_TO(bp_op, impl);
  operation->op.out.time_ns = BP_TIME_NONE;
  return operation;
}

void OperationPool::give(Operation* operation) noexcept {
  Cache& mine = cache();
  mine.push(operation);
  if (mine.size > kThreadCache) mine.spill(kThreadCache / 2);
}

}  // namespace backplane::kernel
