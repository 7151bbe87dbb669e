// SPDX-License-Identifier: Apache-2.0
// Design notes. Every verdict is the validating library's, asked for one part of the schema at a
// time (SchemaParts); this file walks schema and value side by side and finds the words. A part
// that accepts its value is not entered, so that a mistake is blamed on the innermost part that
// refuses it, and a wrapper such as oneOf adds nothing of its own.
#include "schema_explainer.hpp"

#include "did_you_mean.hpp"
#include "json_pointer.hpp"
#include "toml_text.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace backplane::kernel {
namespace {

using nlohmann::json;
using Kind = SchemaMistake::Kind;
using Mistakes = std::vector<SchemaMistake>;

/// A value on its way through the schema.
struct Subject {
  const json& value;
  std::string pointer;
  std::string name;  // in a message: 'url', item 2 of 'to'
  std::string key;   // its key, if it has one: for examples
  bool is_key = false;
};

std::string counted(const json& number, const std::string& noun) {
  return number.dump() + ' ' + noun + (number == 1 ? "" : "s");
}

std::string description_of(const json& schema) {
  const auto found = schema.find("description");
  return found != schema.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// `, for example url = "mqtt://localhost"`, if the schema has an example.
std::string example_of(const json& schema, const std::string& key) {
  const auto found = schema.find("examples");
  if (found == schema.end() || !found->is_array() || found->empty()) return {};
  return ", for example " + (key.empty() ? "" : key + " = ") + to_toml(found->front());
}

std::vector<std::string> types_of(const json& schema) {
  const auto found = schema.find("type");
  if (found == schema.end()) return {};
  if (found->is_string()) return {found->get<std::string>()};
  return found->get<std::vector<std::string>>();
}

std::string joined(const std::vector<std::string>& words, const std::string& last_separator) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == words.size() ? last_separator : ", ") + words[i];
  }
  return text;
}

std::string in_toml(const json& values) {
  std::vector<std::string> words;
  for (const json& each : values) words.push_back(to_toml(each));
  return joined(words, ", ");
}

/// `(string: the broker's URL)`, as much of it as the schema says.
std::string nature_of(const json& schema) {
  if (!schema.is_object()) return {};
  std::vector<std::string> types = types_of(schema);
  std::replace(types.begin(), types.end(), std::string("object"), std::string("table"));
  std::string text = joined(types, " or ");
  if (types.empty() && schema.contains("enum")) text = "one of " + in_toml(schema["enum"]);
  const std::string description = description_of(schema);
  if (!description.empty()) text += (text.empty() ? "" : ": ") + description;
  return text.empty() ? text : " (" + text + ")";
}

class Explainer {
 public:
  Explainer(const std::vector<std::string>& reserved, SchemaParts& parts)
      : reserved_(reserved), parts_(parts) {}

  Mistakes take() { return std::move(mistakes_); }

  void explain(const json& schema, const Subject& subject) {
    if (parts_.accept(schema, subject.value)) return;
    const std::size_t before = mistakes_.size();
    if (schema.is_boolean()) {
      add(subject, subject.name + " is not allowed here");
      return;
    }
    if (wrong_type(schema, subject) || wrong_value(schema, subject)) return;
    simple_keywords(schema, subject);
    if (subject.value.is_object()) members(schema, subject);
    if (subject.value.is_array()) items(schema, subject);
    combined(schema, subject);
    if (mistakes_.size() == before) {
      add(subject, subject.name + " is not of the form that is expected here" + nature_of(schema));
    }
  }

 private:
  SchemaMistake& add(const Subject& subject, std::string message, Kind kind = Kind::kOther) {
    mistakes_.push_back({kind, subject.pointer, subject.is_key, std::move(message), {}, {}});
    return mistakes_.back();
  }

  bool refuses(const json& schema, const char* keyword, const json& value) {
    return schema.contains(keyword) && !parts_.keyword_accepts(schema, keyword, value);
  }

  void type_mistake(std::vector<std::string> types, const json& schema, const Subject& subject) {
    std::transform(types.begin(), types.end(), types.begin(), type_in_words);
    add(subject, subject.name + " must be " + joined(types, " or ") + ", found " +
                     kind_in_words(subject.value) + example_of(schema, subject.key));
  }

  bool wrong_type(const json& schema, const Subject& subject) {
    if (!refuses(schema, "type", subject.value)) return false;
    type_mistake(types_of(schema), schema, subject);
    return true;
  }

  void not_allowed(const std::vector<json>& allowed, const Subject& subject) {
    const std::string found = to_toml(subject.value);
    std::string message = subject.name + " must be " + (allowed.size() > 1 ? "one of " : "") +
                          in_toml(allowed) + ", found " + found;
    std::vector<std::string> words;
    for (const json& each : allowed) {
      if (each.is_string()) words.push_back(each.get<std::string>());
    }
    if (subject.value.is_string()) {
      if (const auto meant = nearest(subject.value.get_ref<const std::string&>(), words)) {
        message += ", did you mean " + to_toml(*meant) + "?";
      }
    }
    add(subject, std::move(message), Kind::kNotAllowedValue).allowed = allowed;
  }

  bool wrong_value(const json& schema, const Subject& subject) {
    if (refuses(schema, "const", subject.value)) {
      not_allowed({schema["const"]}, subject);
      return true;
    }
    if (refuses(schema, "enum", subject.value)) {
      not_allowed(schema["enum"].get<std::vector<json>>(), subject);
      return true;
    }
    return false;
  }

  void simple_keywords(const json& schema, const Subject& subject) {
    const json& value = subject.value;
    const auto says = [&](const char* keyword, const std::string& what) {
      if (refuses(schema, keyword, value)) add(subject, subject.name + what);
    };
    const auto limit = [&](const char* keyword) { return schema.value(keyword, json()); };
    range(schema, subject);
    says("multipleOf", " must be a multiple of " + limit("multipleOf").dump() + ", found " +
                           (value.is_number() ? value.dump() : std::string()));
    says("minLength", " must have at least " + counted(limit("minLength"), "character"));
    if (refuses(schema, "maxLength", value)) {
      add(subject, subject.name + " must have at most " + counted(limit("maxLength"), "character"));
    } else if (refuses(schema, "pattern", value)) {
      const std::string description = description_of(schema);
      add(subject, subject.name + " must match the pattern '" +
                       schema["pattern"].get<std::string>() + "'" +
                       (description.empty() ? "" : " (" + description + ")") +
                       example_of(schema, subject.key));
    }
    says("minItems", " must have at least " + counted(limit("minItems"), "item"));
    says("maxItems", " must have at most " + counted(limit("maxItems"), "item"));
    says("uniqueItems", " has the same item twice");
    says("contains", " lacks an item that must be there");
    says("minProperties", " must have at least " + counted(limit("minProperties"), "key"));
    says("maxProperties", " must have at most " + counted(limit("maxProperties"), "key"));
  }

  void range(const json& schema, const Subject& subject) {
    const bool low = refuses(schema, "minimum", subject.value);
    const bool high = refuses(schema, "maximum", subject.value);
    const std::string found = ", found " + subject.value.dump();
    if ((low || high) && schema.contains("minimum") && schema.contains("maximum")) {
      add(subject, subject.name + " must be between " + schema["minimum"].dump() + " and " +
                       schema["maximum"].dump() + found);
    } else if (low || high) {
      add(subject, subject.name + (low ? " must be at least " : " must be at most ") +
                       schema[low ? "minimum" : "maximum"].dump() + found);
    }
    for (const auto& [keyword, words] : {std::pair{"exclusiveMinimum", " must be greater than "},
                                         std::pair{"exclusiveMaximum", " must be less than "}}) {
      if (refuses(schema, keyword, subject.value)) {
        add(subject, subject.name + words + schema[keyword].dump() + found);
      }
    }
  }

  Subject member_of(const Subject& table, const std::string& key, const json& value) {
    return {value, member(table.pointer, key), "'" + key + "'", key, false};
  }

  void members(const json& schema, const Subject& table) {
    const json none = json::object();
    const json& properties = schema.contains("properties") ? schema["properties"] : none;
    const json& patterns =
        schema.contains("patternProperties") ? schema["patternProperties"] : none;
    for (const auto& [key, value] : table.value.items()) {
      const Subject subject = member_of(table, key, value);
      bool known = false;
      if (const auto found = properties.find(key); found != properties.end()) {
        known = true;
        explain(*found, subject);
      }
      for (const auto& [pattern, subschema] : patterns.items()) {
        if (!parts_.matches(pattern, key)) continue;
        known = true;
        explain(subschema, subject);
      }
      if (!known && schema.contains("additionalProperties")) {
        const json& others = schema["additionalProperties"];
        if (others.is_boolean() && !others.get<bool>()) {
          unknown_key(properties, table, key);
        } else {
          explain(others, subject);
        }
      }
      if (schema.contains("propertyNames")) {
        const json name = key;
        explain(schema["propertyNames"],
                {name, subject.pointer, "the name " + subject.name, "", true});
      }
    }
    if (schema.contains("required")) {
      for (const json& key : schema["required"]) {
        if (!table.value.contains(key)) missing_key(properties, table, key.get<std::string>());
      }
    }
    if (schema.contains("dependencies")) dependencies(schema, properties, table);
  }

  void unknown_key(const json& properties, const Subject& table, const std::string& key) {
    std::vector<std::string> open;  // keys that could stand here and do not yet
    for (const auto& property : properties.items()) {
      if (!table.value.contains(property.key())) open.push_back(property.key());
    }
    if (table.pointer.empty()) open.insert(open.end(), reserved_.begin(), reserved_.end());
    Subject subject = member_of(table, key, table.value[key]);
    subject.is_key = true;
    SchemaMistake& mistake = add(subject, unknown_word("key", key, open), Kind::kUnknownKey);
    if (auto meant = nearest(key, open)) mistake.keys.push_back(std::move(*meant));
  }

  void missing_key(const json& properties, const Subject& table, const std::string& key) {
    if (!in_branch_) misspelt_as(key, properties, table);
    const auto found = properties.find(key);
    const json schema = found != properties.end() ? *found : json::object();
    std::string message = "missing key '" + key + "'" + nature_of(schema);
    if (schema.is_object()) message += example_of(schema, key);
    SchemaMistake& mistake = add(table, std::move(message), Kind::kMissingKey);
    mistake.keys = {key};
    mistake.at_key = true;
  }

  /// Where unknown keys pass, a near-miss of a required one is still no coincidence.
  void misspelt_as(const std::string& key, const json& properties, const Subject& table) {
    for (const auto& [other, value] : table.value.items()) {
      if (properties.contains(other) || !nearest(other, {key})) continue;
      Subject subject = member_of(table, other, value);
      subject.is_key = true;
      const bool reported =
          std::any_of(mistakes_.begin(), mistakes_.end(), [&](const SchemaMistake& mistake) {
            return mistake.kind == Kind::kUnknownKey && mistake.pointer == subject.pointer;
          });
      if (!reported) {
        add(subject, unknown_word("key", other, {key}), Kind::kUnknownKey).keys.push_back(key);
      }
    }
  }

  void dependencies(const json& schema, const json& properties, const Subject& table) {
    for (const auto& [key, needed] : schema["dependencies"].items()) {
      if (!table.value.contains(key)) continue;
      if (!needed.is_array()) {
        explain(needed, table);
        continue;
      }
      for (const json& other : needed) {
        if (table.value.contains(other)) continue;
        missing_key(properties, table, other.get<std::string>());
        mistakes_.back().message += ", because '" + key + "' is given";
      }
    }
  }

  void items(const json& schema, const Subject& array) {
    if (!schema.contains("items")) return;
    const json& items = schema["items"];
    for (std::size_t i = 0; i < array.value.size(); ++i) {
      const Subject subject{array.value[i], item(array.pointer, i),
                            "item " + std::to_string(i + 1) + " of " + array.name, "", false};
      if (!items.is_array()) {
        explain(items, subject);
      } else if (i < items.size()) {
        explain(items[i], subject);
      } else if (schema.contains("additionalItems")) {
        explain(schema["additionalItems"], subject);
      }
    }
  }

  void combined(const json& schema, const Subject& subject) {
    if (schema.contains("allOf")) {
      for (const json& each : schema["allOf"]) explain(each, subject);
    }
    if (refuses(schema, "anyOf", subject.value)) no_branch(schema["anyOf"], schema, subject);
    if (refuses(schema, "oneOf", subject.value)) {
      std::vector<const json*> fitting;
      for (const json& each : schema["oneOf"]) {
        if (parts_.accept(each, subject.value)) fitting.push_back(&each);
      }
      if (fitting.empty()) {
        no_branch(schema["oneOf"], schema, subject);
      } else {
        many_branches(fitting, subject);
      }
    }
    if (refuses(schema, "not", subject.value)) excluded(schema["not"], subject);
    if (schema.contains("if")) {
      const char* branch = parts_.accept(schema["if"], subject.value) ? "then" : "else";
      if (schema.contains(branch)) explain(schema[branch], subject);
    }
  }

  /// Blames the branch that was most likely meant.
  void no_branch(const json& branches, const json& schema, const Subject& subject) {
    std::vector<Mistakes> tries;
    std::vector<std::string> types;
    for (const json& branch : branches) {
      if (branch.is_object() && refuses(branch, "type", subject.value)) {
        for (std::string& type : types_of(branch)) {
          if (std::find(types.begin(), types.end(), type) == types.end())
            types.push_back(std::move(type));
        }
        continue;
      }
      Explainer attempt(reserved_, parts_);
      attempt.in_branch_ = true;
      attempt.explain(branch, subject);
      tries.push_back(attempt.take());
    }
    if (tries.empty()) return type_mistake(std::move(types), schema, subject);
    if (one_of_missing(tries, schema, subject) || one_of_values(tries, subject)) return;
    const auto cost = [](const Mistakes& mistakes) {
      std::size_t sum = mistakes.size();
      for (const SchemaMistake& each : mistakes) {
        // A fixed value that differs says that this branch is about something else.
        if (each.kind == Kind::kNotAllowedValue) sum += 100;
      }
      return sum;
    };
    const auto best =
        std::min_element(tries.begin(), tries.end(),
                         [&](const auto& a, const auto& b) { return cost(a) < cost(b); });
    mistakes_.insert(mistakes_.end(), best->begin(), best->end());
  }

  bool one_of_missing(const std::vector<Mistakes>& tries, const json& schema,
                      const Subject& subject) {
    std::vector<std::string> keys;
    for (const Mistakes& mistakes : tries) {
      if (mistakes.size() != 1 || mistakes.front().kind != Kind::kMissingKey) return false;
      keys.insert(keys.end(), mistakes.front().keys.begin(), mistakes.front().keys.end());
    }
    if (tries.size() < 2) return false;
    for (const std::string& key : keys) {
      misspelt_as(key, schema.value("properties", json::object()), subject);
    }
    SchemaMistake& mistake =
        add(subject, "missing key, expected one of " + quoted_list(keys), Kind::kMissingKey);
    mistake.keys = std::move(keys);
    mistake.at_key = true;
    return true;
  }

  bool one_of_values(const std::vector<Mistakes>& tries, const Subject& subject) {
    std::vector<json> allowed;
    const SchemaMistake* first = nullptr;
    for (const Mistakes& mistakes : tries) {
      const auto found = std::find_if(mistakes.begin(), mistakes.end(), [&](const auto& mistake) {
        return mistake.kind == Kind::kNotAllowedValue &&
               (first == nullptr || first->pointer == mistake.pointer);
      });
      if (found == mistakes.end()) return false;
      if (first == nullptr) first = &*found;
      allowed.insert(allowed.end(), found->allowed.begin(), found->allowed.end());
    }
    if (tries.size() < 2) return false;
    const json::json_pointer below(first->pointer.substr(subject.pointer.size()));
    const std::string key = below.empty() ? "" : below.back();
    not_allowed(allowed, {subject.value.at(below), first->pointer,
                          key.empty() ? subject.name : "'" + key + "'", key, false});
    return true;
  }

  void many_branches(const std::vector<const json*>& fitting, const Subject& subject) {
    std::vector<std::string> keys;
    for (const json* branch : fitting) {
      if (!branch->is_object() || !branch->contains("required")) continue;
      for (const json& key : branch->at("required")) keys.push_back(key.get<std::string>());
    }
    add(subject, keys.size() < 2 ? subject.name + " fits more than one of the allowed forms"
                                 : "only one of " + quoted_list(keys) + " may be given")
        .at_key = true;
  }

  void excluded(const json& schema, const Subject& subject) {
    if (schema.is_object() && schema.size() == 1 && schema.contains("required")) {
      const auto keys = schema["required"].get<std::vector<std::string>>();
      add(subject, keys.size() == 1 ? "key '" + keys.front() + "' is not allowed here"
                                    : "keys " + quoted_list(keys) + " exclude each other")
          .at_key = true;
      return;
    }
    add(subject, subject.name + " has a value that is not allowed here" + nature_of(schema));
  }

  const std::vector<std::string>& reserved_;
  SchemaParts& parts_;
  bool in_branch_ =
      false;  // one try of several: which keys are near-misses is for all of them together
  Mistakes mistakes_;
};

std::string table_around(const std::string& pointer) {
  return pointer.substr(0, pointer.rfind('/'));
}

}  // namespace

Mistakes explain(const json& schema, const json& value, const std::vector<std::string>& reserved,
                 SchemaParts& parts) {
  Explainer explainer(reserved, parts);
  explainer.explain(schema, {value, "", "the configuration", "", false});
  Mistakes mistakes = explainer.take();
  // A key that is missing because it was misspelt is one mistake.
  const auto misspelt = [&](const SchemaMistake& missing) {
    return missing.kind == Kind::kMissingKey &&
           std::any_of(mistakes.begin(), mistakes.end(), [&](const SchemaMistake& other) {
             return other.kind == Kind::kUnknownKey && !other.keys.empty() &&
                    table_around(other.pointer) == missing.pointer &&
                    std::find(missing.keys.begin(), missing.keys.end(), other.keys.front()) !=
                        missing.keys.end();
           });
  };
  Mistakes kept;
  std::copy_if(mistakes.begin(), mistakes.end(), std::back_inserter(kept),
               [&](const SchemaMistake& mistake) { return !misspelt(mistake); });
  return kept;
}

}  // namespace backplane::kernel
