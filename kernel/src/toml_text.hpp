// SPDX-License-Identifier: Apache-2.0
// JSON values in the words and the notation that a person writes in a TOML file.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace backplane::kernel {

/// As it would be written on the right of `key =`: "text", 5, [1, 2], { a = 1 }.
std::string to_toml(const nlohmann::json& value);

/// `a string`, `an integer`, `a number`, `true or false`, `an array`, `a table`: for a type name of
/// JSON Schema.
std::string type_in_words(const std::string& type);

/// The same for a value.
std::string kind_in_words(const nlohmann::json& value);

}  // namespace backplane::kernel
