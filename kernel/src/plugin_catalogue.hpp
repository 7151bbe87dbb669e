// SPDX-License-Identifier: Apache-2.0
// The plugins that are known, by id and by URL scheme. Knowing a plugin never maps its library.
#pragma once

#include "address.hpp"
#include "diagnostic.hpp"
#include "plugin_manifest.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::kernel {

/// What a URL stands for: an instance of a plugin, and a path on it.
struct UrlTarget {
  const PluginManifest* plugin = nullptr;
  CompletedConfig config;  // the key of the scheme is set, the others have their defaults
  std::string path;
};

/// One thread at a time. Manifests stay where they are in memory.
class PluginCatalogue {
 public:
  /// Adds every `*.toml` of these folders, in the order of their names; a folder that is missing is
  /// empty. Two with one id or one scheme are an error that names both. False: there were errors,
  /// and some may have been added. Blocks on the disk.
  bool scan(const std::vector<std::filesystem::path>& manifest_folders,
            const std::vector<std::filesystem::path>& plugin_folders, Diagnostics& diagnostics);

  /// Adds a plugin that is linked in. NULL: refused.
  const PluginManifest* add(std::string_view text, const std::string& name,
                            Diagnostics& diagnostics);

  const PluginManifest* find(std::string_view id) const;
  const std::map<std::string, PluginManifest, std::less<>>& plugins() const { return plugins_; }
  /// The plugin that serves a URL scheme. NULL: none.
  const PluginManifest* find_by_scheme(std::string_view scheme) const;
  std::vector<std::string> ids() const;
  std::vector<std::string> schemes() const;

  /// Every mistake, such as a key that the plugin needs and a URL cannot give, is reported at `at`.
  std::optional<UrlTarget> resolve(const Address& url, const SourcePosition& at,
                                   Diagnostics& diagnostics) const;

 private:
  struct Server {
    const PluginManifest* plugin;
    const Scheme* scheme;
  };

  const PluginManifest* add(std::optional<PluginManifest> manifest, Diagnostics& diagnostics);

  PluginManifestReader reader_;
  std::map<std::string, PluginManifest, std::less<>> plugins_;
  std::map<std::string, Server, std::less<>> servers_;  // by scheme
};

}  // namespace backplane::kernel
