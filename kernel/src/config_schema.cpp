// SPDX-License-Identifier: Apache-2.0
#include "config_schema.hpp"

#include "json_pointer.hpp"
#include "json_schema.hpp"
#include "native_key.hpp"
#include "schema_explainer.hpp"
#include "schema_parts.hpp"
#include "schema_source.hpp"
#include "toml_text.hpp"

#include <stdexcept>

namespace backplane::kernel {
namespace {

using nlohmann::json;

/// Walks a valid value along those parts of the schema that apply to it.
class Completion {
 public:
  Completion(SchemaParts& parts, CompletedConfig& result) : parts_(parts), result_(result) {}

  void apply(const json& schema, json& value, const std::string& pointer) {
    if (!schema.is_object()) return;
    if (value.is_string()) annotations(schema, value, pointer);
    // Chosen before defaults are filled in: the choice is the author's of the configuration.
    const std::vector<const json*> branches = branches_of(schema, value);
    if (value.is_object()) members(schema, value, pointer);
    if (value.is_array()) items(schema, value, pointer);
    for (const json* branch : branches) apply(*branch, value, pointer);
  }

 private:
  void annotations(const json& schema, const json& value, const std::string& pointer) {
    if (const auto found = schema.find("x-backplane-verbs"); found != schema.end()) {
      VerbMask verbs = 0;
      for (const json& name : *found) verbs |= bit(*verb_named(name.get_ref<const std::string&>()));
      AddressUse use{pointer, value.get<std::string>(), verbs};
      const auto placeholder = schema.find("x-backplane-placeholder");
      if (placeholder != schema.end()) {
        use.placeholder = use.address.find(placeholder->get_ref<const std::string&>());
      }
      result_.addresses.push_back(std::move(use));
    }
    if (schema.contains("x-backplane-credential")) {
      result_.credentials.push_back({pointer, value.get<std::string>()});
    }
    if (schema.contains("x-backplane-shared-memory")) {
      result_.shared_memory.push_back({pointer, value.get<std::string>()});
    }
  }

  std::vector<const json*> branches_of(const json& schema, const json& value) {
    std::vector<const json*> branches;
    if (const auto found = schema.find("allOf"); found != schema.end()) {
      for (const json& each : *found) branches.push_back(&each);
    }
    for (const char* keyword : {"anyOf", "oneOf"}) {
      const auto found = schema.find(keyword);
      if (found == schema.end()) continue;
      for (const json& each : *found) {
        if (parts_.accept(each, value)) branches.push_back(&each);
      }
    }
    if (const auto found = schema.find("if"); found != schema.end()) {
      const auto branch = schema.find(parts_.accept(*found, value) ? "then" : "else");
      if (branch != schema.end()) branches.push_back(&*branch);
    }
    if (const auto found = schema.find("dependencies");
        found != schema.end() && value.is_object()) {
      for (const auto& [key, each] : found->items()) {
        if (value.contains(key)) branches.push_back(&each);
      }
    }
    return branches;
  }

  void members(const json& schema, json& table, const std::string& pointer) {
    const auto properties = schema.find("properties");
    const bool has_properties = properties != schema.end();
    if (has_properties) {
      for (const auto& [key, property] : properties->items()) {
        if (property.is_object() && property.contains("default") && !table.contains(key)) {
          table[key] = property["default"];
        }
      }
    }
    const auto patterns = schema.find("patternProperties");
    const auto others = schema.find("additionalProperties");
    for (const auto& [key, value] : table.items()) {
      bool known = false;
      if (has_properties && properties->contains(key)) {
        known = true;
        apply((*properties)[key], value, member(pointer, key));
      }
      if (patterns != schema.end()) {
        for (const auto& [pattern, each] : patterns->items()) {
          if (!parts_.matches(pattern, key)) continue;
          known = true;
          apply(each, value, member(pointer, key));
        }
      }
      if (!known && others != schema.end()) apply(*others, value, member(pointer, key));
    }
  }

  void items(const json& schema, json& array, const std::string& pointer) {
    const auto found = schema.find("items");
    if (found == schema.end()) return;
    const auto others = schema.find("additionalItems");
    for (std::size_t i = 0; i < array.size(); ++i) {
      if (!found->is_array()) {
        apply(*found, array[i], item(pointer, i));
      } else if (i < found->size()) {
        apply((*found)[i], array[i], item(pointer, i));
      } else if (others != schema.end()) {
        apply(*others, array[i], item(pointer, i));
      }
    }
  }

  SchemaParts& parts_;
  CompletedConfig& result_;
};

}  // namespace

struct ConfigSchema::Compiled {
  bool compile(Diagnostics& diagnostics) {
    if (whole) return true;
    std::string why;
    whole = JsonSchema::compile(expanded.schema, why);
    if (!whole) diagnostics.error(source.key_at(""), "the schema is broken: " + why);
    return whole.has_value();
  }

  std::shared_ptr<const TomlDocument> document;
  DocumentTable source;
  ExpandedSchema expanded;
  bool is_checked = false;  // and has no mistakes
  std::optional<JsonSchema> whole = {};
  SchemaParts parts = {};  // knows `expanded` by address: Compiled never moves
};

namespace {

/// A default or an example that its own schema refuses would mislead whoever follows it.
void check_values(const json& schema, const std::string& pointer, const DocumentTable& source,
                  SchemaParts& parts, Diagnostics& diagnostics) {
  if (schema.is_array()) {
    for (std::size_t i = 0; i < schema.size(); ++i) {
      check_values(schema[i], item(pointer, i), source, parts, diagnostics);
    }
  }
  if (!schema.is_object()) return;
  const auto report = [&](const json& value, const std::string& where, const std::string& what) {
    for (const SchemaMistake& mistake : explain(schema, value, {}, parts)) {
      diagnostics.error(source.value_at(where),
                        what + " does not satisfy its own schema: " + mistake.message);
    }
  };
  for (const auto& [name, value] : schema.items()) {
    const std::string where = member(pointer, name);
    if (name == "default") {
      report(value, where, "the default");
    } else if (name == "examples" && value.is_array()) {
      for (std::size_t i = 0; i < value.size(); ++i)
        report(value[i], item(where, i), "the example");
    } else if (name == "properties" && value.is_object()) {
      for (const auto& [key, property] : value.items()) {
        check_values(property, member(where, key), source, parts, diagnostics);
      }
    } else if (name != "enum" && name != "const") {
      check_values(value, where, source, parts, diagnostics);
    }
  }
}

/// Writes each key as text_of() does. False: a mistake was reported.
bool read_keys(std::vector<SharedMemoryUse>& uses, const DocumentTable& source,
               Diagnostics& diagnostics) {
  bool is_good = true;
  for (SharedMemoryUse& use : uses) {
    std::string problem;
    const auto key = parse_key(use.key, problem);
    if (key && !is_supported(KeyUse::kSharedMemory, key->type)) {
      problem = "shared memory has no keys of this type here";
    }
    if (!problem.empty()) {
      diagnostics.error(source.value_at(use.pointer), "'" + use.key +
                                                          "' is no key of shared memory, such as "
                                                          "'anonymous:frames': " +
                                                          problem);
      is_good = false;
      continue;
    }
    use.key = text_of(*key);
  }
  return is_good;
}

}  // namespace

std::optional<ConfigSchema> ConfigSchema::read(std::shared_ptr<const TomlDocument> document,
                                               std::string base, Diagnostics& diagnostics) {
  const DocumentTable source{*document, std::move(base)};
  const json& schema = document->root().at(json::json_pointer(source.base));
  auto expanded = expand_schema(source, schema, diagnostics);
  if (!expanded) return std::nullopt;
  return ConfigSchema(
      std::make_unique<Compiled>(Compiled{std::move(document), source, std::move(*expanded)}));
}

ConfigSchema ConfigSchema::built_in(std::string_view toml, const std::string& name) {
  Diagnostics diagnostics;
  if (auto document = TomlDocument::parse(toml, name, {}, diagnostics)) {
    auto schema = read(std::make_shared<const TomlDocument>(std::move(*document)), "", diagnostics);
    if (schema) {
      schema->compiled_->is_checked = true;  // by the tests
      return std::move(*schema);
    }
  }
  throw std::logic_error(to_string(diagnostics.entries().front()));
}

bool ConfigSchema::check(Diagnostics& diagnostics) const {
  if (!compiled_->compile(diagnostics)) return false;
  const std::size_t before = diagnostics.error_count();
  check_values(compiled_->expanded.schema, "", compiled_->source, compiled_->parts, diagnostics);
  return diagnostics.error_count() == before;
}

std::optional<CompletedConfig> ConfigSchema::complete(const json& config,
                                                      const DocumentTable& source,
                                                      const std::vector<std::string>& reserved,
                                                      Diagnostics& diagnostics) const {
  if (!compiled_->is_checked) compiled_->is_checked = check(diagnostics);
  if (!compiled_->is_checked || !compiled_->compile(diagnostics)) return std::nullopt;
  const json& schema = compiled_->expanded.schema;
  if (!compiled_->whole->accepts(config)) {
    for (SchemaMistake& mistake : explain(schema, config, reserved, compiled_->parts)) {
      diagnostics.error(
          mistake.at_key ? source.key_at(mistake.pointer) : source.value_at(mistake.pointer),
          std::move(mistake.message));
    }
    return std::nullopt;
  }
  CompletedConfig result{config, {}, {}, {}};
  Completion(compiled_->parts, result).apply(schema, result.config, "");
  if (!read_keys(result.shared_memory, source, diagnostics)) return std::nullopt;
  return result;
}

bool ConfigSchema::has_property(const std::string& key) const {
  const json& schema = compiled_->expanded.schema;
  return schema.contains("properties") && schema["properties"].contains(key);
}

const std::vector<std::pair<std::string, VerbMask>>& ConfigSchema::marked_verbs() const {
  return compiled_->expanded.verbs;
}

ConfigSchema::ConfigSchema(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
ConfigSchema::ConfigSchema(ConfigSchema&&) noexcept = default;
ConfigSchema& ConfigSchema::operator=(ConfigSchema&&) noexcept = default;
ConfigSchema::~ConfigSchema() = default;

}  // namespace backplane::kernel
