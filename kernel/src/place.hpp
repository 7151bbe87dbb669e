// SPDX-License-Identifier: Apache-2.0
// Places of a table in shared memory, one for each who takes part. The thread that takes a place
// has locked its `alive`, so that others see when the process has ended, and free what it held.
//
// A place has `RobustMutex alive` and `std::atomic<std::uint32_t> id`, which is 0 where nobody left
// anything; `at(i)` gives the i-th. `reclaim(i)` frees what the one at i had, and sets its id to 0
// as the last; false: not now, which takes a while to find out: no more are tried, and the next
// look finds it again. All of this is for the life thread.
#pragma once

#include "kill_point.hpp"
#include "robust_mutex.hpp"

#include <atomic>
#include <unistd.h>

namespace backplane::kernel {

constexpr std::uint32_t kNoPlace = UINT32_MAX;

// The first free one from `from` on. What dead ones left on the way to `to` is reclaimed.
template <typename At, typename Reclaim>
std::uint32_t take_place(std::uint32_t from, std::uint32_t to, At at, Reclaim reclaim) noexcept {
  std::uint32_t taken = kNoPlace;
  bool may_reclaim = true;
  for (std::uint32_t i = from; i < to; ++i) {
    auto& place = at(i);
    const RobustMutex::Locked locked = place.alive.try_lock();
    const bool is_dead = locked == RobustMutex::Locked::kOwnerDied;
    if (locked != RobustMutex::Locked::kYes && !is_dead) continue;
    kill_point("place");
    if (is_dead) place.alive.repaired();
    const bool is_left = is_dead || place.id != 0;
    if (is_left && may_reclaim) may_reclaim = reclaim(i);
    if ((is_left && place.id != 0) || taken != kNoPlace) {
      place.alive.unlock();
      continue;
    }
    taken = i;
    place.id = static_cast<std::uint32_t>(::getpid());
  }
  return taken;
}

// Reclaims what dead ones left, but for the caller's `own`.
template <typename At, typename Reclaim>
void look_at_places(std::uint32_t from, std::uint32_t to, std::uint32_t own, At at,
                    Reclaim reclaim) noexcept {
  for (std::uint32_t i = from; i < to; ++i) {
    auto& place = at(i);
    if (i == own || place.id == 0) continue;
    const RobustMutex::Locked locked = place.alive.try_lock();
    const bool is_dead = locked == RobustMutex::Locked::kOwnerDied;
    if (locked != RobustMutex::Locked::kYes && !is_dead) continue;
    if (is_dead) place.alive.repaired();
    const bool is_reclaimed = reclaim(i);
    place.alive.unlock();
    if (!is_reclaimed) return;
  }
}

}  // namespace backplane::kernel
