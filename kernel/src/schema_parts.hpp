// SPDX-License-Identifier: Apache-2.0
// Judges values by parts of one schema: a branch of oneOf, or a single keyword. It makes sure that
// whoever explains or completes a configuration never disagrees with the verdict on the whole.
#pragma once

#include "json_schema.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <unordered_map>

namespace backplane::kernel {

/// The parts are known by address and must outlive this object, unchanged. One thread at a time.
class SchemaParts {
 public:
  bool accept(const nlohmann::json& subschema, const nlohmann::json& value);
  /// By this keyword alone, which `subschema` has.
  bool keyword_accepts(const nlohmann::json& subschema, const std::string& keyword,
                       const nlohmann::json& value);
  /// As `pattern` and `patternProperties` do.
  bool matches(const std::string& pattern, const std::string& text);

 private:
  bool judge(const nlohmann::json* part, const nlohmann::json& schema, const nlohmann::json& value);

  std::unordered_map<const nlohmann::json*, JsonSchema> compiled_;
  std::unordered_map<std::string, JsonSchema> patterns_;
};

}  // namespace backplane::kernel
