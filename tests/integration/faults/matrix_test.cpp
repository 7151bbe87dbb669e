// SPDX-License-Identifier: Apache-2.0
// Prints the whole matrix at the end of a run, as a table of docs/faults.md.
#include "integration/faults/fault_matrix.hpp"

namespace backplane::test {
namespace {

class Table final : public testing::Environment {
 public:
  void TearDown() override {
    if (all_measured().size() < 2) {
      return;
    }
    std::printf("\n| mechanism | fault | noticed | writes again | watch again | refused |\n");
    std::printf("|---|---|---|---|---|---|\n");
    for (const Measured& each : all_measured()) {
      const std::string noticed =
          each.noticed ? std::to_string(each.noticed->count()) + " ms" : "-";
      std::printf("| %s | %s | %s | %lld ms | %lld ms | %zu |\n", each.mechanism.c_str(),
                  each.fault.c_str(), noticed.c_str(), static_cast<long long>(each.writes.count()),
                  static_cast<long long>(each.watches.count()), each.refused);
    }
  }
};

const testing::Environment* const table = testing::AddGlobalTestEnvironment(new Table);

}  // namespace
}  // namespace backplane::test
