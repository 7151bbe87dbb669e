// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/crash_limit.hpp"

#include <gtest/gtest.h>

namespace backplane::isolation {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kSecond = 1'000'000'000;

TEST(ACrashLimit, IsReachedByOneCrashMoreThanAllowed) {
  CrashLimit sut(2, 10s);
  EXPECT_FALSE(sut.add(0));
  EXPECT_FALSE(sut.add(kSecond));
  EXPECT_TRUE(sut.add(2 * kSecond));
  EXPECT_EQ(sut.count(), 3u);
}

TEST(ACrashLimit, ForgetsCrashesThatAreOlderThanItsTime) {
  CrashLimit sut(1, 10s);
  EXPECT_FALSE(sut.add(0));
  EXPECT_FALSE(sut.add(11 * kSecond));
  EXPECT_FALSE(sut.add(22 * kSecond));
}

TEST(ACrashLimit, OfNoneIsReachedAtOnce) { EXPECT_TRUE(CrashLimit(0, 10s).add(5)); }

}  // namespace
}  // namespace backplane::isolation
