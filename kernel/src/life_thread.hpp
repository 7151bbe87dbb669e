// SPDX-License-Identifier: Apache-2.0
// The thread that owns the mutexes by which other processes see that this one lives, and that looks
// for others which died. There is one while something is watched, and another for more than a
// thousand things: the system looks at 2048 robust mutexes of a thread that ends, and leaves what
// is more locked.
//
// A robust mutex that a process has locked says more than its number: the system marks it when the
// process ends, numbers are used again, and differ between namespaces that share memory.
#pragma once

#include <functional>

namespace backplane::kernel {

class LifeThread;

class LifeWatched {
 public:
  virtual ~LifeWatched() = default;
  // On the thread, a few times a second.
  virtual void look() noexcept = 0;

  LifeThread* thread = nullptr;  // that watches it
  LifeWatched* next = nullptr;   // the thread's
};

// Both run a function on the thread and wait for it; it does not throw. std::system_error: there
// can be no thread. `watched` looks from then on, if `join` returns true, which is returned.
bool watch_lives(LifeWatched& watched, const std::function<bool()>& join);
// `watched` does not look any more. For the process that watched.
void unwatch_lives(LifeWatched& watched, const std::function<void()>& leave) noexcept;

}  // namespace backplane::kernel
