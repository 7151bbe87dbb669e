// SPDX-License-Identifier: Apache-2.0
#include "completion_queue.hpp"

#include "message_copy.hpp"
#include "operation.hpp"

#include <chrono>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace backplane::kernel {

CompletionQueue::CompletionQueue() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) throw std::system_error(errno, std::system_category(), "eventfd");
}

CompletionQueue::~CompletionQueue() {
  for (const bp_event& event : events_) release(&event, 1);
  close(descriptor_);
}

void CompletionQueue::push(bp_event event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(event);
  if (events_.size() == 1) {
    eventfd_write(descriptor_, 1);
    arrived_.notify_one();
  }
}

void CompletionQueue::push_completion(Operation& operation) noexcept {
  push({&operation.op, nullptr, 0, BP_EVENT_COMPLETED});
}

bp_status CompletionQueue::push_messages(bp_op* op, const bp_message* messages,
                                         std::uint32_t n) noexcept {
  const bp_message* kept = keep_messages(messages, n);
  if (kept == nullptr) return BP_RESOURCE_EXHAUSTED;
  push({op, kept, n, BP_EVENT_MESSAGES});
  return BP_OK;
}

std::uint32_t CompletionQueue::poll(bp_event* out, std::uint32_t n,
                                    std::int64_t timeout_ns) noexcept {
  std::unique_lock lock(mutex_);
  const auto some = [this] { return !events_.empty(); };
  if (timeout_ns < 0) {
    arrived_.wait(lock, some);
  } else if (timeout_ns > 0) {
    arrived_.wait_for(lock, std::chrono::nanoseconds(timeout_ns), some);
  }
  std::uint32_t taken = 0;
  for (; taken < n && !events_.empty(); ++taken) {
    out[taken] = events_.front();
    events_.pop_front();
    if (out[taken].kind == BP_EVENT_COMPLETED) end_without_event();
  }
  if (events_.empty()) {
    eventfd_t ignored = 0;
    eventfd_read(descriptor_, &ignored);
  }
  return taken;
}

void CompletionQueue::release(const bp_event* events, std::uint32_t n) noexcept {
  for (std::uint32_t i = 0; i < n; ++i) {
    if (events[i].messages != nullptr) free_messages(events[i].messages, events[i].n);
  }
}

}  // namespace backplane::kernel
