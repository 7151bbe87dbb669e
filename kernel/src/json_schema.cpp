// SPDX-License-Identifier: Apache-2.0
#include "json_schema.hpp"

// gcc 12 with -fsanitize=address takes the standard library's own regular expressions for
// uninitialised.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include <exception>
#include <new>
#include <regex>
#include <utility>

namespace backplane::kernel {
namespace {

using nlohmann::json;

/// The library compiles a pattern when it first meets a value, and throws then: too late for the
/// author.
void compile_patterns(const json& schema) {
  if (schema.is_array()) {
    for (const json& each : schema) compile_patterns(each);
  }
  if (!schema.is_object()) return;
  for (const auto& [keyword, value] : schema.items()) {
    if (keyword == "pattern" && value.is_string()) {
      (void)std::regex(value.get_ref<const std::string&>());
    }
    if (keyword == "patternProperties" && value.is_object()) {
      for (const auto& pattern : value.items()) (void)std::regex(pattern.key());
    }
    compile_patterns(value);
  }
}

}  // namespace

struct JsonSchema::Compiled {
  valijson::Schema schema;
  mutable valijson::Validator validator;
};

std::optional<JsonSchema> JsonSchema::compile(const json& schema, std::string& why) {
  auto compiled = std::make_unique<Compiled>();
  try {
    valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
    parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(schema), compiled->schema);
    compile_patterns(schema);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    why = error.what();
    return std::nullopt;
  }
  return JsonSchema(std::move(compiled));
}

bool JsonSchema::accepts(const json& value) const {
  try {
    // Without a list of results it stops at the first mistake: which one is for others to say.
    return compiled_->validator.validate(compiled_->schema,
                                         valijson::adapters::NlohmannJsonAdapter(value), nullptr);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    return false;  // a pattern too complex for this text
  }
}

JsonSchema::JsonSchema(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
JsonSchema::JsonSchema(JsonSchema&&) noexcept = default;
JsonSchema& JsonSchema::operator=(JsonSchema&&) noexcept = default;
JsonSchema::~JsonSchema() = default;

}  // namespace backplane::kernel
