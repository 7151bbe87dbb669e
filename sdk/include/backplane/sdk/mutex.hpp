// SPDX-License-Identifier: Apache-2.0
// ProcessMutex, ProcessCondition: between processes, in memory that they share (backplane/mutex.h
// says what holds).
#pragma once

#include "deadline.hpp"
#include "result.hpp"
#include "shared_handle.hpp"
#include <backplane/mutex.h>

#include <utility>

namespace backplane {

class ProcessLock;

/// Tells of an owner who died, whose work can then be repaired:
///
///     struct Line { ProcessMutex mutex; ProcessCondition changed; double value = 0; };
///     Line& line = *new (memory.data().data()) Line;  // by whoever makes the memory
///
///     ProcessLock lock = line.mutex.lock().value();
///     if (lock.owner_died()) {
///       repair(line);
///       lock.repaired();
///     }
///     line.changed.wait(lock, [&] { return line.value > 1; }).or_throw();
class ProcessMutex {
 public:
  using Clock = std::chrono::steady_clock;

  ProcessMutex() noexcept { bp_mutex_init(&raw_); }
  ProcessMutex(const ProcessMutex&) = delete;
  ProcessMutex& operator=(const ProcessMutex&) = delete;

  /// Errors: as of bp_mutex_lock.
  inline Result<ProcessLock> lock();
  inline Result<ProcessLock> lock_until(Clock::time_point deadline);
  inline Result<ProcessLock> lock_within(std::chrono::nanoseconds at_most);

  /// For the functions of C.
  bp_mutex* raw() noexcept { return &raw_; }

 private:
  bp_mutex raw_;
};

/// Has the mutex until its end.
class ProcessLock {
 public:
  ProcessLock(ProcessLock&& other) noexcept
      : functions_(other.functions_),
        mutex_(std::exchange(other.mutex_, nullptr)),
        owner_died_(other.owner_died_) {}
  ProcessLock& operator=(ProcessLock&&) = delete;
  ~ProcessLock() {
    if (mutex_ != nullptr) {
      functions_->mutex_unlock(mutex_, nullptr);
    }
  }

  /// Locks one that has no ProcessMutex. Errors: as of bp_mutex_lock.
  static Result<ProcessLock> of(bp_mutex& mutex, std::chrono::steady_clock::time_point deadline) {
    return of(mutex, deadline, *bp_shared_memory());
  }
  static Result<ProcessLock> of(bp_mutex& mutex, std::chrono::steady_clock::time_point deadline,
                                const bp_shared_memory_service& functions) {
    bp_error error{};
    uint32_t owner_died = 0;
    const bp_status status =
        functions.mutex_lock(&mutex, detail::deadline_of(deadline), &owner_died, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return ProcessLock(functions, &mutex, owner_died != 0);
  }

  /// The owner before ended while it had the mutex.
  bool owner_died() const noexcept { return owner_died_; }
  /// What it guards is whole again. Without this nobody can lock it after us.
  void repaired() noexcept {
    if (mutex_ != nullptr) {
      functions_->mutex_repaired(mutex_);
    }
    owner_died_ = false;
  }

 private:
  friend class ProcessCondition;
  ProcessLock(const bp_shared_memory_service& functions, bp_mutex* mutex, bool owner_died) noexcept
      : functions_(&functions), mutex_(mutex), owner_died_(owner_died) {}

  const bp_shared_memory_service* functions_;
  bp_mutex* mutex_;  // null: it was moved, or lost
  bool owner_died_;
};

class ProcessCondition {
 public:
  using Clock = std::chrono::steady_clock;

  ProcessCondition() noexcept { bp_condition_init(&raw_); }
  ProcessCondition(const ProcessCondition&) = delete;
  ProcessCondition& operator=(const ProcessCondition&) = delete;

  /// Until the predicate holds. ABORTED: an owner of the mutex died meanwhile; lock.owner_died()
  /// tells, too: repair, and wait again. Other errors: as of bp_condition_wait.
  template <class Predicate>
  Status wait(ProcessLock& lock, Predicate predicate) {
    return wait_until(lock, Clock::time_point::max(), std::move(predicate));
  }
  /// DEADLINE_EXCEEDED: it did not hold until then.
  template <class Predicate>
  Status wait_until(ProcessLock& lock, Clock::time_point deadline, Predicate predicate) {
    if (lock.mutex_ == nullptr) {
      return Status(BP_FAILED_PRECONDITION, "the lock is not there: it was moved, or lost");
    }
    while (!predicate()) {
      bp_error error{};
      uint32_t owner_died = 0;
      const bp_status status =
          bp_condition_wait(&raw_, lock.mutex_, detail::deadline_of(deadline), &owner_died, &error);
      lock.owner_died_ = owner_died != 0;
      if (lock.owner_died_) {
        return Status(BP_ABORTED, "an owner of the mutex ended while this waited");
      }
      if (status == BP_DEADLINE_EXCEEDED && predicate()) {
        return Status::ok();
      }
      if (status < 0) {
        if (status != BP_DEADLINE_EXCEEDED) {
          lock.mutex_ = nullptr;
        }
        return Status::from(status, error);
      }
    }
    return Status::ok();
  }
  template <class Predicate>
  Status wait_within(ProcessLock& lock, std::chrono::nanoseconds at_most, Predicate predicate) {
    return wait_until(lock, detail::time_after(at_most), std::move(predicate));
  }
  /// Wakes all that wait.
  void notify() noexcept { bp_condition_notify(&raw_); }

 private:
  bp_condition raw_;
};

inline Result<ProcessLock> ProcessMutex::lock() { return lock_until(Clock::time_point::max()); }
inline Result<ProcessLock> ProcessMutex::lock_within(std::chrono::nanoseconds at_most) {
  return lock_until(detail::time_after(at_most));
}
inline Result<ProcessLock> ProcessMutex::lock_until(Clock::time_point deadline) {
  return ProcessLock::of(raw_, deadline);
}

}  // namespace backplane
