// SPDX-License-Identifier: Apache-2.0
#include "schema_parts.hpp"

#include <utility>

namespace backplane::kernel {

using nlohmann::json;

bool SchemaParts::accept(const json& subschema, const json& value) {
  if (subschema.is_boolean()) return subschema.get<bool>();
  return judge(&subschema, subschema, value);
}

bool SchemaParts::keyword_accepts(const json& subschema, const std::string& keyword,
                                  const json& value) {
  const json& part = subschema.at(keyword);
  return judge(&part, json{{keyword, part}}, value);
}

bool SchemaParts::matches(const std::string& pattern, const std::string& text) {
  auto found = patterns_.find(pattern);
  if (found == patterns_.end()) {
    std::string why;
    auto compiled = JsonSchema::compile(json{{"pattern", pattern}}, why);
    if (!compiled) return false;
    found = patterns_.emplace(pattern, std::move(*compiled)).first;
  }
  return found->second.accepts(text);
}

bool SchemaParts::judge(const json* part, const json& schema, const json& value) {
  auto found = compiled_.find(part);
  if (found == compiled_.end()) {
    std::string why;
    auto compiled = JsonSchema::compile(schema, why);
    if (!compiled)
      return true;  // the whole was compiled, so its parts can be; blames nobody in any case
    found = compiled_.emplace(part, std::move(*compiled)).first;
  }
  return found->second.accepts(value);
}

}  // namespace backplane::kernel
