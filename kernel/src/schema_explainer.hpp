// SPDX-License-Identifier: Apache-2.0
// Says in words why a value does not satisfy a schema: each mistake once, at the place where it was
// made.
#pragma once

#include "schema_parts.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace backplane::kernel {

struct SchemaMistake {
  enum class Kind { kUnknownKey, kMissingKey, kNotAllowedValue, kOther };

  Kind kind = Kind::kOther;
  std::string pointer;  // what is wrong; of a missing key, the table that lacks it
  bool at_key = false;  // the key is wrong rather than its value
  std::string message;
  std::vector<std::string>
      keys;  // unknown: the one that was meant, if known; missing: any of these would do
  std::vector<nlohmann::json> allowed;  // not an allowed value: what would be
};

/// At least one mistake if the schema does not accept the value, none if it does. `reserved` are
/// further keys that may stand in the outermost table, for `did you mean`.
std::vector<SchemaMistake> explain(const nlohmann::json& schema, const nlohmann::json& value,
                                   const std::vector<std::string>& reserved, SchemaParts& parts);

}  // namespace backplane::kernel
