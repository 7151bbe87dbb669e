// SPDX-License-Identifier: Apache-2.0
// The subcommands, each in the file of its name. add_X() declares its options; when the command
// line asks for it, `chosen` becomes what main() runs, and that returns the exit code.
#pragma once

#include <functional>
#include <string>

namespace CLI {  // NOLINT(readability-identifier-naming): its library's choice
class App;
}

namespace backplane::cli {

struct Commands {
  std::string plugin_folders;    // empty: those of this installation
  std::string manifest_folders;  // likewise
  std::function<int()> chosen;
};

void add_run(CLI::App& app, Commands& commands);
void add_check(CLI::App& app, Commands& commands);
void add_plugins(CLI::App& app, Commands& commands);
void add_read(CLI::App& app, Commands& commands);
void add_write(CLI::App& app, Commands& commands);
void add_call(CLI::App& app, Commands& commands);
void add_watch(CLI::App& app, Commands& commands);
void add_browse(CLI::App& app, Commands& commands);
void add_cert(CLI::App& app, Commands& commands);
void add_key(CLI::App& app, Commands& commands);
void add_shm(CLI::App& app, Commands& commands);
void add_new(CLI::App& app, Commands& commands);
void add_validate(CLI::App& app, Commands& commands);
void add_demo(CLI::App& app, Commands& commands);
void add_completion(CLI::App& app, Commands& commands);

}  // namespace backplane::cli
