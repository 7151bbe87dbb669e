// SPDX-License-Identifier: Apache-2.0
#include "thread_registry.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define BP_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BP_THREAD_SANITIZER 1
#endif
#endif

namespace backplane::kernel {
namespace {

bool register_membarrier() noexcept {
#if defined(BP_THREAD_SANITIZER)
  return false;
#else
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#endif
}

std::atomic<std::uint32_t> next_shard{0};

// Gives the thread's state back at its end. The states themselves are never freed: there are as
// many as threads at one time.
struct Lease {
  ThreadState* state = nullptr;
  ~Lease() {
    if (state != nullptr) state->used.store(false, std::memory_order_release);
  }
};

}  // namespace

const bool ThreadRegistry::cheap_entry_ = register_membarrier();

ThreadState& ThreadRegistry::adopt_thread() noexcept {
  static thread_local Lease lease;
  for (ThreadState* state = threads_.load(std::memory_order_acquire); state != nullptr;
       state = state->next) {
    bool expected = false;
    if (state->used.compare_exchange_strong(expected, true, std::memory_order_acquire)) {
      lease.state = current_ = state;
      return *state;
    }
  }
  auto* state = new ThreadState;  // noexcept: without memory for 64 bytes there is no way on
  state->used.store(true, std::memory_order_relaxed);
  state->shard = next_shard.fetch_add(1, std::memory_order_relaxed) % kCounterShards;
  state->next = threads_.load(std::memory_order_relaxed);
  while (!threads_.compare_exchange_weak(state->next, state, std::memory_order_release,
                                         std::memory_order_relaxed)) {
  }
  lease.state = current_ = state;
  return *state;
}

std::uint64_t ThreadRegistry::advance() noexcept {
  return epoch_.fetch_add(1, std::memory_order_seq_cst) + 1;
}

bool ThreadRegistry::quiescent_since(std::uint64_t epoch) noexcept {
  if (cheap_entry_) {
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  } else {
    epoch_.fetch_add(0, std::memory_order_seq_cst);  // the entry is sequentially consistent too
  }
  for (ThreadState* state = threads_.load(std::memory_order_acquire); state != nullptr;
       state = state->next) {
    const std::uint64_t entered = state->entered.load(std::memory_order_acquire);
    if (entered != 0 && entered < epoch) return false;
  }
  return true;
}

}  // namespace backplane::kernel
