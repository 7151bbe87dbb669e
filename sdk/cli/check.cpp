// SPDX-License-Identifier: Apache-2.0
#include "commands.hpp"
#include "diagnostics.hpp"
#include "exit_code.hpp"
#include "kernel_options.hpp"

#include <CLI/CLI.hpp>

namespace backplane::cli {

void add_check(CLI::App& app, Commands& commands) {
  auto file = std::make_shared<std::string>();
  CLI::App* sub = app.add_subcommand("check", "Say what is wrong with a manifest; start nothing");
  sub->add_option("file", *file, "The system manifest; its drop-in folder is FILE.d")
      ->type_name("FILE")
      ->required();
  sub->footer(R"(Examples:
  backplane check plant.toml
  backplane check plant.toml && systemctl restart plant

All mistakes are printed on standard error as FILE:LINE:COL: error: TEXT. Exit code 0: there is none;
1: there are, and `run` would start nothing.)");
  sub->callback([file, &commands] {
    commands.chosen = [file, &commands] {
      Kernel kernel = Kernel::create(kernel_options(commands)).value();
      if (!load_and_print(kernel, *file)) {
        return kRefused;
      }
      std::cout << *file << ": ok\n";
      return kDone;
    };
  });
}

}  // namespace backplane::cli
