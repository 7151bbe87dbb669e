// SPDX-License-Identifier: Apache-2.0
// What the kernel keeps for each thread that calls it: whether it is inside a call now (for safe
// reclaiming of endpoints), and a number that spreads counters over cache lines. Process-wide, like
// thread-local storage itself; it owns no kernel's state.
#pragma once

#include <atomic>
#include <cstdint>

namespace backplane::kernel {

// Design notes: quiescence.
// A closed endpoint may be freed when no thread can still be using what it looked up before the
// close. A thread entering the kernel publishes the epoch it saw (`entered`); leaving the outermost
// call, it publishes 0. A closer first makes the endpoint unfindable, then takes a new epoch E; the
// endpoint is free once every thread is outside or entered at E or later. The order "publish, then
// look up" needs a store-load fence on the path of every operation; membarrier(2) on the rare
// closing side makes that a compiler fence. Where it is not to be had (old kernels, thread
// sanitizer), the entry is sequentially consistent.
struct alignas(64) ThreadState {
  std::atomic<std::uint64_t> entered{0};
  std::uint32_t depth = 0;  // of this thread's nested calls
  std::uint32_t shard = 0;
  std::atomic<bool> used{false};  // by a live thread
  ThreadState* next = nullptr;    // constant once published
};

inline constexpr std::uint32_t kCounterShards = 8;

class ThreadRegistry {
 public:
  // This thread's state; made at its first call, reused after the thread's end.
  static ThreadState& current() noexcept {
    ThreadState* state = current_;
    return state != nullptr ? *state : adopt_thread();
  }

  // A new epoch: threads that enter from now on cannot see what was made unfindable before.
  static std::uint64_t advance() noexcept;
  // Whether every thread that entered before `epoch` has left.
  static bool quiescent_since(std::uint64_t epoch) noexcept;

  static std::uint64_t epoch() noexcept { return epoch_.load(std::memory_order_relaxed); }
  static bool cheap_entry() noexcept { return cheap_entry_; }

 private:
  static ThreadState& adopt_thread() noexcept;

  [[gnu::tls_model("initial-exec")]] static inline thread_local ThreadState* current_ = nullptr;
  static inline std::atomic<std::uint64_t> epoch_{1};
  static inline std::atomic<ThreadState*> threads_{nullptr};
  static const bool cheap_entry_;
};

// Inside the kernel, as seen by quiescence. Nests.
class InKernel {
 public:
  explicit InKernel(ThreadState& thread) noexcept : thread_(thread) {
    if (thread_.depth++ != 0) return;
    if (ThreadRegistry::cheap_entry()) {
      thread_.entered.store(ThreadRegistry::epoch(), std::memory_order_relaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      thread_.entered.exchange(ThreadRegistry::epoch(), std::memory_order_seq_cst);
    }
  }
  ~InKernel() {
    if (--thread_.depth == 0) thread_.entered.store(0, std::memory_order_release);
  }
  InKernel(const InKernel&) = delete;
  InKernel& operator=(const InKernel&) = delete;

 private:
  ThreadState& thread_;
};

}  // namespace backplane::kernel
