// SPDX-License-Identifier: Apache-2.0
// Arbitrary bytes as a system manifest and as a plugin manifest: there is a result or a diagnostic,
// never both and never neither.
#include "plugin_catalogue.hpp"
#include "support/manifest_plugins.hpp"
#include "system_manifest.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace {

using namespace backplane::kernel;

void require(bool held, const char* what, const Diagnostics& diagnostics) {
  if (held) return;
  std::fprintf(stderr, "broken: %s\n", what);
  for (const Diagnostic& each : diagnostics.entries()) {
    std::fprintf(stderr, "  %s\n", to_string(each).c_str());
  }
  std::abort();
}

const PluginCatalogue& catalogue() {
  static const PluginCatalogue made = [] {
    PluginCatalogue plugins;
    Diagnostics diagnostics;
    for (const std::string_view text : backplane::test::kManifestPlugins) {
      plugins.add(text, "test plugins", diagnostics);
    }
    require(!diagnostics.has_errors(), "the test plugins are good", diagnostics);
    return plugins;
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Environment environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "UNSET") return std::nullopt;
    return name;
  };

  Diagnostics of_system;
  const auto system = SystemManifest::parse(text, "fuzz.toml", catalogue(), environment, of_system);
  require(system.has_value() == !of_system.has_errors(), "a system manifest or an error",
          of_system);
  if (system) {
    require(system->start_order.size() == system->instances.size(), "an order of all", of_system);
    for (const InstanceManifest& each : system->instances) {
      require(each.plugin != nullptr && each.config.is_object(), "a plugin and a configuration",
              of_system);
      (void)each.config.dump();  // throws on what is not UTF-8
    }
  }
  for (const Diagnostic& each : of_system.entries()) {
    require(!each.message.empty() && each.file == "fuzz.toml", "a message at its place", of_system);
  }

  static const PluginManifestReader reader;
  Diagnostics of_plugin;
  const auto plugin = reader.parse(text, "fuzz.toml", of_plugin);
  require(plugin.has_value() == !of_plugin.has_errors(), "a plugin manifest or an error",
          of_plugin);
  return 0;
}
