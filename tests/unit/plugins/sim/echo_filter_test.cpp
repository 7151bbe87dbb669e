// SPDX-License-Identifier: Apache-2.0
#include "plugins/sim/echo_filter.hpp"

#include <gtest/gtest.h>

namespace backplane::sim {
namespace {

TEST(EchoFilter, KnowsItsOwnValuesEvenLateAndInCoarserPrecision) {
  EchoFilter sut;
  sut.wrote(1.1);
  sut.wrote(1.2);
  sut.wrote(1.3);
  EXPECT_TRUE(sut.is_own(static_cast<double>(1.2f)));
  EXPECT_TRUE(sut.is_own(1.3));
  EXPECT_TRUE(sut.is_own(1.3)) << "told twice";
  EXPECT_FALSE(sut.is_own(1.1)) << "older than what came";
}

TEST(EchoFilter, TellsApartSmallNumbers) {
  EchoFilter sut;
  sut.wrote(1e-9);
  EXPECT_FALSE(sut.is_own(2e-9));
  EXPECT_FALSE(sut.is_own(0));
}

TEST(EchoFilter, ForgetsWhatIsTooOldToComeBack) {
  EchoFilter sut;
  for (int i = 0; i < 9; ++i) {
    sut.wrote(i);
  }
  EXPECT_FALSE(sut.is_own(0));
  EXPECT_TRUE(sut.is_own(1));
}

TEST(ToNumber, ReadsNumbersAndTheirText) {
  EXPECT_EQ(to_number(42), 42.0);
  EXPECT_EQ(to_number(UINT64_MAX), 18446744073709551615.0);
  EXPECT_EQ(to_number("42.5"), 42.5);
  EXPECT_EQ(to_number(ValueView::bytes("-1e3", 4)), -1000.0);
  EXPECT_EQ(to_number("42.5 Cel"), std::nullopt);
  EXPECT_EQ(to_number(""), std::nullopt);
  EXPECT_EQ(to_number(nullptr), std::nullopt);
}

}  // namespace
}  // namespace backplane::sim
