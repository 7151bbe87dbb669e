// SPDX-License-Identifier: Apache-2.0
#include "config_value.hpp"

#include <nlohmann/json.hpp>

namespace backplane::kernel {
namespace {

bp_value text(const std::string& string) {
  bp_value value{};
  value.tag = BP_T_STRING;
  value.len = static_cast<std::uint32_t>(string.size());
  value.as.s = string.data();
  return value;
}

}  // namespace

ConfigValue::ConfigValue(const nlohmann::json& json) : root_(convert(json)) {}

bp_value ConfigValue::convert(const nlohmann::json& json) {
  bp_value value{};
  switch (json.type()) {
    case nlohmann::json::value_t::boolean:
      value.tag = BP_T_BOOL;
      value.as.u = json.get<bool>() ? 1 : 0;
      break;
    case nlohmann::json::value_t::number_integer:
      value.tag = BP_T_INT;
      value.aux = 64;
      value.as.i = json.get<std::int64_t>();
      break;
    case nlohmann::json::value_t::number_unsigned:
      value.tag = BP_T_INT;  // TOML's integers are signed 64 bits
      value.aux = 64;
      value.as.i = static_cast<std::int64_t>(json.get<std::uint64_t>());
      break;
    case nlohmann::json::value_t::number_float:
      value.tag = BP_T_FLOAT;
      value.aux = 64;
      value.as.f = json.get<double>();
      break;
    case nlohmann::json::value_t::string:
      value = text(json.get_ref<const std::string&>());
      break;
    case nlohmann::json::value_t::array: {
      std::vector<bp_value>& list = lists_.emplace_back();
      for (const nlohmann::json& item : json) list.push_back(convert(item));
      value.tag = BP_T_LIST;
      value.len = static_cast<std::uint32_t>(list.size());
      value.as.list = list.data();
      break;
    }
    case nlohmann::json::value_t::object: {
      std::vector<bp_pair>& map = maps_.emplace_back();
      for (const auto& [key, item] : json.items()) map.push_back({text(key), convert(item)});
      value.tag = BP_T_MAP;
      value.len = static_cast<std::uint32_t>(map.size());
      value.as.map = map.data();
      break;
    }
    default:
      break;  // null
  }
  return value;
}

}  // namespace backplane::kernel
