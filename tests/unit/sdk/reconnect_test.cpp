// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/reconnect.hpp"

#include "support/fake_host.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FakeHost;

class AReconnect : public ::testing::Test {
 protected:
  Reconnect::Options options(uint64_t seed = 7) {
    Reconnect::Options out;
    out.seed = seed;
    out.clock = [this] { return fake_.loop.now(); };
    return out;
  }
  /// Fails `n` times and returns the waits.
  std::vector<std::chrono::nanoseconds> waits(Reconnect& sut, int n) {
    std::vector<std::chrono::nanoseconds> out;
    for (int i = 0; i < n; ++i) {
      const int64_t before = fake_.loop.now();
      sut.failed("connection refused");
      out.push_back(fake_.loop.next_timer() + std::chrono::nanoseconds(fake_.loop.now() - before));
      fake_.loop.advance(seconds(6));
    }
    return out;
  }

  FakeHost fake_;
  Host host_{fake_.raw()};
  int attempts_ = 0;
  Reconnect sut_{host_, [this] { ++attempts_; }, options()};
};

TEST_F(AReconnect, TriesAtOnceButOnTheLoop) {
  sut_.start();
  EXPECT_EQ(attempts_, 0);
  fake_.loop.run();
  EXPECT_EQ(attempts_, 1);
  sut_.start();
  fake_.loop.run();
  EXPECT_EQ(attempts_, 1);
}

TEST_F(AReconnect, WaitsLongerWithEachFailureUpToItsCap) {
  sut_.start();
  fake_.loop.run();
  std::chrono::nanoseconds most = milliseconds(100);
  for (const auto wait : waits(sut_, 40)) {
    EXPECT_LE(wait, most + milliseconds(50));
    most = std::min<std::chrono::nanoseconds>(most * 2, seconds(5));
  }
  EXPECT_EQ(attempts_, 41);
}

TEST_F(AReconnect, SpreadsItsTries) {
  sut_.start();
  fake_.loop.run();
  waits(sut_, 8);
  int low = 0, high = 0;
  for (const auto wait : waits(sut_, 200)) {
    low += wait < milliseconds(2500) ? 1 : 0;
    high += wait > milliseconds(2500) ? 1 : 0;
  }
  EXPECT_GT(low, 60);
  EXPECT_GT(high, 60);
}

TEST_F(AReconnect, SaysUpOnlyWithProof) {
  sut_.start();
  sut_.up("too early");
  fake_.loop.run();
  EXPECT_EQ(fake_.reports().back().state, BP_STATE_CONNECTING);
  sut_.up("CONNACK from the broker");
  EXPECT_EQ(fake_.reports().back().state, BP_STATE_UP);
  sut_.failed("keep-alive was not answered");
  EXPECT_EQ(fake_.reports().back().state, BP_STATE_CONNECTING);
  EXPECT_EQ(fake_.reports().back().detail.find("keep-alive was not answered, next try in 0."), 0u)
      << fake_.reports().back().detail;
}

TEST_F(AReconnect, CountsTwoReportsOfOneFailureOnce) {
  sut_.start();
  fake_.loop.run();
  sut_.failed("reset");
  const size_t reports = fake_.reports().size();
  sut_.failed("and the socket closed");
  EXPECT_EQ(fake_.reports().size(), reports);
  fake_.loop.advance(seconds(6));
  EXPECT_EQ(attempts_, 2);
}

TEST_F(AReconnect, CountsConnectionsThatWereUpAndAreLost) {
  Reconnect::Options options = this->options();
  options.lost = host_.counter("lost_total");
  Reconnect sut(
      host_, [] {}, options);
  sut.start();
  fake_.loop.run();
  sut.failed("refused");
  EXPECT_EQ(fake_.metric("lost_total"), 0) << "it was never up";
  fake_.loop.advance(seconds(6));
  sut.up("proven");
  sut.failed("reset");
  EXPECT_EQ(fake_.metric("lost_total"), 1);
}

TEST_F(AReconnect, StartsWithShortWaitsAgainAfterAConnectionThatLasted) {
  sut_.start();
  fake_.loop.run();
  waits(sut_, 10);
  sut_.up("proven");
  fake_.loop.advance(seconds(60));
  EXPECT_LE(waits(sut_, 1)[0], milliseconds(150));
}

TEST_F(AReconnect, KeepsItsLongWaitsForAConnectionThatFlaps) {
  sut_.start();
  fake_.loop.run();
  waits(sut_, 10);
  std::chrono::nanoseconds longest{};
  for (int i = 0; i < 20; ++i) {
    sut_.up("proven");
    longest = std::max(longest, waits(sut_, 1)[0]);
  }
  EXPECT_GT(longest, seconds(1));
}

TEST_F(AReconnect, TreatsAnExceptionOfTheAttemptAsAFailure) {
  Reconnect sut(
      host_, [] { throw Error(BP_UNAVAILABLE, "no route to host"); }, options());
  sut.start();
  fake_.loop.run();
  EXPECT_NE(fake_.reports().back().detail.find("no route to host"), std::string::npos);
}

TEST_F(AReconnect, TriesNoMoreOnceStopped) {
  sut_.start();
  fake_.loop.run();
  sut_.failed("refused");
  sut_.stop();
  fake_.loop.advance(seconds(60));
  EXPECT_EQ(attempts_, 1);
  sut_.failed("late");
  EXPECT_EQ(fake_.reports().back().state, BP_STATE_IDLE);
  EXPECT_EQ(fake_.loop.registrations(), 0u);
  sut_.start();
  fake_.loop.run();
  EXPECT_EQ(attempts_, 2);
}

TEST_F(AReconnect, LeavesNothingOnTheLoopWhenDestroyed) {
  {
    Reconnect sut(
        host_, [] {}, options());
    sut.start();
  }
  fake_.loop.advance(seconds(10));
  EXPECT_EQ(fake_.loop.registrations(), 0u);
}

}  // namespace
}  // namespace backplane
