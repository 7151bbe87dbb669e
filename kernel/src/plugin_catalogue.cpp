// SPDX-License-Identifier: Apache-2.0
#include "plugin_catalogue.hpp"

#include "did_you_mean.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace backplane::kernel {
namespace {

namespace fs = std::filesystem;

}  // namespace

bool PluginCatalogue::scan(const std::vector<fs::path>& manifest_folders,
                           const std::vector<fs::path>& plugin_folders, Diagnostics& diagnostics) {
  const std::size_t before = diagnostics.error_count();
  std::vector<fs::path> seen;
  for (const fs::path& folder : manifest_folders) {
    std::error_code error;
    const fs::path resolved = fs::weakly_canonical(folder, error);
    if (std::find(seen.begin(), seen.end(), resolved) != seen.end()) continue;
    seen.push_back(resolved);
    std::vector<fs::path> files;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->path().extension() == ".toml") files.push_back(entry->path());
    }
    if (error && error != std::errc::no_such_file_or_directory) {
      diagnostics.error({folder.string(), 0, 0},
                        "cannot read the folder of plugin manifests: " + error.message());
      continue;
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files)
      add(reader_.load(file, plugin_folders, diagnostics), diagnostics);
  }
  return diagnostics.error_count() == before;
}

const PluginManifest* PluginCatalogue::add(std::string_view text, const std::string& name,
                                           Diagnostics& diagnostics) {
  return add(reader_.parse(text, name, diagnostics), diagnostics);
}

const PluginManifest* PluginCatalogue::add(std::optional<PluginManifest> manifest,
                                           Diagnostics& diagnostics) {
  if (!manifest) return nullptr;
  if (const PluginManifest* other = find(manifest->id)) {
    diagnostics.error(
        manifest->position,
        "plugin '" + manifest->id + "' is described twice, also at " + to_string(other->position));
    return nullptr;
  }
  for (const Scheme& scheme : manifest->schemes) {
    const auto taken = servers_.find(scheme.name);
    if (taken == servers_.end()) continue;
    diagnostics.error(manifest->position, "scheme '" + scheme.name + "' is served by plugin '" +
                                              taken->second.plugin->id +
                                              "' already, described at " +
                                              to_string(taken->second.plugin->position));
    return nullptr;
  }
  std::string id = manifest->id;
  const PluginManifest& added = plugins_.emplace(std::move(id), std::move(*manifest)).first->second;
  for (const Scheme& scheme : added.schemes) servers_.emplace(scheme.name, Server{&added, &scheme});
  return &added;
}

const PluginManifest* PluginCatalogue::find(std::string_view id) const {
  const auto found = plugins_.find(id);
  return found == plugins_.end() ? nullptr : &found->second;
}

const PluginManifest* PluginCatalogue::find_by_scheme(std::string_view scheme) const {
  const auto found = servers_.find(scheme);
  return found == servers_.end() ? nullptr : found->second.plugin;
}

std::vector<std::string> PluginCatalogue::ids() const {
  std::vector<std::string> ids;
  for (const auto& each : plugins_) ids.push_back(each.first);
  return ids;
}

std::vector<std::string> PluginCatalogue::schemes() const {
  std::vector<std::string> schemes;
  for (const auto& each : servers_) schemes.push_back(each.first);
  return schemes;
}

std::optional<UrlTarget> PluginCatalogue::resolve(const Address& url, const SourcePosition& at,
                                                  Diagnostics& diagnostics) const {
  const auto server = servers_.find(url.scheme);
  if (server == servers_.end()) {
    diagnostics.error(at, unknown_word("scheme", url.scheme, schemes()));
    return std::nullopt;
  }
  const auto& [plugin, scheme] = server->second;
  const nlohmann::json config{{scheme->config_key, url.target}};
  Diagnostics found;
  const TomlDocument nowhere{at.file};
  auto complete = plugin->config.complete(config, {nowhere, ""}, {}, found);
  for (const Diagnostic& each : found.entries()) {
    diagnostics.error(at,
                      "the URL does not configure plugin '" + plugin->id + "': " + each.message);
  }
  if (!complete) return std::nullopt;
  return UrlTarget{plugin, std::move(*complete), scheme->path_prefix + std::string(url.rest)};
}

}  // namespace backplane::kernel
