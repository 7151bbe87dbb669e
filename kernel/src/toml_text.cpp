// SPDX-License-Identifier: Apache-2.0
#include "toml_text.hpp"

#include <nlohmann/json.hpp>

namespace backplane::kernel {

using nlohmann::json;

std::string to_toml(const json& value) {
  if (value.is_array()) {
    std::string text = "[";
    for (const json& each : value) text += (text.size() > 1 ? ", " : "") + to_toml(each);
    return text + "]";
  }
  if (value.is_object()) {
    std::string text;
    for (const auto& [key, member] : value.items()) {
      text += (text.empty() ? "" : ", ") + key + " = " + to_toml(member);
    }
    return text.empty() ? "{}" : "{ " + text + " }";
  }
  return value.dump();  // strings and numbers are written alike in both
}

std::string type_in_words(const std::string& type) {
  if (type == "boolean") return "true or false";
  if (type == "object") return "a table";
  if (type == "integer" || type == "array") return "an " + type;
  return "a " + type;
}

std::string kind_in_words(const json& value) {
  if (value.is_number_integer()) return "an integer";
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  return type_in_words(
      value.type_name());  // string, number, array and object are named as in JSON Schema
}

}  // namespace backplane::kernel
