// SPDX-License-Identifier: Apache-2.0
// The demo's live table: on a terminal redrawn in place, otherwise printed once a second.
#pragma once

#include "demo_witness.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace backplane::cli {

class DemoTable {
 public:
  struct Content {
    std::string title;
    std::vector<SignalView> signals;
    std::string totals;
    std::vector<std::string> notes;  // lines below
  };

  explicit DemoTable(bool terminal) : terminal_(terminal) {}

  /// How often it wants to be shown.
  std::chrono::nanoseconds period() const;
  void show(const Content& content);
  /// What is printed next stands below the table.
  void finish() { lines_ = 0; }

 private:
  const bool terminal_;
  size_t lines_ = 0;  // of the last table, to go back
};

}  // namespace backplane::cli
