// SPDX-License-Identifier: Apache-2.0
#include "start_order.hpp"

#include <gmock/gmock.h>

namespace backplane::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(StartOrder, IsThatOfDeclarationWhereNothingElseIsSaid) {
  EXPECT_THAT(start_order({{}, {}, {}}).order, ElementsAre(0, 1, 2));
  EXPECT_THAT(start_order({}).order, IsEmpty());
}

TEST(StartOrder, PutsAnInstanceAfterWhatItNames) {
  EXPECT_THAT(start_order({{{2}, {}}, {}, {}}).order, ElementsAre(1, 2, 0));
}

TEST(StartOrder, PutsAnInstanceAfterWhatItUses) {
  EXPECT_THAT(start_order({{{}, {1, 2}}, {{}, {2}}, {}}).order, ElementsAre(2, 1, 0));
}

TEST(StartOrder, LetsInstancesUseEachOther) {
  const StartOrder sut = start_order({{{}, {1}}, {{}, {0}}});
  EXPECT_THAT(sut.order, ElementsAre(0, 1));
  EXPECT_THAT(sut.cycle, IsEmpty());
}

TEST(StartOrder, LetsAfterDecideBetweenThoseThatUseEachOther) {
  EXPECT_THAT(start_order({{{1}, {}}, {{}, {0}}}).order, ElementsAre(1, 0));
}

TEST(StartOrder, KeepsUsersOfACircleBehindIt) {
  // 0 uses the circle of 1 and 2, which use each other.
  EXPECT_THAT(start_order({{{}, {1}}, {{}, {2}}, {{}, {1}}}).order, ElementsAre(1, 2, 0));
}

TEST(StartOrder, NamesACycleOfAfter) {
  const StartOrder sut = start_order({{}, {{2}, {}}, {{3, 0}, {}}, {{1}, {}}});
  EXPECT_THAT(sut.order, IsEmpty());
  EXPECT_THAT(sut.cycle, ElementsAre(1, 2, 3));
}

TEST(StartOrder, TakesAnInstanceAfterItselfForACycle) {
  EXPECT_THAT(start_order({{}, {{1}, {}}}).cycle, ElementsAre(1));
}

TEST(StartOrder, StandsALongChain) {
  constexpr std::size_t kLength = 50000;
  std::vector<StartNode> nodes(kLength);
  for (std::size_t i = 0; i + 1 < kLength; ++i) nodes[i].after = {i + 1};
  const StartOrder sut = start_order(nodes);
  ASSERT_EQ(sut.order.size(), kLength);
  EXPECT_EQ(sut.order.front(), kLength - 1);
}

}  // namespace
}  // namespace backplane::kernel
