// SPDX-License-Identifier: Apache-2.0
// Segments, mutexes and conditions survive whoever is killed, wherever that is.
#include "peer_fixture.hpp"
#include "support/child_process.hpp"
#include "support/long_test.hpp"
#include "turns.hpp"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <thread>

namespace backplane::test {
namespace {

using namespace std::chrono_literals;

class AKilledPeerOfMemory : public WithPeers {
 protected:
  ~AKilledPeerOfMemory() override { static_cast<void>(SharedMemory::remove(key_)); }

  bool is_there() const { return SharedMemory::attach(key_).status().code() != BP_NOT_FOUND; }
};

INSTANTIATE_TEST_SUITE_P(Key, AKilledPeerOfMemory, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V),
                         type_name);

/// What it leaves is found whole, and is gone with the next who uses it.
TEST_P(AKilledPeerOfMemory, LeavesAllToTheNextAtWhicheverStep) {
  int kept = 0;
  const int kills = kill_at_each_step("memory", 1000, [&](int) {
    {
      Result<SharedMemory> next = SharedMemory::open(key_, {.size = 100});
      ASSERT_TRUE(next.is_ok()) << next.status().to_string();
      ProcessLock lock = next->lock_within(10s).value();
      if (lock.owner_died()) {
        lock.repaired();
      }
      std::fill(next->data().begin(), next->data().end(), std::byte{1});
    }
    if (is_there()) {  // it was to be kept
      ++kept;
      SharedMemory::remove(key_).or_throw();
    }
  });
  EXPECT_LT(kept, (kills + 1) / 2);
  EXPECT_FALSE(is_there());
  std::printf("%d kills, each at another step; %d segments were to be kept\n", kills, kept);
}

TEST_P(AKilledPeerOfMemory, LeavesTheLockAndTheConditionAtWhicheverStep) {
  constexpr int kSteps = 40;
  SharedMemory memory = SharedMemory::open(key_, {.size = sizeof(Turns)}).value();
  auto& turns = *reinterpret_cast<Turns*>(memory.data().data());
  for (int step = 1; step <= kSteps; ++step) {
    ChildProcess child(peer("even", std::to_string(step)));
    int code = -1;
    const auto end = std::chrono::steady_clock::now() + 20s;
    while ((code = child.wait(0ms)) == -1 && std::chrono::steady_clock::now() < end) {
      static_cast<void>(take_turn(memory, 1, 20ms));
    }
    ASSERT_EQ(code, 128 + SIGKILL) << "at step " << step;
    // Whatever it was at: the count goes on.
    const int before = turns.count;
    ASSERT_TRUE(take_turn(memory, before % 2, 10s).is_ok()) << child.err();
    ASSERT_EQ(turns.count, before + 1);
    if (turns.count % 2 != 0) {
      ASSERT_TRUE(take_turn(memory, 1, 10s).is_ok());
    }
  }
  EXPECT_GT(turns.repairs, 0);
  std::printf("%d kills, each at another step, %d of them with the lock\n", kSteps, turns.repairs);
}

/// At random instants, under load: the count goes on, and is never half done.
TEST_P(AKilledPeerOfMemory, UnderLoadTakesNothingWithIt) {
  const int kills = is_long_test() ? 1000 : 20;
  std::optional<SharedMemory> memory(SharedMemory::open(key_, {.size = sizeof(Turns)}).value());
  constexpr std::array<const char*, 4> kActions = {"even", "odd", "even", "odd"};
  kill_under_load(kActions, kills);
  if (HasFatalFailure()) return;
  {
    const ProcessLock lock = memory->lock_within(10s).value();
    std::printf("%d kills under load: the count is %d\n", kills,
                reinterpret_cast<const Turns*>(memory->const_data().data())->count);
  }
  memory.reset();
  EXPECT_FALSE(is_there());
}

}  // namespace
}  // namespace backplane::test
