// SPDX-License-Identifier: Apache-2.0
#include "exit_code.hpp"
#include "peek.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace backplane::cli {
namespace {

namespace fs = std::filesystem;

/// The manifest, then FILE.d/*.toml by name: what the kernel reads, in its order.
std::vector<fs::path> files_of(const fs::path& file) {
  std::vector<fs::path> files;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(file.string() + ".d", none)) {
    if (entry.path().extension() == ".toml") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  files.insert(files.begin(), file);
  return files;
}

/// Tables key by key; anything else of the later file replaces the earlier.
void merge(const toml::table& from, toml::table& into) {
  for (const auto& [key, node] : from) {
    toml::table* place = into[key.str()].as_table();
    if (place != nullptr && node.is_table()) {
      merge(*node.as_table(), *place);
    } else {
      into.insert_or_assign(key.str(), node);
    }
  }
}

}  // namespace

std::string manifest_of_instance(const std::string& file, const std::string& instance) {
  toml::table all;
  for (const fs::path& path : files_of(file)) {
    try {
      merge(toml::parse_file(path.string()), all);
    } catch (const toml::parse_error& error) {
      throw Peek::Stop{concat(path.string(), ": ", std::string_view(error.description())),
                       kRefused};
    }
  }
  const toml::table* declared = all["instances"][instance].as_table();
  if (declared == nullptr) {
    std::string names;
    if (const toml::table* instances = all["instances"].as_table()) {
      for (const auto& [name, node] : *instances) {
        names += concat(names.empty() ? "" : ", ", std::string_view(name.str()));
      }
    }
    throw Peek::Stop{concat(file, " has no instance '", instance, "'; it has ", names), kUsage};
  }
  toml::table alone = *declared;
  alone.erase("after");
  toml::table out;
  for (const char* key : {"system", "credentials"}) {
    if (const toml::table* table = all[key].as_table()) {
      out.insert(key, *table);
    }
  }
  // So that its plugins know that the running system may be there too, and take nothing from it.
  toml::table& system = *out.insert("system", toml::table()).first->second.as_table();
  system.insert_or_assign("name", concat("look://", system["name"].value_or("")));
  out.insert("instances", toml::table{{instance, alone}});
  std::ostringstream text;
  text << toml::toml_formatter{out, toml::format_flags::none};
  return text.str();
}

}  // namespace backplane::cli
