// SPDX-License-Identifier: Apache-2.0
#include "plugin_manifest.hpp"

#include "json_pointer.hpp"
#include "plugin_format.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace backplane::kernel {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool has(const json& array, const char* word) {
  return std::find(array.begin(), array.end(), word) != array.end();
}

/// `path` lies inside `folder` once links are followed.
bool is_inside(const fs::path& path, const fs::path& folder) {
  std::error_code error;
  const fs::path inner = fs::weakly_canonical(path, error);
  const fs::path outer = error ? fs::path() : fs::weakly_canonical(folder, error);
  if (error || outer.empty()) return false;
  const auto [end, rest] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end == outer.end() && rest != inner.end();
}

/// Where the library is, or the first place where it was looked for. Empty: it lies outside, and
/// that was reported.
fs::path locate_library(const std::string& library, const fs::path& manifest_folder,
                        const std::vector<fs::path>& plugin_folders, const SourcePosition& at,
                        Diagnostics& diagnostics) {
  std::vector<fs::path> folders = plugin_folders;
  folders.push_back(manifest_folder);
  if (library.find('/') != std::string::npos || library == "." || library == "..") {
    fs::path path = manifest_folder / library;
    if (std::any_of(folders.begin(), folders.end(),
                    [&](const fs::path& folder) { return is_inside(path, folder); })) {
      return path;
    }
    diagnostics.error(
        at, "the library '" + library +
                "' lies neither in a plugin folder nor beside its manifest, expected a file name");
    return {};
  }
  for (const fs::path& folder : folders) {
    std::error_code error;
    if (fs::exists(folder / library, error)) return folder / library;
  }
  return folders.front() / library;
}

RequestedPermissions permissions_of(const json& table) {
  RequestedPermissions result;
  for (const Verb verb : kVerbs) {
    for (const json& pattern : table.at(std::string(to_string(verb)))) {
      result.addresses.push_back(
          {bit(verb), AddressPattern::parse(pattern.get_ref<const std::string&>())});
    }
  }
  result.connect = has(table.at("network"), "connect");
  result.listen = has(table.at("network"), "listen");
  result.read_files = has(table.at("files"), "read");
  result.write_files = has(table.at("files"), "write");
  result.processes = table.at("processes").get<bool>();
  result.descriptors = table.at("descriptors").get<bool>();
  return result;
}

/// What the parts of one manifest must have to do with each other.
void check_consistency(const PluginManifest& manifest, const TomlDocument& document,
                       Diagnostics& diagnostics) {
  for (const std::string& key : reserved_keys()) {
    if (manifest.config.has_property(key)) {
      diagnostics.error(document.key_at("/config/properties/" + key),
                        "key '" + key + "' belongs to the system manifest; name it otherwise");
    }
  }
  for (std::size_t i = 0; i < manifest.schemes.size(); ++i) {
    const std::string& name = manifest.schemes[i].name;
    if (std::any_of(manifest.schemes.begin(),
                    manifest.schemes.begin() + static_cast<std::ptrdiff_t>(i),
                    [&](const Scheme& other) { return other.name == name; })) {
      diagnostics.error(document.value_at(member(item("/schemes", i), "name")),
                        "scheme '" + name + "' is listed twice");
    }
    if (manifest.config.has_property(manifest.schemes[i].config_key)) continue;
    diagnostics.error(document.value_at(member(item("/schemes", i), "config_key")),
                      "[config] has no property '" + manifest.schemes[i].config_key + "'");
  }
  for (const auto& [pointer, verbs] : manifest.config.marked_verbs()) {
    for (const Verb verb : kVerbs) {
      if ((verbs & bit(verb)) == 0 || !manifest.permissions.patterns_for(verb).empty()) continue;
      const std::string name(to_string(verb));
      diagnostics.error(document.value_at("/config" + pointer),
                        "the configuration names addresses to " + name +
                            ", but [permissions] has no '" + name + "', for example " + name +
                            " = [\"*\"]");
    }
  }
}

}  // namespace

std::vector<std::string> RequestedPermissions::patterns_for(Verb verb) const {
  std::vector<std::string> patterns;
  for (const Grant& grant : addresses) {
    if ((grant.verbs & bit(verb)) != 0) patterns.push_back(to_string(grant.pattern));
  }
  return patterns;
}

bool RequestedPermissions::cover(Verb verb, const AddressPattern& pattern) const {
  return std::any_of(addresses.begin(), addresses.end(), [&](const Grant& grant) {
    return (grant.verbs & bit(verb)) != 0 && intersection(pattern, grant.pattern) == pattern;
  });
}

std::vector<std::string> PluginManifest::services() const {
  std::vector<std::string> all = services_needed;
  all.insert(all.end(), services_optional.begin(), services_optional.end());
  return all;
}

const std::vector<std::string>& reserved_keys() {
  static const std::vector<std::string> keys{"plugin", "after", "isolation", "isolated", "allow"};
  return keys;
}

PluginManifestReader::PluginManifestReader() : format_(plugin_manifest_format()) {}

std::optional<PluginManifest> PluginManifestReader::load(
    const fs::path& file, const std::vector<fs::path>& plugin_folders,
    Diagnostics& diagnostics) const {
  auto loaded = TomlDocument::load(file, {}, diagnostics);
  if (!loaded) return std::nullopt;
  const auto document = std::make_shared<const TomlDocument>(std::move(*loaded));
  auto manifest = read(document, diagnostics);
  if (!manifest) return std::nullopt;
  const std::size_t before = diagnostics.error_count();
  if (file.stem() != manifest->id) {
    diagnostics.error(manifest->position, "id '" + manifest->id + "' stands in the file '" +
                                              file.filename().string() + "', expected '" +
                                              manifest->id + ".toml'");
  }
  const std::string library =
      document->root().value("library", "libbackplane_" + manifest->id + ".so");
  manifest->library = locate_library(library, file.parent_path(), plugin_folders,
                                     document->value_at("/library"), diagnostics);
  if (diagnostics.error_count() != before) return std::nullopt;
  return manifest;
}

std::optional<PluginManifest> PluginManifestReader::parse(std::string_view text,
                                                          const std::string& name,
                                                          Diagnostics& diagnostics) const {
  auto parsed = TomlDocument::parse(text, name, {}, diagnostics);
  if (!parsed) return std::nullopt;
  const auto document = std::make_shared<const TomlDocument>(std::move(*parsed));
  auto manifest = read(document, diagnostics);
  for (const char* key : {"library", "sha256"}) {
    if (!document->root().contains(key)) continue;
    diagnostics.error(
        document->key_at(member("", key)),
        std::string("a plugin that is linked in has no '") + key + "'; remove the key");
    return std::nullopt;
  }
  return manifest;
}

std::optional<PluginManifest> PluginManifestReader::read(
    const std::shared_ptr<const TomlDocument>& source, Diagnostics& diagnostics) const {
  const TomlDocument& document = *source;
  const std::size_t before = diagnostics.error_count();
  auto complete = format_.complete(document.root(), {document, ""}, {}, diagnostics);
  std::optional<ConfigSchema> config;
  if (const auto schema = document.root().find("config");
      schema != document.root().end() && schema->is_object()) {
    config = ConfigSchema::read(source, "/config", diagnostics);
  }
  if (!complete || !config) return std::nullopt;

  const json& table = complete->config;
  PluginManifest manifest{.position = document.value_at("/id"),
                          .id = table.at("id"),
                          .version = table.at("version"),
                          .description = table.at("description"),
                          .license = table.at("license"),
                          .status = table.at("status"),
                          .security_posture = table.at("security_posture"),
                          .abi_minor = table.at("abi_minor"),
                          .library = {},
                          .sha256 = {},
                          .multi_instance = table.at("multi_instance"),
                          .own_threads = table.at("own_threads"),
                          .resident_threads = table.at("resident_threads"),
                          .services_needed = table.at("services").at("needed"),
                          .services_optional = table.at("services").at("optional"),
                          .schemes = {},
                          .permissions = permissions_of(table.at("permissions")),
                          .config = std::move(*config)};
  if (table.contains("sha256")) {
    std::string digest = table.at("sha256");
    std::transform(digest.begin(), digest.end(), digest.begin(), [](char c) {
      return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    manifest.sha256 = std::move(digest);
  }
  for (const json& scheme : table.at("schemes")) {
    manifest.schemes.push_back(
        {scheme.at("name"), scheme.at("config_key"), scheme.at("path_prefix")});
  }
  check_consistency(manifest, document, diagnostics);
  if (diagnostics.error_count() != before) return std::nullopt;
  return manifest;
}

}  // namespace backplane::kernel
