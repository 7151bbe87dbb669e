// SPDX-License-Identifier: Apache-2.0
// Asks pending operations to end at their deadline.
#pragma once

#include "operation.hpp"

#include <boost/intrusive/set.hpp>

#include <mutex>

namespace backplane::kernel {

class Executor;

class DeadlineQueue {
 public:
  explicit DeadlineQueue(Executor& executor);

  void arm(Operation& operation) noexcept;
  // Afterwards the queue does not know it any more.
  void disarm(Operation& operation) noexcept;

 private:
  struct Earlier {
    bool operator()(const Operation& a, const Operation& b) const noexcept {
      return a.op.deadline_ns < b.op.deadline_ns;
    }
  };
  using Set =
      bi::multiset<Operation,
                   bi::member_hook<Operation, bi::set_member_hook<>, &Operation::deadline_hook>,
                   bi::compare<Earlier>, bi::constant_time_size<false>>;

  void wait_for_first();  // with mutex_ held
  void expire() noexcept;

  std::mutex mutex_;
  Set set_;  // guarded by mutex_
  Executor& executor_;
  std::uint64_t timer_ = 0;               // guarded by mutex_
  std::int64_t waiting_for_ = INT64_MAX;  // guarded by mutex_
};

}  // namespace backplane::kernel
