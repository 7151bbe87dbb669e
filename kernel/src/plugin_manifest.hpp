// SPDX-License-Identifier: Apache-2.0
// What a plugin says of itself before its code is mapped. The format is described in
// plugin_manifests/README.md.
#pragma once

#include "address.hpp"
#include "config_schema.hpp"
#include "diagnostic.hpp"
#include "verb.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::kernel {

/// Verbs on addresses.
struct Grant {
  VerbMask verbs = 0;
  AddressPattern pattern;
};

/// The most that an instance of the plugin may be granted.
struct RequestedPermissions {
  std::vector<Grant> addresses;
  bool connect = false;
  bool listen = false;
  bool read_files = false;
  bool write_files = false;
  bool processes = false;
  bool descriptors = false;

  /// The patterns for one verb, in words of the manifest.
  std::vector<std::string> patterns_for(Verb verb) const;
  /// All that the pattern matches.
  bool cover(Verb verb, const AddressPattern& pattern) const;
  /// Network, files, processes or descriptors: anything beyond the memory of this process.
  bool reach_outside() const {
    return connect || listen || read_files || write_files || processes || descriptors;
  }
};

/// A URL scheme that the plugin serves.
struct Scheme {
  std::string name;
  std::string config_key;   // receives `scheme://authority`
  std::string path_prefix;  // put before the rest of the URL
};

struct PluginManifest {
  SourcePosition position;  // of `id`
  std::string id;
  std::string version;
  std::string description;
  std::string license;
  std::string status;            // draft, stable, deprecated
  std::string security_posture;  // local, trusted_peers, untrusted_peers
  std::uint16_t abi_minor = 0;
  /// Where the library is, or where it was expected first; empty: linked in. Neither opened nor
  /// checked yet.
  std::filesystem::path library;
  std::optional<std::string> sha256;  // 64 lower case digits
  bool multi_instance = true;
  bool own_threads = false;
  std::uint32_t resident_threads = 0;
  std::vector<std::string> services_needed;
  std::vector<std::string> services_optional;
  /// All that it asks for, needed or not.
  std::vector<std::string> services() const;
  std::vector<Scheme> schemes;
  RequestedPermissions permissions;
  ConfigSchema config;
};

/// Keys of an instance that belong to the system manifest; no plugin's configuration has them.
const std::vector<std::string>& reserved_keys();

/// Reads manifests; holds the compiled schema of their format. One thread at a time.
class PluginManifestReader {
 public:
  PluginManifestReader();

  /// The file must pass TrustedFile::open and be named after its id. `plugin_folders`: where its
  /// library may be, besides the manifest's own folder. Blocks on the disk.
  std::optional<PluginManifest> load(const std::filesystem::path& file,
                                     const std::vector<std::filesystem::path>& plugin_folders,
                                     Diagnostics& diagnostics) const;

  /// Of a plugin that is linked in: `library` is refused. `name` stands for the file in
  /// diagnostics.
  std::optional<PluginManifest> parse(std::string_view text, const std::string& name,
                                      Diagnostics& diagnostics) const;

 private:
  std::optional<PluginManifest> read(const std::shared_ptr<const TomlDocument>& source,
                                     Diagnostics& diagnostics) const;

  ConfigSchema format_;
};

}  // namespace backplane::kernel
