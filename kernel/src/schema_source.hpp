// SPDX-License-Identifier: Apache-2.0
// The JSON Schema that an author wrote into a plugin manifest: is it what its author meant, and
// what does it expand to.
#pragma once

#include "diagnostic.hpp"
#include "toml_document.hpp"
#include "verb.hpp"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace backplane::kernel {

/// A string with a pattern has at most as many characters: the regular expressions of the standard
/// library recurse once for each.
inline constexpr int kLongestMatchedText = 512;

struct ExpandedSchema {
  /// Each $ref replaced by its definition; each string with a pattern has a maxLength.
  nlohmann::json schema;
  /// Where x-backplane-verbs stand in the manifest, and which verbs they name.
  std::vector<std::pair<std::string, VerbMask>> verbs;
};

/// Checks what the validating library would pass over in silence: misspelt keywords, required keys
/// that are no properties, tables that do not say whether unknown keys may pass, annotations, and
/// $ref.
std::optional<ExpandedSchema> expand_schema(const DocumentTable& source,
                                            const nlohmann::json& schema, Diagnostics& diagnostics);

}  // namespace backplane::kernel
