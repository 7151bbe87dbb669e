// SPDX-License-Identifier: Apache-2.0
// A plugin's code: mapped once, never unmapped, compared with its manifest, its table normalised.
#pragma once

#include "backplane/plugin.h"
#include "plugin_manifest.hpp"

#include <memory>
#include <string>

namespace backplane::kernel {

class PluginLibrary {
 public:
  // Maps the manifest's library (checked: trusted file, sha256 when pinned) and asks its entry.
  // NULL: refused, with `problem` saying which library and why. Runs the library's initialisers and
  // its entry. [control]
  static std::unique_ptr<PluginLibrary> load(const PluginManifest& manifest,
                                             std::uint32_t offer_flags, std::string& problem);
  // The same for an entry that is linked in.
  static std::unique_ptr<PluginLibrary> link(const PluginManifest& manifest, bp_plugin_entry entry,
                                             std::uint32_t offer_flags, std::string& problem);

  // What this kernel lacks for a plugin, by its manifest alone. Empty: nothing.
  static std::string lack_for(const PluginManifest& manifest);

  // Complete: mandatory slots are there, `cancel` is a stub if the plugin has none.
  [[nodiscard]] const bp_plugin& plugin() const noexcept { return plugin_; }

 private:
  explicit PluginLibrary(const bp_plugin& plugin) : plugin_(plugin) {}
  bp_plugin plugin_;
};

}  // namespace backplane::kernel
