// SPDX-License-Identifier: Apache-2.0
// Two processes that count up in turns, by the lock of a segment and a condition in it.
#pragma once

#include "backplane/sdk/shared_memory.hpp"

namespace backplane::test {

struct Turns {
  ProcessCondition changed;  // zeroed memory is one
  int count = 0;
  int copy = 0;     // is the same, but for who is between the two
  int repairs = 0;  // after owners who died
};

/// Waits until the count is even (0) or odd (1), and adds one.
inline Status take_turn(SharedMemory& memory, int parity,
                        std::chrono::nanoseconds at_most = std::chrono::hours(1)) {
  auto& turns = *reinterpret_cast<Turns*>(memory.data().data());
  Result<ProcessLock> lock = memory.lock_within(at_most);
  if (!lock) {
    return lock.status();
  }
  for (;;) {
    if (lock->owner_died()) {
      turns.copy = turns.count;
      ++turns.repairs;
      lock->repaired();
    }
    if (turns.copy != turns.count) {
      return Status(BP_DATA_LOSS, "the count is ", turns.count, ", its copy ", turns.copy);
    }
    Status status =
        turns.changed.wait_within(*lock, at_most, [&] { return turns.count % 2 == parity; });
    if (status.is_ok()) {
      break;
    }
    if (status.code() != BP_ABORTED) {
      return status;
    }
  }
  ++turns.count;
  ++turns.copy;
  turns.changed.notify();
  return Status::ok();
}

}  // namespace backplane::test
