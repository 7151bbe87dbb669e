// SPDX-License-Identifier: Apache-2.0
// backplane new plugin: a folder that builds, from the templates that come with the command.
#include "commands.hpp"
#include "exit_code.hpp"
#include "shared_files.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <fstream>
#include <iostream>

namespace backplane::cli {
namespace {

namespace fs = std::filesystem;

struct NewPlugin {
  std::string name;
  std::string language = "cpp";
  fs::path folder;  // empty: the name
};

/// An id of a plugin manifest.
std::string require_id(const std::string& name) {
  const bool good = !name.empty() && name.size() <= 32 && name[0] >= 'a' && name[0] <= 'z' &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
                    });
  return good ? std::string()
              : "expected lower case letters, digits and '_', the first a letter, 32 at most: "
                "modbus_rtu";
}

/// modbus_rtu: ModbusRtu.
std::string type_name(std::string_view id) {
  std::string out;
  bool upper = true;
  for (const char c : id) {
    if (c == '_') {
      upper = true;
    } else {
      out += upper && c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
      upper = false;
    }
  }
  return out;
}

/// The templates are a plugin of their own, my_plugin.
std::string renamed(std::string text, std::string_view id) {
  const std::string type = type_name(id);
  const auto replace = [&text](std::string_view word, std::string_view with) {
    for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + with.size())) {
      text.replace(at, word.size(), with);
    }
  };
  replace("my_plugin", id);
  replace("MyPlugin", type);
  return text;
}

/// Their names, relative to `to`.
std::vector<std::string> copy_renamed(const fs::path& from, const fs::path& to,
                                      std::string_view id) {
  std::vector<std::string> made;
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    if (!entry.is_regular_file()) {
      continue;
    }
    const std::string name = renamed(entry.path().lexically_relative(from).string(), id);
    std::ifstream in(entry.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    fs::create_directories((to / name).parent_path());
    std::ofstream out(to / name);
    out << renamed(text, id) << std::flush;
    if (!in || !out) {
      throw Error(BP_UNKNOWN, "could not write ", (to / name).string(), " from ",
                  entry.path().string());
    }
    made.push_back(name);
  }
  return made;
}

int make(const NewPlugin& plugin) {
  fs::path folder = plugin.folder.empty() ? fs::path(plugin.name) : plugin.folder;
  if (!folder.has_filename()) {  // src/modbus/
    folder = folder.parent_path();
  }
  if (fs::exists(folder)) {
    throw Error(BP_ALREADY_EXISTS, folder.string(),
                " exists already, and nothing was written: choose another name or --folder");
  }
  // Under another name first: what stands under its own is whole.
  fs::path unfinished = folder;
  unfinished += ".unfinished";
  if (fs::exists(unfinished)) {
    throw Error(BP_ALREADY_EXISTS, unfinished.string(), " is left of an earlier try: remove it");
  }
  std::vector<std::string> made = copy_renamed(
      shared_folder("templates") / "plugin" / plugin.language, unfinished, plugin.name);
  fs::rename(unfinished, folder);

  std::sort(made.begin(), made.end());
  for (const std::string& name : made) {
    std::cout << (folder / name).string() << '\n';
  }
  std::cerr << "Next: cd " << folder.string()
            << " && cmake -B build && cmake --build build && ctest --test-dir build\n";
  return kDone;
}

}  // namespace

void add_new(CLI::App& app, Commands& commands) {
  CLI::App* sub = app.add_subcommand("new", "Begin a plugin of your own");
  sub->require_subcommand(1);
  auto plugin = std::make_shared<NewPlugin>();
  CLI::App* kind = sub->add_subcommand("plugin", "Write a folder with a plugin that works");
  kind->add_option("name", plugin->name, "Its id: lower case letters, digits, _")
      ->type_name("NAME")
      ->check(CLI::Validator(require_id, "", "an id"))
      ->required();
  kind->add_option("--lang", plugin->language, "c or cpp")
      ->capture_default_str()
      ->type_name("LANGUAGE")
      ->check(CLI::IsMember({"c", "cpp"}));
  kind->add_option("--folder", plugin->folder, "Where; NAME if it is not given")
      ->type_name("FOLDER");
  kind->footer(R"(Examples:
  backplane new plugin modbus
  backplane new plugin modbus --lang c --folder ~/src/modbus

It builds against the installed package (libbackplane-dev), and has tests.)");
  kind->callback([plugin, &commands] { commands.chosen = [plugin] { return make(*plugin); }; });
}

}  // namespace backplane::cli
