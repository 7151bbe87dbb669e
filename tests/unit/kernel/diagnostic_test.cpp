// SPDX-License-Identifier: Apache-2.0
#include "diagnostic.hpp"

#include "support/diagnostic_lines.hpp"

#include <gmock/gmock.h>

namespace backplane::kernel {
namespace {

using ::testing::ElementsAre;

TEST(Diagnostics, AreInTheOrderOfTheText) {
  Diagnostics sut;
  sut.error({"plant.toml", 9, 1}, "later");
  sut.error({"plant.toml", 2, 8}, "second in the line");
  sut.warning({"plant.toml", 2, 3}, "first in the line");
  sut.error({"plant.toml", 2, 8}, "at the same place, found later");
  sut.error({"plant.toml.d/1.toml", 1, 1}, "in a drop-in");
  sut.error({"other.toml", 0, 0}, "as a whole");
  EXPECT_THAT(
      test::lines(sut),
      ElementsAre("other.toml: error: as a whole", "plant.toml:2:3: warning: first in the line",
                  "plant.toml:2:8: error: second in the line",
                  "plant.toml:2:8: error: at the same place, found later",
                  "plant.toml:9:1: error: later", "plant.toml.d/1.toml:1:1: error: in a drop-in"));
  EXPECT_EQ(sut.error_count(), 5U);
}

TEST(Diagnostics, WarningsAreNoErrors) {
  Diagnostics sut;
  sut.warning({"plant.toml", 1, 1}, "look here");
  EXPECT_FALSE(sut.has_errors());
  Diagnostics others;
  others.error({"plant.toml", 1, 2}, "wrong");
  sut.append(others);
  EXPECT_TRUE(sut.has_errors());
}

}  // namespace
}  // namespace backplane::kernel
