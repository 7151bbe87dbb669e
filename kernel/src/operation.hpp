// SPDX-License-Identifier: Apache-2.0
// An operation as the kernel sees it: its own words, before the bp_op that everybody else sees; the
// state that makes completion happen exactly once; and the pool they come from.
#pragma once

#include "backplane/endpoint.h"
#include "backplane/service/endpoint.h"
#include "thread_registry.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

namespace backplane::kernel {

class Operation;
class Slot;
class Instance;
struct Host;
class CompletionQueue;

namespace bi = boost::intrusive;

// Why an operation of a quarantined instance fails.
inline constexpr std::string_view kQuarantinedText =
    "the instance did not stop in time and is quarantined: restart the process";

// Pending operations of one thing (an endpoint, an instance), which can be told to end together.
class PendingList;

// Design notes: completion, exactly once.
// `state_` counts the calls that are inside this operation (submit, deliver, cancel, credit, ack:
// `busy`) and has flags. complete() only sets kCompleted; the operation is finished (unlinked,
// `done` called) by whoever finds it completed with nobody inside: complete() itself, or the last
// call to leave. So `done` never runs while submit or next of the same operation is on some stack,
// memory stays valid for every call that got in, and nobody gets in after completion. An operation
// that completes inline is never linked anywhere and costs one compare-and-swap.
class Operation {
 public:
  static Operation* of(bp_op* op) noexcept;

  enum class Kind : std::uint8_t { kSubmit, kOpen, kLifeCycle };

  // ---- life: in the order in which they are called ----
  // Before the endpoint sees it.
  void begin(Kind kind, const Host* caller) noexcept;
  // The endpoint has returned 0 or < 0. False: it had also called complete() (a breach), which is
  // ignored.
  bool finish_inline() noexcept;
  // The endpoint has returned PENDING: makes it findable by its list, which may end it at once;
  // then leaves.
  void pend_in(PendingList& list) noexcept;
  // As after a PENDING that nobody pends for: completes by `done`.
  void finish_later(bp_status status) noexcept;

  // Gets inside, so that the operation cannot finish: false when it has completed, or is not under
  // way.
  bool enter() noexcept;
  void leave() noexcept;
  // The same where `done` must not run: then the loop calls it.
  void leave_without_done() noexcept;
  // By the endpoint. False: it had completed before (a breach).
  bool complete(bp_status status) noexcept;
  void request_cancel(bool at_deadline) noexcept;
  // Completes on behalf of an endpoint that will not. The memory is never used again, since that
  // endpoint may still know it, and what the caller lent is taken out of it.
  void abandon(bp_status status, std::string_view why) noexcept;

  [[nodiscard]] bool at_rest() const noexcept;
  [[nodiscard]] bool abandoned() const noexcept {
    return (state_.load(std::memory_order_relaxed) & kAbandoned) != 0;
  }
  [[nodiscard]] bool cancel_requested() const noexcept {
    return (state_.load(std::memory_order_acquire) & kCancelRequested) != 0;
  }

  // ---- credit of a stream ----
  // False: more than was granted.
  bool take_credit(std::uint32_t n) noexcept;
  // Tells the endpoint too, when its submit has returned. Only inside.
  void add_credit(std::uint32_t n) noexcept;

  bp_ref handler = 0;            // SERVE: held until completion
  bp_endpoint opened{};          // kOpen: filled by the plugin
  std::uint32_t open_verbs = 0;  // kOpen: what the caller may do with it
  std::atomic<Instance*> opening{
      nullptr};  // kOpen: whose plugin works on it; NULL while that is not known yet
  Operation* free_next = nullptr;       // in the pool
  bi::list_member_hook<> pending_hook;  // guarded by the pending list's mutex
  bi::set_member_hook<> deadline_hook;  // guarded by the deadline queue's mutex
  bool deadline_armed = false;          // likewise

 private:
  static constexpr std::uint32_t kBusy = 0x0000ffff;
  static constexpr std::uint32_t kDispatching = 1u << 16;  // the endpoint's submit has not returned
  static constexpr std::uint32_t kCompleted = 1u << 17;
  static constexpr std::uint32_t kInline =
      1u << 18;  // completed by the return value: nobody finishes it
  static constexpr std::uint32_t kCancelRequested = 1u << 19;
  static constexpr std::uint32_t kAtDeadline = 1u << 20;  // by the deadline, not by the caller
  static constexpr std::uint32_t kAbandoned = 1u << 21;

  // Gets inside as the one that completes it, with more flags; then leave() ends it. False: it had
  // completed.
  bool enter_to_complete(bp_status status, std::uint32_t flags) noexcept;
  void call_cancel() noexcept;
  void tell_credit() noexcept;
  void finish() noexcept;

  friend class PendingList;

  std::atomic<std::uint32_t> untold_credit_{
      0};  // granted while submit runs: the endpoint does not know the stream yet
  bp_status final_status_ = BP_OK;
  PendingList* list_ = nullptr;

  // What each call and each message needs, in one line of the processor's cache.
  alignas(64) std::atomic<std::uint32_t> state_{kCompleted};
  std::atomic<std::uint32_t> credit_{0};

 public:
  Kind kind = Kind::kSubmit;
  const Host* caller = nullptr;      // whose op_new made it
  const Host* provider = nullptr;    // whose endpoint or instance works on it
  Slot* slot = nullptr;              // kSubmit
  CompletionQueue* queue = nullptr;  // where its events go instead of done and next

  alignas(64) bp_op op{};  // the last member: what everybody else sees
};

// offsetof is only "conditionally supported" for a class with private members; gcc and clang on
// Linux do support it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
inline Operation* Operation::of(bp_op* op) noexcept {
  return reinterpret_cast<Operation*>(reinterpret_cast<char*>(op) - offsetof(Operation, op));
}
#pragma GCC diagnostic pop

class PendingList {
 public:
  enum class Then : std::uint8_t { kWait, kCancel, kAbandon };
  // What the operation should do at once: a closed list cancels, an abandoned one abandons.
  Then add(Operation& operation) noexcept;
  // Removes; true: it is closed and now empty.
  bool remove(Operation& operation) noexcept;
  // From now on whatever comes is cancelled at once; cancels what is there. True: it was empty.
  bool close_and_cancel() noexcept;
  // Abandons what is there, and from now on whatever comes.
  void abandon_all() noexcept;
  [[nodiscard]] bool closed_and_empty() noexcept;
  [[nodiscard]] std::size_t size() noexcept;
  // False: not within the time. Not on a loop thread.
  bool wait_until_empty(std::chrono::nanoseconds timeout) noexcept;

 private:
  std::vector<Operation*> enter_all() noexcept;

  using List =
      bi::list<Operation,
               bi::member_hook<Operation, bi::list_member_hook<>, &Operation::pending_hook>>;
  std::mutex mutex_;
  List list_;               // guarded by mutex_
  bool closed_ = false;     // guarded by mutex_
  bool abandoned_ = false;  // guarded by mutex_
};

// Memory of operations, process-wide like malloc: a cache for each thread, a common list behind it.
// Never returned to the system.
class OperationPool {
 public:
  static Operation* take() noexcept;  // NULL: no memory
  static void give(Operation* operation) noexcept;
};

}  // namespace backplane::kernel
