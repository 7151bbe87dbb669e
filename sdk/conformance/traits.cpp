// SPDX-License-Identifier: Apache-2.0
#include "traits.hpp"

#include <backplane/sdk/json.hpp>

#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace backplane::conformance {
namespace {

namespace fs = std::filesystem;

/// Reads one table; a key that nobody asked for is a mistake.
class Table {
 public:
  Table(const fs::path& file, const toml::table& table) : file_(file), table_(table) {}

  template <class... Parts>
  [[noreturn]] void fail(const toml::node& at, const Parts&... text) const {
    throw Error(BP_INVALID_ARGUMENT, file_.string(), ":", at.source().begin.line, ":",
                at.source().begin.column, ": error: ", text...);
  }
  template <class T>
  T get(std::string_view key, T otherwise, std::string_view expected) {
    const toml::node* node = take(key);
    if (node == nullptr) {
      return otherwise;
    }
    const auto value = node->value_exact<T>();
    if (!value) {
      fail(*node, "'", key, "': expected ", expected);
    }
    return *value;
  }
  const toml::array& list(std::string_view key) {
    static const toml::array empty;
    const toml::node* node = take(key);
    if (node == nullptr) {
      return empty;
    }
    if (!node->is_array()) {
      fail(*node, "'", key, "': expected a list of values");
    }
    return *node->as_array();
  }
  const toml::table* table(std::string_view key) {
    const toml::node* node = take(key);
    if (node != nullptr && !node->is_table()) {
      fail(*node, "'", key, "': expected a table");
    }
    return node != nullptr ? node->as_table() : nullptr;
  }
  std::vector<OwnedMessage> values(std::string_view key) {
    std::vector<OwnedMessage> out;
    for (const toml::node& item : list(key)) {
      out.push_back(value(item));
    }
    return out;
  }
  void require_nothing_else() const {
    for (const auto& [key, node] : table_) {
      if (std::find(asked_.begin(), asked_.end(), key.str()) == asked_.end()) {
        std::string known;
        for (const std::string_view name : asked_) {
          known += concat(known.empty() ? "" : ", ", name);
        }
        fail(node, "unknown key '", std::string_view(key.str()), "': there are ", known);
      }
    }
  }
  const toml::table& raw() const noexcept { return table_; }

 private:
  const toml::node* take(std::string_view key) {
    asked_.push_back(key);
    return table_.get(key);
  }
  OwnedMessage value(const toml::node& node) const {
    std::ostringstream text;
    text << toml::json_formatter{node};
    auto parsed = from_json(text.str());
    if (!parsed) {
      fail(node, parsed.status().message());
    }
    return *std::move(parsed);
  }

  const fs::path& file_;
  const toml::table& table_;
  std::vector<std::string_view> asked_;
};

Source source_of(Table& table) {
  const std::string word = table.get<std::string>("watch", "", R"("write" or "itself")");
  if (word.empty()) {
    return Source::kNone;
  }
  if (word == "write") {
    return Source::kWrite;
  }
  if (word == "itself") {
    return Source::kItself;
  }
  table.fail(*table.raw().get("watch"), "'watch': expected \"write\" or \"itself\", got \"", word,
             "\"");
}

EndpointTraits endpoint_of(const fs::path& file, const toml::node& node) {
  Table table(file, *node.as_table());
  EndpointTraits out;
  out.path = table.get<std::string>("path", "", "text");
  out.read = table.get<bool>("read", false, "true or false");
  out.writes = table.values("write");
  out.refuses = table.values("refuses");
  out.calls = table.values("call");
  out.watch = source_of(table);
  out.ack = table.get<bool>("ack", false, "true or false");
  table.require_nothing_else();
  if (!table.raw().contains("path")) {
    table.fail(node, "'path' is missing: the endpoint's, in the notation of the mechanism");
  }
  if (out.watch == Source::kWrite && out.writes.size() < 2) {
    table.fail(node, "'watch' = \"write\" needs two values in 'write', which differ");
  }
  return out;
}

bool has_instance(const toml::table& system, std::string_view name) {
  if (system["instances"][name].is_table()) {
    return true;
  }
  const toml::array* routes = system["routes"].as_array();
  return routes != nullptr &&
         std::any_of(routes->begin(), routes->end(), [&](const toml::node& route) {
           return route.is_table() && (*route.as_table())["name"] == name;
         });
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) {
    throw Error(BP_NOT_FOUND, file.string(), " cannot be read");
  }
  return text;
}

}  // namespace

uint32_t EndpointTraits::verbs() const noexcept {
  return (read ? BP_VERB_BIT(BP_V_READ) : 0) | (writes.empty() ? 0 : BP_VERB_BIT(BP_V_WRITE)) |
         (calls.empty() ? 0 : BP_VERB_BIT(BP_V_CALL)) |
         (watch == Source::kNone ? 0 : BP_VERB_BIT(BP_V_WATCH));
}

Traits Traits::load(const fs::path& file) {
  try {
    const toml::table all = toml::parse(text_of(file), file.string());
    Table table(file, all);
    Traits out;
    out.given = true;
    const std::string system = table.get<std::string>("system", "", "the name of a file");
    if (system.empty()) {
      table.fail(all, "'system' is missing: a system manifest, beside this file");
    }
    const fs::path system_file = file.parent_path() / system;
    out.system = text_of(system_file);
    const toml::table parsed = toml::parse(out.system, system_file.string());
    out.instance = table.get<std::string>("instance", out.instance, "the name of an instance");
    if (!has_instance(parsed, out.instance)) {
      table.fail(all, system, " has neither [instances.", out.instance,
                 "] nor a route of that name");
    }
    if (const toml::table* given = table.table("twin")) {
      toml::table twin = *given;
      twin.is_inline(false);  // else it would be written in braces
      std::ostringstream text;
      if (!twin.empty()) {
        text << toml::toml_formatter{twin, toml::format_flags::none};
      }
      text << '\n';
      out.twin = text.str();
    }
    for (const toml::node& node : table.list("endpoints")) {
      if (!node.is_table()) {
        table.fail(node, "expected [[endpoints]]");
      }
      out.endpoints.push_back(endpoint_of(file, node));
    }
    table.require_nothing_else();
    return out;
  } catch (const toml::parse_error& error) {
    const auto& path = error.source().path;
    throw Error(BP_INVALID_ARGUMENT, path ? *path : file.string(), ":", error.source().begin.line,
                ":", error.source().begin.column,
                ": error: ", std::string_view(error.description()));
  }
}

Traits Traits::of_defaults(std::string_view plugin) {
  Traits out;
  out.system = concat("[instances.it]\nplugin = \"", plugin, "\"\n");
  return out;
}

}  // namespace backplane::conformance
