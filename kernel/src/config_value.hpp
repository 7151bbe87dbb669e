// SPDX-License-Identifier: Apache-2.0
// A configuration as plugins read it: a tree of bp_value over a JSON document.
#pragma once

#include "backplane/value.h"

#include <nlohmann/json_fwd.hpp>

#include <deque>
#include <vector>

namespace backplane::kernel {

// Borrows the strings of `json`, owns the rest; both must outlive the use of value().
class ConfigValue {
 public:
  explicit ConfigValue(const nlohmann::json& json);
  [[nodiscard]] const bp_value& value() const noexcept { return root_; }

 private:
  bp_value convert(const nlohmann::json& json);

  std::deque<std::vector<bp_value>> lists_;
  std::deque<std::vector<bp_pair>> maps_;
  bp_value root_;
};

}  // namespace backplane::kernel
