// SPDX-License-Identifier: Apache-2.0
// Diagnostics as the lines that a person sees.
#pragma once

#include "diagnostic.hpp"

#include <string>
#include <vector>

namespace backplane::test {

inline std::vector<std::string> lines(const kernel::Diagnostics& diagnostics) {
  std::vector<std::string> result;
  for (const auto& each : diagnostics.entries()) result.push_back(to_string(each));
  return result;
}

}  // namespace backplane::test
