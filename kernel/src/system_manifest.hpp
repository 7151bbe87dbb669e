// SPDX-License-Identifier: Apache-2.0
// The operator's file: which instances run, with which configuration, and what they may do.
// docs/manifests.md has the grammar. Loading it starts nothing and opens no connection.
#pragma once

#include "credential_sources.hpp"
#include "diagnostic.hpp"
#include "plugin_catalogue.hpp"
#include "plugin_manifest.hpp"
#include "toml_document.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::kernel {

struct SystemOptions {
  std::string name;       // empty: none
  std::string log_level;  // error, warning, info, debug, trace
  std::chrono::milliseconds start_timeout{};
  std::chrono::milliseconds stop_timeout{};
};

struct InstanceManifest {
  std::string name;
  const PluginManifest* plugin = nullptr;  // of the catalogue
  bool is_route = false;
  nlohmann::json config;  // satisfies the plugin's schema; defaults are filled in
  /// Indices into SystemManifest::instances.
  std::vector<std::size_t> after;         // as the manifest says
  std::vector<std::size_t> dependencies;  // because it opens addresses there; never a route
  std::vector<Grant> grants;
  std::vector<std::string> services;       // ids that it gets
  std::vector<std::string> credentials;    // names, without doubles
  std::vector<std::string> shared_memory;  // keys
  /// Of an isolated one: `isolated` with its defaults.
  std::optional<nlohmann::json> isolated;
  SourcePosition position;
};

/// The plugin that stands in for one in a process of its own.
inline constexpr std::string_view kIsolationPlugin = "isolation";

struct SystemManifest {
  SystemOptions options;
  std::map<std::string, CredentialSources> credentials;
  std::vector<InstanceManifest> instances;  // routes included, in the order of their declaration
  std::vector<std::size_t> start_order;     // indices; they stop in the reverse order

  /// The file and its drop-in folder; each must pass TrustedFile::open. All mistakes are reported
  /// in one pass; warnings do not fail it. `catalogue` must outlive the result. Blocks on the disk.
  static std::optional<SystemManifest> load(const std::filesystem::path& file,
                                            const PluginCatalogue& catalogue,
                                            const Environment& environment,
                                            Diagnostics& diagnostics);
  /// From memory; `name` stands for the file in diagnostics, and relative paths start in the
  /// working folder.
  static std::optional<SystemManifest> parse(std::string_view text, const std::string& name,
                                             const PluginCatalogue& catalogue,
                                             const Environment& environment,
                                             Diagnostics& diagnostics);
};

}  // namespace backplane::kernel
