// SPDX-License-Identifier: Apache-2.0
// A mutex in shared memory that tells of an owner who died: the C library's robust one.
#pragma once

#include "futex.hpp"

#include <pthread.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace backplane::kernel {

class RobustMutex {
 public:
  enum class Locked {
    kYes,
    kOwnerDied,  // locked, too: what it guards is perhaps half done
    kNo,         // not until the deadline
    kOwn,        // this thread has it; of PTHREAD_MUTEX_ERRORCHECK
    kLost,       // an owner died, and who came next unlocked it without repaired()
  };

  // Once, before anybody else sees it.
  void init(int type = PTHREAD_MUTEX_NORMAL) noexcept {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex_, &attributes);
    pthread_mutexattr_destroy(&attributes);
  }

  // Whether it was made by init(type), as far as that shows: of other bytes the C library may make
  // anything.
  template <int Type = PTHREAD_MUTEX_NORMAL>
  bool is_one() const noexcept {
    static const int kind = [] {
      RobustMutex other;
      other.init(Type);
      return other.mutex_.__data.__kind;
    }();
    return mutex_.__data.__kind == kind;
  }

  Locked try_lock() noexcept { return from(pthread_mutex_trylock(&mutex_)); }
  // `deadline_ns`: monotonic, positive; 0: none. It looks again in between: who unlocks may be
  // killed before it wakes, and who is woken before it locks.
  Locked lock(std::int64_t deadline_ns) noexcept {
    for (;;) {
      const std::int64_t look = monotonic_now() + kBetweenLooks;
      const bool is_last = deadline_ns != 0 && deadline_ns <= look;
      const int result = lock_until(to_timespec(is_last ? deadline_ns : look));
      if (result != ETIMEDOUT || is_last) return from(result);
    }
  }
  void repaired() noexcept { pthread_mutex_consistent(&mutex_); }
  // False: this thread does not have it.
  bool unlock() noexcept { return pthread_mutex_unlock(&mutex_) == 0; }

 private:
  static constexpr std::int64_t kBetweenLooks = 250'000'000;

  int lock_until(const timespec& deadline) noexcept {
#ifdef __SANITIZE_THREAD__  // it does not know that function
    __tsan_mutex_pre_lock(&mutex_, 0);
    const int result = pthread_mutex_clocklock(&mutex_, CLOCK_MONOTONIC, &deadline);
    const bool is_locked = result == 0 || result == EOWNERDEAD;
    __tsan_mutex_post_lock(&mutex_, is_locked ? 0 : __tsan_mutex_try_lock_failed, 0);
    return result;
#else
    return pthread_mutex_clocklock(&mutex_, CLOCK_MONOTONIC, &deadline);
#endif
  }
  static Locked from(int result) noexcept {
    switch (result) {
      case 0:
        return Locked::kYes;
      case EOWNERDEAD:
        return Locked::kOwnerDied;
      case EBUSY:
      case ETIMEDOUT:
        return Locked::kNo;
      case EDEADLK:
        return Locked::kOwn;
      default:
        return Locked::kLost;
    }
  }

  pthread_mutex_t mutex_;
};

}  // namespace backplane::kernel
