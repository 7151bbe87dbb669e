// SPDX-License-Identifier: Apache-2.0
#include "commands.hpp"
#include "exit_code.hpp"
#include "kernel_options.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iomanip>
#include <iostream>

namespace backplane::cli {
namespace {

void print_table(const std::vector<PluginInfo>& plugins) {
  size_t id = 2;
  size_t version = 7;
  size_t schemes = 7;
  for (const PluginInfo& plugin : plugins) {
    id = std::max(id, plugin.id.size());
    version = std::max(version, plugin.version.size());
    schemes = std::max(schemes, plugin.schemes.size());
  }
  const auto row = [&](const std::string& a, const std::string& b, const std::string& c,
                       const std::string& d) {
    const auto width = [](size_t n) { return std::setw(static_cast<int>(n) + 2); };
    std::cout << std::left << width(id) << a << width(version) << b << width(schemes) << c << d
              << '\n';
  };
  row("ID", "VERSION", "SCHEMES", "DESCRIPTION");
  for (const PluginInfo& plugin : plugins) {
    row(plugin.id, plugin.version, plugin.schemes.empty() ? "-" : plugin.schemes,
        plugin.description);
  }
}

void print_json(const std::vector<PluginInfo>& plugins) {
  for (const PluginInfo& plugin : plugins) {
    const nlohmann::ordered_json line = {
        {"id", plugin.id},           {"version", plugin.version},
        {"schemes", plugin.schemes}, {"description", plugin.description},
        {"library", plugin.library}, {"manifest", plugin.manifest}};
    std::cout << line.dump() << '\n';
  }
}

}  // namespace

void add_plugins(CLI::App& app, Commands& commands) {
  auto json = std::make_shared<bool>(false);
  CLI::App* sub = app.add_subcommand("plugins", "List the plugins that there are");
  sub->add_flag("--json", *json, "A line of JSON a plugin, with its files");
  sub->footer(R"(Examples:
  backplane plugins
  backplane plugins --json
  backplane --plugins build/plugins --plugin-manifests build/manifests plugins

It reads manifests only: no plugin's code is loaded.)");
  sub->callback([json, &commands] {
    commands.chosen = [json, &commands] {
      const Kernel kernel = Kernel::create(kernel_options(commands)).value();
      *json ? print_json(kernel.plugins()) : print_table(kernel.plugins());
      return kDone;
    };
  });
}

}  // namespace backplane::cli
