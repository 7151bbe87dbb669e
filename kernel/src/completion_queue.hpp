// SPDX-License-Identifier: Apache-2.0
// bp.queue/1: events in the order in which they happened, behind a descriptor.
#pragma once

#include "backplane/service/queue.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

namespace backplane::kernel {

class Operation;

class CompletionQueue {
 public:
  CompletionQueue();
  ~CompletionQueue();
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  void begin() noexcept { pending_.fetch_add(1, std::memory_order_relaxed); }
  void end_without_event() noexcept { pending_.fetch_sub(1, std::memory_order_relaxed); }
  [[nodiscard]] bool idle() const noexcept { return pending_.load(std::memory_order_relaxed) == 0; }

  void push_completion(Operation& operation) noexcept;
  // Keeps the messages: by their owner, or by a copy.
  bp_status push_messages(bp_op* op, const bp_message* messages, std::uint32_t n) noexcept;

  std::uint32_t poll(bp_event* out, std::uint32_t n, std::int64_t timeout_ns) noexcept;
  static void release(const bp_event* events, std::uint32_t n) noexcept;

 private:
  void push(bp_event event);

  const int descriptor_;
  std::atomic<std::int64_t> pending_{0};
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<bp_event> events_;  // guarded by mutex_
};

}  // namespace backplane::kernel
