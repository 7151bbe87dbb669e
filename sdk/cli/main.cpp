// SPDX-License-Identifier: Apache-2.0
// backplane: what a person or a script does with a system of instances and routes.
#include "commands.hpp"
#include "exit_code.hpp"
#include <backplane/kernel.h>

#include <CLI/CLI.hpp>

#include <exception>
#include <iostream>

namespace {

constexpr const char* kExamples = R"(Examples:
  backplane check plant.toml
  backplane run plant.toml
  backplane read coap://127.0.0.1/line1/temperature
  backplane watch --count 3 'mqtt://127.0.0.1/plant/#'
  backplane demo --seconds 20

Addresses: scheme://authority/path is a URL; name:path is an instance of the manifest given with -m.
Exit codes: 0 done, 1 errors found or refused by the peer, 2 usage, 3 unavailable or timed out.)";

}  // namespace

int main(int argc, char** argv) {
  using namespace backplane;
  using namespace backplane::cli;

  CLI::App app("One small kernel for inter-process communication, with every mechanism a plugin");
  app.name("backplane");
  app.footer(kExamples);
  app.set_version_flag("--version", "backplane " + std::string(to_view(bp_kernel_version())));
  app.require_subcommand(1);
  app.fallthrough();

  Commands commands;
  app.add_option("--plugins", commands.plugin_folders, "Folders of plugin libraries, a:b")
      ->type_name("FOLDERS");
  app.add_option("--plugin-manifests", commands.manifest_folders, "Folders of their manifests, a:b")
      ->type_name("FOLDERS");
  add_run(app, commands);
  add_check(app, commands);
  add_plugins(app, commands);
  add_read(app, commands);
  add_write(app, commands);
  add_call(app, commands);
  add_watch(app, commands);
  add_browse(app, commands);
  add_cert(app, commands);
  add_key(app, commands);
  add_shm(app, commands);
  add_new(app, commands);
  add_validate(app, commands);
  add_demo(app, commands);
  add_completion(app, commands);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  try {
    return commands.chosen();
  } catch (const Error& error) {
    std::cerr << "backplane: error: " << error.what() << '\n';
    return exit_code(error.status());
  } catch (const std::exception& error) {
    std::cerr << "backplane: error: " << error.what() << '\n';
    return kRefused;
  }
}
