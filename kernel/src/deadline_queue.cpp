// SPDX-License-Identifier: Apache-2.0
#include "deadline_queue.hpp"

#include "executor.hpp"

#include <chrono>

namespace backplane::kernel {

DeadlineQueue::DeadlineQueue(Executor& executor) : executor_(executor) {}

void DeadlineQueue::arm(Operation& operation) noexcept {
  const std::lock_guard lock(mutex_);
  operation.deadline_armed = true;
  set_.insert(operation);
  if (operation.op.deadline_ns < waiting_for_) wait_for_first();
}

void DeadlineQueue::disarm(Operation& operation) noexcept {
  const std::lock_guard lock(mutex_);
  if (!operation.deadline_armed) return;
  operation.deadline_armed = false;
  set_.erase(set_.iterator_to(operation));
  // The timer stays armed: waking once for nothing is cheaper than a system call for every
  // completion.
}

void DeadlineQueue::wait_for_first() {
  if (set_.empty()) {
    waiting_for_ = INT64_MAX;
    return;
  }
  if (timer_ != 0) executor_.remove(timer_);
  waiting_for_ = set_.begin()->op.deadline_ns;
  executor_.at(
      this, waiting_for_, [](void* self) { static_cast<DeadlineQueue*>(self)->expire(); }, this,
      &timer_);
}

void DeadlineQueue::expire() noexcept {
  for (;;) {
    Operation* due = nullptr;
    {
      const std::lock_guard lock(mutex_);
      while (due == nullptr && !set_.empty() && set_.begin()->op.deadline_ns <= monotonic_now()) {
        Operation& first = *set_.begin();
        first.deadline_armed = false;
        set_.erase(set_.begin());
        if (first.enter()) due = &first;  // inside: it cannot be freed before leave
      }
      if (due == nullptr) {
        wait_for_first();
        return;
      }
    }
    due->request_cancel(true);
    due->leave();
  }
}

}  // namespace backplane::kernel
