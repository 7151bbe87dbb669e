// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/line_limit.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

TEST(ALineLimit, CountsWhatItLeavesOut) {
  LineLimit sut(std::chrono::nanoseconds(10));
  EXPECT_EQ(sut.next(100), 0u);
  EXPECT_EQ(sut.next(100), std::nullopt);
  EXPECT_EQ(sut.next(109), std::nullopt);
  EXPECT_EQ(sut.next(110), 2u);
  EXPECT_EQ(sut.next(119), std::nullopt);
  EXPECT_EQ(sut.next(1000), 1u);
  EXPECT_EQ(sut.next(2000), 0u);
}

}  // namespace
}  // namespace backplane
