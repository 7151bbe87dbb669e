// SPDX-License-Identifier: Apache-2.0
// The schema of a plugin's configuration: checks one, with a diagnostic for each mistake, and fills
// in its defaults.
#pragma once

#include "diagnostic.hpp"
#include "toml_document.hpp"
#include "verb.hpp"

#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace backplane::kernel {

/// A string marked `x-backplane-verbs`: the instance will open this address for these verbs.
struct AddressUse {
  std::string pointer;
  std::string address;
  VerbMask verbs = 0;
  /// Where in it the text of `x-backplane-placeholder` stands, which the instance fills in; npos:
  /// nowhere.
  std::size_t placeholder = std::string::npos;
};

/// A string marked `x-backplane-credential`.
struct CredentialUse {
  std::string pointer;
  std::string name;
};

/// A string marked `x-backplane-shared-memory`: the text of a native key.
struct SharedMemoryUse {
  std::string pointer;
  std::string key;  // as text_of() writes it
};

/// A configuration that satisfies its schema.
struct CompletedConfig {
  nlohmann::json config;  // with defaults
  std::vector<AddressUse> addresses;
  std::vector<CredentialUse> credentials;
  std::vector<SharedMemoryUse> shared_memory;
};

/// Compiled once, when it is first used: of the plugins that a machine has most are not. Then a
/// configuration costs a few microseconds. One thread at a time.
class ConfigSchema {
 public:
  /// JSON Schema, draft 7, as the manifest's document has it in the table at `base`. Its form is
  /// looked at; what the keywords say is not, see check().
  static std::optional<ConfigSchema> read(std::shared_ptr<const TomlDocument> document,
                                          std::string base, Diagnostics& diagnostics);

  /// One that is part of this program, written as TOML. Throws std::logic_error if it is broken.
  static ConfigSchema built_in(std::string_view toml, const std::string& name);

  /// Compiles it, and looks whether its defaults and examples satisfy it. False: mistakes were
  /// reported where they stand.
  bool check(Diagnostics& diagnostics) const;

  ConfigSchema(ConfigSchema&&) noexcept;
  ConfigSchema& operator=(ConfigSchema&&) noexcept;
  ~ConfigSchema();

  /// Reports each mistake at its place in `source`; of a schema that is not built in also those of
  /// check(). `reserved`: keys that may stand in the
  /// outermost table although they are not in `config`, for `did you mean`.
  std::optional<CompletedConfig> complete(const nlohmann::json& config, const DocumentTable& source,
                                          const std::vector<std::string>& reserved,
                                          Diagnostics& diagnostics) const;

  bool has_property(const std::string& key) const;
  /// Each x-backplane-verbs of the schema: where it stands, relative to the schema, and its verbs.
  const std::vector<std::pair<std::string, VerbMask>>& marked_verbs() const;

 private:
  struct Compiled;
  explicit ConfigSchema(std::unique_ptr<Compiled> compiled);

  std::unique_ptr<Compiled> compiled_;
};

}  // namespace backplane::kernel
