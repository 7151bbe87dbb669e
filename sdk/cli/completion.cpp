// SPDX-License-Identifier: Apache-2.0
// backplane completion: a script for bash, made from the options that the command really has.
#include "commands.hpp"
#include "exit_code.hpp"

#include <CLI/CLI.hpp>

#include <iostream>

namespace backplane::cli {
namespace {

std::string words_of(const CLI::App& app) {
  std::string words;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    words += sub->get_name() + ' ';
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      words += "--" + name + ' ';
    }
  }
  return words;
}

void print_script(const CLI::App& app) {
  std::cout << "# bash completion for backplane; source it, or put it where bash-completion looks\n"
               "_backplane() {\n"
               "  local current=${COMP_WORDS[COMP_CWORD]} word words\n"
               "  words='"
            << words_of(app) << "'\n"
            << "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
               "    case $word in\n";
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    std::cout << "      " << sub->get_name() << ") words='" << words_of(*sub) << "'; break ;;\n";
  }
  std::cout << "    esac\n"
               "  done\n"
               "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
               "}\n"
               "complete -o default -F _backplane backplane\n";
}

}  // namespace

void add_completion(CLI::App& app, Commands& commands) {
  CLI::App* sub = app.add_subcommand("completion", "Print a completion script for bash");
  sub->footer(R"(Examples:
  source <(backplane completion)
  backplane completion >~/.local/share/bash-completion/completions/backplane)");
  sub->callback([&app, &commands] {
    commands.chosen = [&app] {
      print_script(app);
      return kDone;
    };
  });
}

}  // namespace backplane::cli
