// SPDX-License-Identifier: Apache-2.0
// The exported functions of backplane/mutex.h.
#include "backplane/mutex.h"
#include "error.hpp"
#include "kill_point.hpp"
#include "robust_mutex.hpp"

#include <algorithm>
#include <new>

namespace {

using namespace backplane::kernel;

static_assert(sizeof(RobustMutex) <= sizeof(bp_mutex));
static_assert(alignof(RobustMutex) <= alignof(bp_mutex));

// How long one who waits does not look at the mutex: the death of its owner wakes nobody.
constexpr std::int64_t kLongestSleep = 250'000'000;

RobustMutex& mutex_in(bp_mutex& mutex) noexcept {
  return *std::launder(reinterpret_cast<RobustMutex*>(&mutex));
}

struct Condition {
  std::atomic<std::uint32_t> notifications;
  std::atomic<std::uint32_t> waiting;  // and those that were killed meanwhile
};
static_assert(sizeof(Condition) == sizeof(bp_condition));

Condition& condition_in(bp_condition& condition) noexcept {
  return *std::launder(reinterpret_cast<Condition*>(&condition));
}

const std::uint32_t* word_of(const Condition& condition) noexcept {
  return reinterpret_cast<const std::uint32_t*>(&condition.notifications);
}

}  // namespace

void bp_mutex_init(bp_mutex* mutex) { (new (mutex) RobustMutex)->init(PTHREAD_MUTEX_ERRORCHECK); }

bp_status bp_mutex_lock(bp_mutex* mutex, int64_t deadline_ns, uint32_t* owner_died,
                        bp_error* error) {
  using Locked = RobustMutex::Locked;
  if (owner_died != nullptr) *owner_died = 0;
  RobustMutex& robust = mutex_in(*mutex);
  if (!robust.is_one<PTHREAD_MUTEX_ERRORCHECK>()) {
    return set_error(error, BP_DATA_LOSS, "this is no mutex: bp_mutex_init makes one");
  }
  Locked locked = robust.try_lock();
  if (locked == Locked::kNo) locked = robust.lock(deadline_from(deadline_ns));
  kill_point("mutex locked");
  switch (locked) {
    case Locked::kOwnerDied:
      if (owner_died != nullptr) *owner_died = 1;
      return BP_OK;
    case Locked::kYes:
      return BP_OK;
    case Locked::kNo:
      return set_error(error, BP_DEADLINE_EXCEEDED, "another has the mutex");
    case Locked::kOwn:
      return set_error(error, BP_FAILED_PRECONDITION, "this thread has the mutex already");
    default:
      return set_error(error, BP_DATA_LOSS,
                       "an owner of the mutex ended, and nobody has repaired what it guards: make "
                       "both anew");
  }
}

void bp_mutex_repaired(bp_mutex* mutex) { mutex_in(*mutex).repaired(); }

bp_status bp_mutex_unlock(bp_mutex* mutex, bp_error* error) {
  if (mutex_in(*mutex).unlock()) return BP_OK;
  return set_error(error, BP_FAILED_PRECONDITION, "this thread does not have the mutex");
}

void bp_condition_init(bp_condition* condition) {
  auto* const made = new (condition) Condition;
  made->notifications = 0;
  made->waiting = 0;
}

bp_status bp_condition_wait(bp_condition* condition, bp_mutex* mutex, int64_t deadline_ns,
                            uint32_t* owner_died, bp_error* error) {
  Condition& shared = condition_in(*condition);
  deadline_ns = deadline_from(deadline_ns);
  if (owner_died != nullptr) *owner_died = 0;
  const std::uint32_t before = shared.notifications;
  ++shared.waiting;
  if (const bp_status status = bp_mutex_unlock(mutex, error); status < 0) {
    --shared.waiting;
    return status;
  }
  kill_point("condition waiting");
  const std::int64_t latest = monotonic_now() + kLongestSleep;
  futex_wait(word_of(shared), before, deadline_ns == 0 ? latest : std::min(deadline_ns, latest));
  kill_point("condition woken");
  --shared.waiting;
  if (const bp_status status = bp_mutex_lock(mutex, 0, owner_died, error); status < 0)
    return status;
  if (deadline_ns != 0 && shared.notifications == before && monotonic_now() >= deadline_ns) {
    return set_error(error, BP_DEADLINE_EXCEEDED, "nobody has notified until the deadline");
  }
  return BP_OK;
}

void bp_condition_notify(bp_condition* condition) {
  Condition& shared = condition_in(*condition);
  ++shared.notifications;
  kill_point("condition notified");
  if (shared.waiting != 0) futex_wake(word_of(shared));
}
