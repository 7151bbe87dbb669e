// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/detail/call_gate.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace backplane::detail {
namespace {

TEST(CallGate, LetsCallbacksThroughOneAfterTheOther) {
  CallGate sut;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(sut.enter());
    sut.leave();
  }
}

TEST(CallGate, LetsNoneThroughOnceItIsClosed) {
  CallGate sut;
  sut.close();
  EXPECT_FALSE(sut.enter());
  EXPECT_FALSE(sut.enter());
  sut.close();
}

TEST(CallGate, IsClosedByACallbackThatIsUnderWay) {
  CallGate sut;
  EXPECT_TRUE(sut.enter());
  sut.close();
  EXPECT_TRUE(sut.is_closed());
  sut.leave();
  EXPECT_FALSE(sut.enter());
}

TEST(CallGate, WaitsForACallbackOfAnotherThread) {
  for (int round = 0; round < 100; ++round) {
    CallGate sut;
    bool is_over = false;  // ordered by the gate alone
    std::atomic<bool> has_entered{false};
    std::thread runner([&] {
      EXPECT_TRUE(sut.enter());
      has_entered = true;
      while (!sut.is_closed()) {
        std::this_thread::yield();
      }
      is_over = true;
      sut.leave();
    });
    while (!has_entered) {
      std::this_thread::yield();
    }
    sut.close();
    EXPECT_TRUE(is_over);
    runner.join();
  }
}

// Whatever it meets, nothing that runs behind it.
TEST(CallGate, IsClosedInBetween) {
  for (int round = 0; round < 300; ++round) {
    CallGate sut;
    int runs = 0;  // likewise
    std::atomic<bool> has_begun{false};
    std::thread runner([&] {
      while (sut.enter()) {
        ++runs;
        sut.leave();
        has_begun = true;
      }
    });
    while (!has_begun) {
      std::this_thread::yield();
    }
    sut.close();
    const int before = runs;
    runner.join();
    EXPECT_EQ(runs, before);
  }
}

}  // namespace
}  // namespace backplane::detail
