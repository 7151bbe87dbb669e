// SPDX-License-Identifier: Apache-2.0
#include "turn.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace backplane::route {
namespace {

void run(Turn& turn, const std::function<void()>& body) {
  if (turn.enter()) {
    body();
  } else if (!turn.defer(body)) {
    return;
  }
  while (!turn.leave()) {
  }
}

TEST(ATurn, RunsWhatItsOwnHolderLeavesAfterwardsInOrder) {
  Turn sut;
  std::string order;
  run(sut, [&] {
    order += "[";
    run(sut, [&] {
      order += "a";
      run(sut, [&] { order += "c"; });
    });
    run(sut, [&] { order += "b"; });
    order += "]";
  });
  EXPECT_EQ(order, "[]abc");
}

TEST(ATurn, NeverHasTwoInsideAndLosesNothing) {
  Turn sut;
  constexpr int kThreads = 4;
  constexpr int kRounds = 20000;
  std::array<int, kThreads> last{};  // touched inside the turn only
  int runs = 0;
  bool is_ordered = true;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 1; i <= kRounds; ++i) {
        run(sut, [&, t, i] {
          ++runs;
          is_ordered = is_ordered && last[t] == i - 1;
          last[t] = i;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(runs, kThreads * kRounds);
  EXPECT_TRUE(is_ordered) << "what one thread left was done in another order";
}

}  // namespace
}  // namespace backplane::route
