// SPDX-License-Identifier: Apache-2.0
#include "schema_source.hpp"

#include "config_schema.hpp"
#include "support/diagnostic_lines.hpp"

#include <gmock/gmock.h>

namespace backplane::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> mistakes(const std::string& body) {
  Diagnostics diagnostics;
  auto document = TomlDocument::parse("[config]\n" + body, "p.toml", {}, diagnostics);
  EXPECT_TRUE(document) << test::lines(diagnostics).front();
  const auto sut = ConfigSchema::read(std::make_shared<const TomlDocument>(std::move(*document)),
                                      "/config", diagnostics);
  const bool is_good = sut && sut->check(diagnostics);
  EXPECT_EQ(is_good, !diagnostics.has_errors());
  return test::lines(diagnostics);
}

const std::string kStart = "type = 'object'\nadditionalProperties = false\n";

TEST(SchemaSource, IsATable) {
  EXPECT_THAT(
      mistakes("type = 'string'\n"),
      ElementsAre("p.toml:1:2: error: a configuration is a table: expected type = \"object\""));
}

TEST(SchemaSource, HasNoMisspeltKeyword) {
  EXPECT_THAT(
      mistakes(kStart + "requierd = ['a']\n"),
      ElementsAre(
          "p.toml:4:1: error: unknown schema keyword 'requierd', did you mean 'required'?"));
  EXPECT_THAT(
      mistakes(kStart + "properties.a = { type = 'string', x-backplane-verb = ['watch'] }\n"),
      ElementsAre("p.toml:4:35: error: unknown schema keyword 'x-backplane-verb', did you mean "
                  "'x-backplane-verbs'?"));
}

TEST(SchemaSource, SaysWhatBecomesOfUnknownKeys) {
  EXPECT_THAT(
      mistakes("type = 'object'\nproperties.a = {}\n"),
      ElementsAre(
          "p.toml:1:2: error: says nothing about unknown keys: add additionalProperties = false"));
  EXPECT_THAT(
      mistakes(kStart + "properties.a = { type = 'object', properties = { b = {} } }\n"),
      ElementsAre(
          "p.toml:4:12: error: says nothing about unknown keys: add additionalProperties = false"));
}

TEST(SchemaSource, RequiresOnlyKeysThatItHas) {
  EXPECT_THAT(mistakes(kStart + "required = ['ulr']\nproperties.url = {}\n"),
              ElementsAre("p.toml:4:13: error: unknown property 'ulr', did you mean 'url'?"));
}

TEST(SchemaSource, KnowsTheTypes) {
  EXPECT_THAT(
      mistakes(kStart + "properties.a.type = 'strng'\nproperties.b.type = ['integer', 'bool']\n"),
      ElementsAre(
          "p.toml:4:21: error: unknown type 'strng', did you mean 'string'?",
          "p.toml:5:21: error: unknown type 'bool', expected one of 'string', 'integer', 'number', "
          "'boolean', 'array', 'object'"));
}

TEST(SchemaSource, GivesKeywordsTheirShape) {
  EXPECT_THAT(
      mistakes(kStart + "required = 'a'\n"),
      ElementsAre("p.toml:4:12: error: 'required' must be an array of strings, found a string"));
  EXPECT_THAT(
      mistakes(kStart + "properties.a.minLength = -1\n"),
      ElementsAre(
          "p.toml:4:26: error: 'minLength' must be a count of 0 or more, found an integer"));
  EXPECT_THAT(mistakes(kStart + "properties.a.minimum = '1'\n"),
              ElementsAre("p.toml:4:24: error: 'minimum' must be a number, found a string"));
  EXPECT_THAT(
      mistakes(kStart + "properties.a = 5\n"),
      ElementsAre(
          "p.toml:4:16: error: expected a schema (a table, true or false), found an integer"));
  EXPECT_THAT(
      mistakes(kStart + "oneOf = []\n"),
      ElementsAre("p.toml:4:9: error: 'oneOf' must be an array of schemas, found an array"));
}

TEST(SchemaSource, ChecksAnnotations) {
  EXPECT_THAT(
      mistakes(kStart + "properties.a = { type = 'string', x-backplane-verbs = ['wacth'] }\n"),
      ElementsAre("p.toml:4:56: error: unknown verb 'wacth', did you mean 'watch'?"));
  EXPECT_THAT(
      mistakes(kStart + "properties.a = { type = 'string', x-backplane-credential = 'yes' }\n"),
      ElementsAre("p.toml:4:60: error: 'x-backplane-credential' must be true, found a string"));
}

TEST(SchemaSource, RefusesABrokenPattern) {
  EXPECT_THAT(mistakes(kStart + "properties.a = { type = 'string', pattern = '(' }\n"),
              ElementsAre(HasSubstr("p.toml:1:2: error: the schema is broken: ")));
}

TEST(SchemaSource, RefusesADefaultThatDoesNotSatisfyIt) {
  EXPECT_THAT(
      mistakes(kStart +
               "properties.a = { type = 'integer', maximum = 3, default = 4, examples = ['x'] }\n"),
      ElementsAre("p.toml:4:59: error: the default does not satisfy its own schema: the "
                  "configuration must be at most 3, found 4",
                  "p.toml:4:74: error: the example does not satisfy its own schema: the "
                  "configuration must be an "
                  "integer, found a string, for example \"x\""));
}

TEST(SchemaSource, ResolvesDefinitions) {
  EXPECT_THAT(mistakes(kStart + "properties.a = { '$ref' = '#/definitions/prot' "
                                "}\n[config.definitions.port]\ntype = 'integer'\n"),
              ElementsAre("p.toml:4:27: error: unknown definition '#/definitions/prot', did you "
                          "mean '#/definitions/port'?"));
  EXPECT_THAT(mistakes(kStart + "properties.a = { '$ref' = 'file:///etc/passwd' }\n"),
              ElementsAre("p.toml:4:27: error: unknown definition 'file:///etc/passwd', there is "
                          "none to choose from"));
  EXPECT_THAT(
      mistakes(kStart + "properties.a = { '$ref' = '#/definitions/x', default = 1 "
                        "}\n[config.definitions]\nx = {}\n"),
      ElementsAre("p.toml:4:18: error: $ref stands alone: what stands beside it would be ignored"));
}

TEST(SchemaSource, RefusesAPlaceholderThatGrantsNothing) {
  EXPECT_THAT(mistakes(kStart + "properties.a = { x-backplane-verbs = ['call'], "
                                "x-backplane-placeholder = '' }\n"),
              ElementsAre("p.toml:4:74: error: 'x-backplane-placeholder' must be a text that is "
                          "not empty, found a string"));
  EXPECT_THAT(mistakes(kStart + "properties.a = { x-backplane-placeholder = '{path}' }\n"),
              ElementsAre("p.toml:4:18: error: x-backplane-placeholder stands beside "
                          "x-backplane-verbs: without them it grants nothing"));
}

TEST(SchemaSource, RefusesRecursion) {
  EXPECT_THAT(
      mistakes(kStart + "properties.a = { '$ref' = '#/definitions/x' "
                        "}\n[config.definitions.x]\nitems = { '$ref' = '#/definitions/x' }\n"),
      ElementsAre("p.toml:6:20: error: definition 'x' contains itself, which is not supported"));
}

TEST(SchemaSource, RefusesAnExplosion) {
  std::string body =
      kStart + "properties.a = { '$ref' = '#/definitions/d0' }\n[config.definitions]\n";
  for (int i = 0; i < 30; ++i) {
    const std::string next = "{ '$ref' = '#/definitions/d" + std::to_string(i + 1) + "' }";
    body += "d" + std::to_string(i) + " = { allOf = [" + next + ", " + next + "] }\n";
  }
  EXPECT_THAT(mistakes(body + "d30 = {}\n"),
              ElementsAre(HasSubstr("grows too large when its definitions are put in place")));
}

}  // namespace
}  // namespace backplane::kernel
