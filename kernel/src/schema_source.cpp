// SPDX-License-Identifier: Apache-2.0
#include "schema_source.hpp"

#include "did_you_mean.hpp"
#include "json_pointer.hpp"
#include "toml_text.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace backplane::kernel {
namespace {

using nlohmann::json;

constexpr std::size_t kMostNodes = 20000;  // after expansion
constexpr std::string_view kDefinitions = "#/definitions/";

/// What the value of a keyword must be.
enum class Shape {
  kAny,
  kString,
  kBoolean,
  kNumber,
  kCount,
  kStrings,
  kArray,
  kSchema,
  kSchemas,
  kSchemaTable,
  kItems,
  kTypes,
  kDependencies,
  kVerbs,
  kText,
  kMark
};

struct Keyword {
  const char* name;
  Shape shape;
};

constexpr std::array kKeywords{
    Keyword{"$comment", Shape::kString},
    Keyword{"$ref", Shape::kString},
    Keyword{"additionalItems", Shape::kSchema},
    Keyword{"additionalProperties", Shape::kSchema},
    Keyword{"allOf", Shape::kSchemas},
    Keyword{"anyOf", Shape::kSchemas},
    Keyword{"const", Shape::kAny},
    Keyword{"contains", Shape::kSchema},
    Keyword{"default", Shape::kAny},
    Keyword{"definitions", Shape::kSchemaTable},
    Keyword{"dependencies", Shape::kDependencies},
    Keyword{"description", Shape::kString},
    Keyword{"else", Shape::kSchema},
    Keyword{"enum", Shape::kArray},
    Keyword{"examples", Shape::kArray},
    Keyword{"exclusiveMaximum", Shape::kNumber},
    Keyword{"exclusiveMinimum", Shape::kNumber},
    Keyword{"if", Shape::kSchema},
    Keyword{"items", Shape::kItems},
    Keyword{"maxItems", Shape::kCount},
    Keyword{"maxLength", Shape::kCount},
    Keyword{"maxProperties", Shape::kCount},
    Keyword{"maximum", Shape::kNumber},
    Keyword{"minItems", Shape::kCount},
    Keyword{"minLength", Shape::kCount},
    Keyword{"minProperties", Shape::kCount},
    Keyword{"minimum", Shape::kNumber},
    Keyword{"multipleOf", Shape::kNumber},
    Keyword{"not", Shape::kSchema},
    Keyword{"oneOf", Shape::kSchemas},
    Keyword{"pattern", Shape::kString},
    Keyword{"patternProperties", Shape::kSchemaTable},
    Keyword{"properties", Shape::kSchemaTable},
    Keyword{"propertyNames", Shape::kSchema},
    Keyword{"required", Shape::kStrings},
    Keyword{"then", Shape::kSchema},
    Keyword{"title", Shape::kString},
    Keyword{"type", Shape::kTypes},
    Keyword{"uniqueItems", Shape::kBoolean},
    Keyword{"x-backplane-credential", Shape::kMark},
    Keyword{"x-backplane-placeholder", Shape::kText},
    Keyword{"x-backplane-shared-memory", Shape::kMark},
    Keyword{"x-backplane-verbs", Shape::kVerbs},
};

const Keyword* keyword_named(const std::string& name) {
  const auto found = std::find_if(kKeywords.begin(), kKeywords.end(),
                                  [&](const Keyword& each) { return name == each.name; });
  return found == kKeywords.end() ? nullptr : &*found;
}

const std::vector<std::string>& type_names() {
  static const std::vector<std::string> names{"string",  "integer", "number",
                                              "boolean", "array",   "object"};
  return names;
}

bool all_strings(const json& value) {
  return value.is_array() &&
         std::all_of(value.begin(), value.end(), [](const json& each) { return each.is_string(); });
}

/// A subschema of these describes a value of its own; one of `allOf` and the like describes a value
/// that another schema describes too.
bool describes_whole_value(std::string_view keyword) {
  return keyword == "properties" || keyword == "patternProperties" ||
         keyword == "additionalProperties" || keyword == "items" || keyword == "additionalItems";
}

/// As the author wrote it, definitions included: each mistake is reported once.
class Check {
 public:
  Check(const DocumentTable& source, Diagnostics& diagnostics, ExpandedSchema& result)
      : source_(source), diagnostics_(diagnostics), result_(result) {}

  void root(const json& schema) {
    if (!schema.is_object() || schema.value("type", json()) != "object") {
      at_key("", "a configuration is a table: expected type = \"object\"");
      return;
    }
    this->schema(schema, "", true);
  }

 private:
  void schema(const json& schema, const std::string& pointer, bool whole_value) {
    if (schema.is_boolean()) return;
    if (!schema.is_object()) {
      diagnostics_.error(
          source_.value_at(pointer),
          "expected a schema (a table, true or false), found " + kind_in_words(schema));
      return;
    }
    for (const auto& [name, value] : schema.items()) {
      const std::string where = member(pointer, name);
      const Keyword* known = keyword_named(name);
      if (known == nullptr) {
        at_key(where, unknown_word("schema keyword", name, keyword_names()));
      } else {
        keyword(*known, value, where);
      }
    }
    if (schema.contains("$ref") && schema.size() > 1) {
      at_key(member(pointer, "$ref"), "$ref stands alone: what stands beside it would be ignored");
    }
    if (schema.contains("x-backplane-placeholder") && !schema.contains("x-backplane-verbs")) {
      at_key(member(pointer, "x-backplane-placeholder"),
             "x-backplane-placeholder stands beside x-backplane-verbs: without them it grants "
             "nothing");
    }
    properties(schema, pointer, whole_value);
  }

  void properties(const json& schema, const std::string& pointer, bool whole_value) {
    const auto found = schema.find("properties");
    if (found == schema.end() || !found->is_object()) return;
    if (whole_value && !schema.contains("additionalProperties")) {
      at_key(pointer, "says nothing about unknown keys: add additionalProperties = false");
    }
    if (!whole_value || !schema.contains("required") || !all_strings(schema["required"])) return;
    std::vector<std::string> names;
    for (const auto& property : found->items()) names.push_back(property.key());
    const json& required = schema["required"];
    for (std::size_t i = 0; i < required.size(); ++i) {
      const auto& name = required[i].get_ref<const std::string&>();
      if (found->contains(name)) continue;
      diagnostics_.error(source_.value_at(item(member(pointer, "required"), i)),
                         unknown_word("property", name, names));
    }
  }

  void keyword(const Keyword& keyword, const json& value, const std::string& pointer) {
    switch (keyword.shape) {
      case Shape::kAny:
        return;
      case Shape::kString:
        return expect(value.is_string(), keyword, "a string", value, pointer);
      case Shape::kText:
        return expect(value.is_string() && !value.get_ref<const std::string&>().empty(), keyword,
                      "a text that is not empty", value, pointer);
      case Shape::kBoolean:
        return expect(value.is_boolean(), keyword, "true or false", value, pointer);
      case Shape::kNumber:
        return expect(value.is_number(), keyword, "a number", value, pointer);
      case Shape::kCount:
        return expect(value.is_number_integer() && value >= 0, keyword, "a count of 0 or more",
                      value, pointer);
      case Shape::kStrings:
        return expect(all_strings(value), keyword, "an array of strings", value, pointer);
      case Shape::kArray:
        return expect(value.is_array() && !value.empty(), keyword, "an array with an item or more",
                      value, pointer);
      case Shape::kMark:
        return expect(value == true, keyword, "true", value, pointer);
      case Shape::kSchema:
        return schema(value, pointer, describes_whole_value(keyword.name));
      case Shape::kItems:
        if (!value.is_array()) return schema(value, pointer, true);
        [[fallthrough]];
      case Shape::kSchemas:
        expect(value.is_array() && !value.empty(), keyword, "an array of schemas", value, pointer);
        for (std::size_t i = 0; value.is_array() && i < value.size(); ++i) {
          schema(value[i], item(pointer, i), keyword.shape == Shape::kItems);
        }
        return;
      case Shape::kSchemaTable:
        expect(value.is_object(), keyword, "a table of schemas", value, pointer);
        for (const auto& [name, each] : value.items()) {
          if (value.is_object())
            schema(each, member(pointer, name), describes_whole_value(keyword.name));
        }
        return;
      case Shape::kDependencies:
        expect(value.is_object(), keyword, "a table", value, pointer);
        for (const auto& [name, each] : value.items()) {
          if (value.is_object() && !all_strings(each)) schema(each, member(pointer, name), false);
        }
        return;
      case Shape::kTypes:
        return types(keyword, value, pointer);
      case Shape::kVerbs:
        return verbs(keyword, value, pointer);
    }
  }

  void types(const Keyword& keyword, const json& value, const std::string& pointer) {
    const json names = value.is_string() ? json::array({value}) : value;
    if (!all_strings(names) || names.empty()) {
      return expect(false, keyword, "the name of a type, or several", value, pointer);
    }
    for (const json& name : names) {
      const auto& known = type_names();
      const auto& text = name.get_ref<const std::string&>();
      if (std::find(known.begin(), known.end(), text) == known.end()) {
        diagnostics_.error(source_.value_at(pointer), unknown_word("type", text, known));
      }
    }
  }

  void verbs(const Keyword& keyword, const json& value, const std::string& pointer) {
    if (!all_strings(value) || value.empty()) {
      return expect(false, keyword, "an array of verbs", value, pointer);
    }
    VerbMask mask = 0;
    for (std::size_t i = 0; i < value.size(); ++i) {
      const auto& name = value[i].get_ref<const std::string&>();
      if (const auto verb = verb_named(name)) {
        mask |= bit(*verb);
        continue;
      }
      std::vector<std::string> names;
      names.reserve(kVerbs.size());
      for (const Verb verb : kVerbs) names.emplace_back(to_string(verb));
      diagnostics_.error(source_.value_at(item(pointer, i)), unknown_word("verb", name, names));
    }
    result_.verbs.emplace_back(pointer, mask);
  }

  void expect(bool good, const Keyword& keyword, const std::string& what, const json& value,
              const std::string& pointer) {
    if (good) return;
    diagnostics_.error(source_.value_at(pointer), std::string("'") + keyword.name + "' must be " +
                                                      what + ", found " + kind_in_words(value));
  }

  void at_key(const std::string& pointer, std::string message) {
    diagnostics_.error(source_.key_at(pointer), std::move(message));
  }

  static std::vector<std::string> keyword_names() {
    std::vector<std::string> names;
    names.reserve(kKeywords.size());
    for (const Keyword& each : kKeywords) names.emplace_back(each.name);
    return names;
  }

  const DocumentTable& source_;
  Diagnostics& diagnostics_;
  ExpandedSchema& result_;
};

/// Only for a schema that passed the check.
class Expansion {
 public:
  Expansion(const DocumentTable& source, const json& root, Diagnostics& diagnostics)
      : source_(source), root_(root), diagnostics_(diagnostics) {}

  json expand(const json& node, const std::string& pointer) {
    if (failed_ || ++nodes_ > kMostNodes) {
      if (!failed_) fail("", "grows too large when its definitions are put in place");
      return json::object();
    }
    if (!node.is_object()) return node;
    if (const auto reference = node.find("$ref"); reference != node.end()) {
      return definition(reference->get<std::string>(), member(pointer, "$ref"));
    }
    json result = json::object();
    for (const auto& [name, value] : node.items()) {
      if (name != "definitions") result[name] = keyword(name, value, member(pointer, name));
    }
    if (result.contains("pattern") &&
        !(result.contains("maxLength") && result["maxLength"] < kLongestMatchedText)) {
      result["maxLength"] = kLongestMatchedText;
    }
    return result;
  }

 private:
  json keyword(const std::string& name, const json& value, const std::string& pointer) {
    switch (keyword_named(name)->shape) {
      case Shape::kSchema:
        return expand(value, pointer);
      case Shape::kItems:
        if (value.is_object()) return expand(value, pointer);
        [[fallthrough]];
      case Shape::kSchemas:
      case Shape::kSchemaTable:
      case Shape::kDependencies: {
        json result = value;
        for (const auto& [key, each] : value.items()) {
          json expanded = expand(each, member(pointer, key));
          if (value.is_array()) {
            result[std::stoul(key)] = std::move(expanded);
          } else {
            result[key] = std::move(expanded);
          }
        }
        return result;
      }
      default:
        return value;
    }
  }

  json definition(const std::string& reference, const std::string& pointer) {
    json none = json::object();
    const json& definitions = root_.contains("definitions") ? root_["definitions"] : none;
    const bool local = reference.compare(0, kDefinitions.size(), kDefinitions) == 0;
    const std::string name = local ? reference.substr(kDefinitions.size()) : "";
    const auto found = definitions.find(name);
    if (!local || found == definitions.end()) {
      std::vector<std::string> names;
      for (const auto& each : definitions.items())
        names.push_back(std::string(kDefinitions) + each.key());
      fail(pointer, unknown_word("definition", reference, names));
      return none;
    }
    if (std::find(inside_.begin(), inside_.end(), name) != inside_.end()) {
      fail(pointer, "definition '" + name + "' contains itself, which is not supported");
      return none;
    }
    inside_.push_back(name);
    json result = expand(*found, member("/definitions", name));
    inside_.pop_back();
    return result;
  }

  void fail(const std::string& pointer, std::string message) {
    failed_ = true;  // one is enough: the rest may follow from it
    diagnostics_.error(source_.value_at(pointer), std::move(message));
  }

  const DocumentTable& source_;
  const json& root_;
  Diagnostics& diagnostics_;
  std::vector<std::string> inside_;
  std::size_t nodes_ = 0;
  bool failed_ = false;
};

}  // namespace

std::optional<ExpandedSchema> expand_schema(const DocumentTable& source, const json& schema,
                                            Diagnostics& diagnostics) {
  const std::size_t before = diagnostics.error_count();
  ExpandedSchema result;
  Check(source, diagnostics, result).root(schema);
  if (diagnostics.error_count() != before) return std::nullopt;
  result.schema = Expansion(source, schema, diagnostics).expand(schema, "");
  if (diagnostics.error_count() != before) return std::nullopt;
  return result;
}

}  // namespace backplane::kernel
