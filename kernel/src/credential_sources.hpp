// SPDX-License-Identifier: Apache-2.0
// Where the system manifest says that secrets are. Nothing here ever prints one.
#pragma once

#include "diagnostic.hpp"
#include "toml_document.hpp"

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
#include <map>
#include <string>

namespace backplane::kernel {

/// Fields (certificate, key, ca, psk_identity, psk, user, password) with their sources: the text
/// itself, `@file:PATH` with an absolute path, or `@env:NAME`. A secret: never print a source.
using CredentialSources = std::map<std::string, std::string>;

/// Reads `[credentials]`, which satisfies the format of system manifests; `where` is its place.
/// Relative paths start in `folder`. Warns of what is missing now, and of secrets that everybody
/// can read. Looks at the files, never into them.
std::map<std::string, CredentialSources> credential_sources(const nlohmann::json& table,
                                                            const DocumentTable& where,
                                                            const std::filesystem::path& folder,
                                                            const Environment& environment,
                                                            Diagnostics& diagnostics);

}  // namespace backplane::kernel
