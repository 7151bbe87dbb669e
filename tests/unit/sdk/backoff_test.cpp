// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/backoff.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Backoff, StartsAgainAtOnceThenWaitsTwiceAsLongEachTimeUpToItsMost) {
  Backoff sut(milliseconds(500), seconds(10));
  for (const int expected : {0, 100, 200, 400, 500, 500}) {
    EXPECT_EQ(sut.next(seconds(1)), milliseconds(expected));
  }
}

TEST(Backoff, BeginsAnewAfterAStableTime) {
  Backoff sut(seconds(30), seconds(10));
  sut.next(seconds(0));
  sut.next(seconds(0));
  EXPECT_EQ(sut.next(seconds(10)), seconds(0));
  EXPECT_EQ(sut.next(seconds(9)), milliseconds(100));
}

TEST(Backoff, NeverWaitsWithAMostOfZero) {
  Backoff sut(seconds(0), seconds(10));
  sut.next(seconds(0));
  EXPECT_EQ(sut.next(seconds(0)), seconds(0));
}

}  // namespace
}  // namespace backplane
