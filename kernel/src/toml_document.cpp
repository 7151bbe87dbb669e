// SPDX-License-Identifier: Apache-2.0
#include "toml_document.hpp"

#include "json_pointer.hpp"
#include "trusted_file.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <system_error>
#include <utility>

namespace backplane::kernel {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kLongestKey = 256;
constexpr std::size_t kDeepest = 32;
// The parser recurses once for each part of a dotted key and has no limit of its own there; its
// limit for values is 256.
constexpr std::ptrdiff_t kMostDotsInALine = 1024;

bool is_name_start(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; }
bool is_name_char(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

struct Substituted {
  std::string text;
  bool from_environment = false;
  std::string why;  // empty: it went well
};

Substituted substitute(std::string_view raw, const Environment& environment) {
  Substituted result;
  while (!raw.empty()) {
    const std::size_t start = raw.find('$');
    result.text += raw.substr(0, start);
    if (start == std::string_view::npos) break;
    raw.remove_prefix(start);
    if (raw.substr(0, 3) == "$${") {
      result.text += "${";
      raw.remove_prefix(3);
      continue;
    }
    if (raw.substr(0, 2) != "${") {
      result.text += '$';
      raw.remove_prefix(1);
      continue;
    }
    const std::size_t end = raw.find('}');
    const std::string_view inside =
        raw.substr(2, end == std::string_view::npos ? std::string_view::npos : end - 2);
    const auto name_end = std::find_if_not(inside.begin(), inside.end(), is_name_char);
    const std::string name(inside.begin(), name_end);
    const std::string_view after = inside.substr(name.size());
    const bool has_default = after.substr(0, 2) == ":-";
    if (end == std::string_view::npos || name.empty() || !is_name_start(name.front()) ||
        !(after.empty() || has_default)) {
      result.why = "expected ${NAME} or ${NAME:-default}; a plain '${' is written '$${'";
      return result;
    }
    const auto value = environment(name);
    if (value && !(has_default && value->empty())) {
      result.text += *value;
      result.from_environment = true;
    } else if (has_default) {
      result.text += after.substr(2);
    } else {
      result.why = "environment variable '" + name + "' is not set; set it, or give a default: ${" +
                   name + ":-default}";
      return result;
    }
    raw.remove_prefix(end + 1);
  }
  return result;
}

bool is_utf8(const std::string& text) {
  try {
    (void)json(text).dump();  // refuses what is not
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

bool has_too_many_dots(std::string_view text, int& line) {
  for (line = 1; !text.empty(); ++line) {
    const std::string_view row = text.substr(0, text.find('\n'));
    if (std::count(row.begin(), row.end(), '.') > kMostDotsInALine) return true;
    text.remove_prefix(std::min(text.size(), row.size() + 1));
  }
  return false;
}

/// The parser quotes numbers that it cannot take, and a number may be somebody's unquoted password.
std::string without_values(std::string_view description) {
  std::string text(description);
  for (const std::string_view marker : {"' is not representable", "' could not be interpreted"}) {
    const std::size_t end = text.find(marker);
    if (end == std::string::npos) continue;
    const std::size_t start = text.rfind('\'', end - 1);
    if (start != std::string::npos) text.replace(start, end + 1 - start, "the value");
  }
  if (const std::size_t at = text.find("trying to interpret '"); at != std::string::npos) {
    text.erase(at + std::string_view("trying to interpret").size());
  }
  return text;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

/// Takes one parsed file into the document.
class TomlDocument::Reader {
 public:
  Reader(TomlDocument& document, const Environment& environment, Diagnostics& diagnostics)
      : document_(document),
        environment_(environment),
        diagnostics_(diagnostics),
        file_(static_cast<std::uint32_t>(document.files_.size() - 1)) {}

  void merge(const toml::table& table, json& into, const std::string& pointer) {
    for (const auto& [key, node] : table) {
      const std::string where = member(pointer, key.str());
      if (!is_fit(key, where, node)) continue;
      json& place = into[std::string(key.str())];
      if (node.is_table() && place.is_object()) {
        merge(*node.as_table(), place, where);
      } else if (where == "/routes" && node.is_array() && place.is_array()) {
        for (const toml::node& element : *node.as_array()) append(element, place, where);
      } else {
        mark(where, node, &key);
        place = value(node, where);
      }
    }
  }

 private:
  bool is_fit(const toml::key& key, const std::string& where, const toml::node& node) {
    const bool too_deep =
        std::count(where.begin(), where.end(), '/') > static_cast<std::ptrdiff_t>(kDeepest);
    if (!too_deep && key.str().size() <= kLongestKey) return true;
    const auto& at = key.source().begin ? key.source().begin : node.source().begin;
    diagnostics_.error(
        {document_.files_[file_].name, static_cast<int>(at.line), static_cast<int>(at.column)},
        too_deep ? "tables are nested deeper than " + std::to_string(kDeepest) + " levels"
                 : "a key may have " + std::to_string(kLongestKey) + " bytes at most");
    return false;
  }

  void append(const toml::node& node, json& array, const std::string& pointer) {
    const std::string where = item(pointer, array.size());
    mark(where, node, nullptr);
    array.push_back(value(node, where));
  }

  json value(const toml::node& node, const std::string& pointer) {
    if (const toml::table* table = node.as_table()) {
      json object = json::object();
      merge(*table, object, pointer);
      return object;
    }
    if (const toml::array* array = node.as_array()) {
      json items = json::array();
      if (std::count(pointer.begin(), pointer.end(), '/') > static_cast<std::ptrdiff_t>(kDeepest)) {
        diagnostics_.error(document_.value_at(pointer),
                           "arrays are nested deeper than " + std::to_string(kDeepest) + " levels");
        return items;
      }
      for (const toml::node& element : *array) append(element, items, pointer);
      return items;
    }
    if (const auto* text = node.as_string()) return string(text->get(), pointer);
    if (const auto* number = node.as_integer()) return number->get();
    if (const auto* flag = node.as_boolean()) return flag->get();
    if (const auto* number = node.as_floating_point()) {
      if (std::isfinite(number->get())) return number->get();
      diagnostics_.error(document_.value_at(pointer),
                         "nan and inf are not taken, expected a number");
      return 0.0;
    }
    std::ostringstream text;
    if (const auto* date = node.as_date()) text << date->get();
    if (const auto* time = node.as_time()) text << time->get();
    if (const auto* both = node.as_date_time()) text << both->get();
    return text.str();
  }

  json string(const std::string& raw, const std::string& pointer) {
    if (raw.find('\0') != std::string::npos) {
      diagnostics_.error(document_.value_at(pointer),
                         "a string may not hold the character \\u0000");
    }
    if (!environment_ || raw.find("${") == std::string::npos) return raw;
    Substituted result = substitute(raw, environment_);
    if (result.why.empty() && !is_utf8(result.text)) {
      result = {"", false, "an environment variable in it is not UTF-8"};
    }
    if (!result.why.empty()) diagnostics_.error(document_.value_at(pointer), result.why);
    document_.marks_[pointer].substituted = result.from_environment;
    return std::move(result.text);
  }

  void mark(const std::string& pointer, const toml::node& node, const toml::key* key) {
    Mark& mark = document_.marks_[pointer];
    const toml::source_position at = node.source().begin;
    const toml::source_position key_at =
        key != nullptr && key->source().begin ? key->source().begin : at;
    mark = {file_, false, key_at.line, key_at.column, at.line, at.column};
  }

  TomlDocument& document_;
  const Environment& environment_;
  Diagnostics& diagnostics_;
  std::uint32_t file_;
};

TomlDocument::TomlDocument(std::string file) : files_{{std::move(file), false}} {
  marks_.emplace("", Mark{});
}

std::optional<TomlDocument> TomlDocument::parse(std::string_view text, std::string file,
                                                const Environment& environment,
                                                Diagnostics& diagnostics) {
  TomlDocument document{file};
  document.files_.clear();
  const std::size_t before = diagnostics.error_count();
  document.add(text, {std::move(file), false}, environment, diagnostics);
  if (diagnostics.error_count() != before) return std::nullopt;
  return document;
}

std::optional<TomlDocument> TomlDocument::load(const fs::path& file, const Environment& environment,
                                               Diagnostics& diagnostics) {
  TomlDocument document{file.string()};
  document.files_.clear();
  const std::size_t before = diagnostics.error_count();
  document.add_file(file, environment, diagnostics);
  if (diagnostics.error_count() != before) return std::nullopt;
  return document;
}

std::optional<TomlDocument> TomlDocument::load_with_drop_ins(const fs::path& file,
                                                             const Environment& environment,
                                                             Diagnostics& diagnostics) {
  std::vector<fs::path> files;
  const fs::path folder = file.string() + ".d";
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".toml") files.push_back(entry->path());
    if (files.size() > kMostDropIns) {
      diagnostics.error({folder.string(), 0, 0}, "has more than " + std::to_string(kMostDropIns) +
                                                     " files, the most that are read");
      return std::nullopt;
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    diagnostics.error({folder.string(), 0, 0},
                      "cannot read the drop-in folder: " + error.message());
    return std::nullopt;
  }
  std::sort(files.begin(), files.end());
  files.insert(files.begin(), file);

  TomlDocument document{file.string()};
  document.files_.clear();
  Diagnostics found;
  for (const fs::path& each : files) {
    Diagnostics of_this_file;
    if (!document.add_file(each, environment, of_this_file)) {
      diagnostics.append(of_this_file);  // what cannot be read or parsed is reported alone
      return std::nullopt;
    }
    found.append(of_this_file);
  }
  diagnostics.append(found);
  if (found.has_errors()) return std::nullopt;
  return document;
}

bool TomlDocument::add_file(const fs::path& file, const Environment& environment,
                            Diagnostics& diagnostics) {
  const auto opened = TrustedFile::open(file, diagnostics);
  if (!opened) return false;
  const auto text = opened->read(kMostBytes, diagnostics);
  return text &&
         add(*text, {file.string(), opened->everybody_can_read()}, environment, diagnostics);
}

bool TomlDocument::add(std::string_view text, File file, const Environment& environment,
                       Diagnostics& diagnostics) {
  files_.push_back(std::move(file));
  int line = 0;
  if (has_too_many_dots(text, line)) {
    diagnostics.error(
        {files_.back().name, line, 1},
        "syntax: more than " + std::to_string(kMostDotsInALine) + " dots in one line; break it");
    return false;
  }
  marks_[""] = {0, false, 1, 1, 1, 1};
  try {
    const toml::table table = toml::parse(text);
    Reader(*this, environment, diagnostics).merge(table, root_, "");
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    diagnostics.error({files_.back().name, static_cast<int>(at.line), static_cast<int>(at.column)},
                      "syntax: " + without_values(error.description()));
    return false;
  }
  return true;
}

const TomlDocument::Mark& TomlDocument::mark_of(std::string_view pointer) const {
  for (;;) {
    const auto found = marks_.find(std::string(pointer));
    if (found != marks_.end()) return found->second;
    pointer = pointer.substr(0, pointer.rfind('/'));  // ends at "", which is always there
  }
}

SourcePosition TomlDocument::value_at(std::string_view pointer) const {
  const Mark& mark = mark_of(pointer);
  return {files_[mark.file].name, static_cast<int>(mark.line), static_cast<int>(mark.column)};
}

SourcePosition TomlDocument::key_at(std::string_view pointer) const {
  const Mark& mark = mark_of(pointer);
  return {files_[mark.file].name, static_cast<int>(mark.key_line),
          static_cast<int>(mark.key_column)};
}

std::uint64_t TomlDocument::order_of(std::string_view pointer) const {
  const Mark& mark = mark_of(pointer);
  return (std::uint64_t{mark.file} << 48U) | (std::uint64_t{mark.key_line} << 20U) |
         mark.key_column;
}

bool TomlDocument::is_public_text(std::string_view pointer) const {
  const Mark& mark = mark_of(pointer);
  return files_[mark.file].everybody_can_read && !mark.substituted;
}

}  // namespace backplane::kernel
