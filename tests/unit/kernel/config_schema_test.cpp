// SPDX-License-Identifier: Apache-2.0
#include "config_schema.hpp"

#include "plugin_format.hpp"
#include "support/diagnostic_lines.hpp"
#include "system_format.hpp"

#include <gmock/gmock.h>

namespace backplane::kernel {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::string_view kLink = R"(
type = "object"
additionalProperties = false
required = ["url"]
[properties.url]
type = "string"
description = "the broker's URL"
pattern = "^mqtts?://"
examples = ["mqtt://localhost:1883"]
[properties.qos]
type = "integer"
minimum = 0
maximum = 2
default = 1
examples = [1]
[properties.policy]
enum = ["block", "drop_oldest", "latest"]
default = "block"
[properties.queue]
type = "integer"
minimum = 1
[properties.ratio]
type = "number"
exclusiveMinimum = 0
[properties.step]
type = "integer"
multipleOf = 5
[properties.label]
type = "string"
minLength = 2
maxLength = 4
[properties.to]
description = "where to"
oneOf = [{ type = "string", x-backplane-verbs = ["write"] },
         { type = "array", minItems = 1, uniqueItems = true, items = { type = "string", x-backplane-verbs = ["write"] } }]
[properties.from]
type = "string"
x-backplane-verbs = ["watch", "read"]
[properties.credentials]
type = "string"
x-backplane-credential = true
[properties.will]
type = "object"
additionalProperties = false
required = ["topic"]
[properties.will.properties.topic]
type = "string"
[properties.will.properties.retain]
type = "boolean"
default = false
[properties.filters]
type = "array"
[properties.filters.items]
type = "object"
additionalProperties = false
required = ["path"]
[properties.filters.items.properties]
path = { type = "string", description = "a path" }
depth = { type = "integer", default = 3 }
[properties.headers]
type = "object"
maxProperties = 2
propertyNames = { pattern = "^[a-z]+$" }
additionalProperties = { type = "string" }
)";

class Sut {
 public:
  explicit Sut(std::string_view schema) {
    Diagnostics diagnostics;
    auto document = TomlDocument::parse(schema, "schema.toml", {}, diagnostics);
    if (document) {
      schema_ = ConfigSchema::read(std::make_shared<const TomlDocument>(std::move(*document)), "",
                                   diagnostics);
    }
    EXPECT_TRUE(schema_) << (diagnostics.entries().empty() ? "" : test::lines(diagnostics).front());
  }

  std::vector<std::string> mistakes(std::string_view config,
                                    const std::vector<std::string>& reserved = {}) const {
    Diagnostics diagnostics;
    const auto document = TomlDocument::parse(config, "c.toml", {}, diagnostics);
    EXPECT_TRUE(document) << test::lines(diagnostics).front();
    const auto complete =
        schema_->complete(document->root(), {*document, ""}, reserved, diagnostics);
    EXPECT_EQ(complete.has_value(), !diagnostics.has_errors());
    return test::lines(diagnostics);
  }

  CompletedConfig complete(std::string_view config) const {
    Diagnostics diagnostics;
    const auto document = TomlDocument::parse(config, "c.toml", {}, diagnostics);
    auto complete = schema_->complete(document->root(), {*document, ""}, {}, diagnostics);
    EXPECT_TRUE(complete) << (diagnostics.entries().empty() ? ""
                                                            : test::lines(diagnostics).front());
    return complete ? std::move(*complete) : CompletedConfig{};
  }

 private:
  std::optional<ConfigSchema> schema_;
};

const std::string kGood = "url = 'mqtt://h'\n";

TEST(ConfigSchema, NamesTheKeyThatWasMeant) {
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "poliy = 'block'\n"),
              ElementsAre("c.toml:2:1: error: unknown key 'poliy', did you mean 'policy'?"));
}

TEST(ConfigSchema, ListsTheKeysWhereNoneIsNear) {
  EXPECT_THAT(Sut("type = 'object'\nadditionalProperties = false\nproperties.a = {}\nproperties.b "
                  "= {}\nproperties.c = {}\n")
                  .mistakes("b = 1\nfoobar = 1\n"),
              ElementsAre("c.toml:2:1: error: unknown key 'foobar', expected one of 'a', 'c'"));
}

TEST(ConfigSchema, OffersReservedKeysInTheOutermostTableOnly) {
  const Sut sut(kLink);
  EXPECT_THAT(sut.mistakes(kGood + "afer = ['x']\n", {"after"}),
              ElementsAre("c.toml:2:1: error: unknown key 'afer', did you mean 'after'?"));
  EXPECT_THAT(sut.mistakes(kGood + "will = { topic = 't', afer = 1 }\n", {"after"}),
              ElementsAre("c.toml:2:23: error: unknown key 'afer', expected one of 'retain'"));
}

TEST(ConfigSchema, DescribesAMissingKey) {
  EXPECT_THAT(
      Sut(kLink).mistakes("qos = 1\n"),
      ElementsAre("c.toml:1:1: error: missing key 'url' (string: the broker's URL), for example "
                  "url = \"mqtt://localhost:1883\""));
}

TEST(ConfigSchema, PutsAMissingKeyAtTheTableThatLacksIt) {
  EXPECT_THAT(Sut(kLink).mistakes(
                  kGood + "\n[will]\nretain = true\n[[filters]]\npath = 'a'\n[[filters]]\n"),
              ElementsAre("c.toml:3:2: error: missing key 'topic' (string)",
                          "c.toml:7:1: error: missing key 'path' (string: a path)"));
}

TEST(ConfigSchema, TakesANearMissOfARequiredKeyForOneMistake) {
  EXPECT_THAT(Sut(kLink).mistakes("urll = 'mqtt://h'\n"),
              ElementsAre("c.toml:1:1: error: unknown key 'urll', did you mean 'url'?"));
}

TEST(ConfigSchema, TakesANearMissForOneMistakeWhereUnknownKeysPass) {
  const Sut sut(
      "type = 'object'\nadditionalProperties = true\nrequired = ['plugin']\nproperties.plugin = "
      "{}\n");
  EXPECT_THAT(sut.mistakes("pluign = 'mqtt'\n"),
              ElementsAre("c.toml:1:1: error: unknown key 'pluign', did you mean 'plugin'?"));
  EXPECT_THAT(sut.mistakes("other = 'mqtt'\n"),
              ElementsAre("c.toml:1:1: error: missing key 'plugin'"));
}

TEST(ConfigSchema, NamesTheTypeThatWasExpected) {
  EXPECT_THAT(
      Sut(kLink).mistakes("url = 5\nqos = '1'\nwill = []\nratio = true\n"),
      ElementsAre(
          "c.toml:1:7: error: 'url' must be a string, found an integer, for example "
          "url = \"mqtt://localhost:1883\"",
          "c.toml:2:7: error: 'qos' must be an integer, found a string, for example qos = 1",
          "c.toml:3:8: error: 'will' must be a table, found an array",
          "c.toml:4:9: error: 'ratio' must be a number, found true"));
}

TEST(ConfigSchema, JoinsTheTypesOfBranches) {
  EXPECT_THAT(
      Sut(kLink).mistakes(kGood + "to = 5\n"),
      ElementsAre("c.toml:2:6: error: 'to' must be a string or an array, found an integer"));
}

TEST(ConfigSchema, BlamesTheItemInsideABranchOnce) {
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "to = ['a:b', 5]\n"),
              ElementsAre("c.toml:2:14: error: item 2 of 'to' must be a string, found an integer"));
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "to = []\n"),
              ElementsAre("c.toml:2:6: error: 'to' must have at least 1 item"));
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "to = ['a:b', 'a:b']\n"),
              ElementsAre("c.toml:2:6: error: 'to' has the same item twice"));
}

TEST(ConfigSchema, ListsTheValuesThatAreAllowed) {
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "policy = 'drop_oldset'\n"),
              ElementsAre("c.toml:2:10: error: 'policy' must be one of \"block\", \"drop_oldest\", "
                          "\"latest\", found "
                          "\"drop_oldset\", did you mean \"drop_oldest\"?"));
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "policy = 7\n"),
              ElementsAre("c.toml:2:10: error: 'policy' must be one of \"block\", \"drop_oldest\", "
                          "\"latest\", found 7"));
}

TEST(ConfigSchema, NamesTheRange) {
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "qos = 7\nqueue = 0\nratio = 0\nstep = 7\n"),
              ElementsAre("c.toml:2:7: error: 'qos' must be between 0 and 2, found 7",
                          "c.toml:3:9: error: 'queue' must be at least 1, found 0",
                          "c.toml:4:9: error: 'ratio' must be greater than 0, found 0",
                          "c.toml:5:8: error: 'step' must be a multiple of 5, found 7"));
}

TEST(ConfigSchema, NamesThePatternAndNotTheValue) {
  EXPECT_THAT(Sut(kLink).mistakes("url = 'http://user:secret@h'\n"),
              ElementsAre("c.toml:1:7: error: 'url' must match the pattern '^mqtts?://' (the "
                          "broker's URL), for example "
                          "url = \"mqtt://localhost:1883\""));
}

TEST(ConfigSchema, NamesTheLength) {
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "label = 'x'\n"),
              ElementsAre("c.toml:2:9: error: 'label' must have at least 2 characters"));
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "label = 'xxxxx'\n"),
              ElementsAre("c.toml:2:9: error: 'label' must have at most 4 characters"));
}

TEST(ConfigSchema, BoundsTextThatIsMatched) {
  EXPECT_THAT(Sut(kLink).mistakes("url = 'mqtt://" + std::string(1000000, 'x') + "'\n"),
              ElementsAre("c.toml:1:7: error: 'url' must have at most 512 characters"));
}

TEST(ConfigSchema, ChecksNamesAndValuesOfFreeTables) {
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "[headers]\nUP = 'x'\nlow = 1\n"),
              ElementsAre("c.toml:3:1: error: the name 'UP' must match the pattern '^[a-z]+$'",
                          "c.toml:4:7: error: 'low' must be a string, found an integer"));
  EXPECT_THAT(Sut(kLink).mistakes(kGood + "headers = { a = '1', b = '2', c = '3' }\n"),
              ElementsAre("c.toml:2:11: error: 'headers' must have at most 2 keys"));
}

TEST(ConfigSchema, ReportsEveryMistakeOfOnePass) {
  EXPECT_THAT(
      Sut(kLink).mistakes("url = 1\nqos = 9\nfoo = 1\n[[filters]]\ndept = 1\n"),
      ElementsAre(
          "c.toml:1:7: error: 'url' must be a string, found an integer, for example "
          "url = \"mqtt://localhost:1883\"",
          "c.toml:2:7: error: 'qos' must be between 0 and 2, found 9",
          "c.toml:3:1: error: unknown key 'foo', expected one of 'credentials', 'from', 'headers', "
          "'label', 'policy', 'queue', 'ratio', 'step', 'to', 'will'",
          "c.toml:4:1: error: missing key 'path' (string: a path)",
          "c.toml:5:1: error: unknown key 'dept', did you mean 'depth'?"));
}

constexpr std::string_view kUnion = R"(
type = "object"
additionalProperties = false
oneOf = [{ required = ["url"] }, { required = ["listen"] }]
dependencies = { psk = ["psk_identity"] }
[properties]
url = { type = "string" }
listen = { type = "string" }
psk = { type = "string" }
psk_identity = { type = "string", description = "who we are" }
[properties.step]
oneOf = [
  { type = "object", additionalProperties = false, required = ["kind", "factor"], properties = { kind = { const = "scale" }, factor = { type = "number" } } },
  { type = "object", additionalProperties = false, required = ["kind", "to"], properties = { kind = { const = "convert" }, to = { enum = ["json", "cbor"] } } },
]
[properties.mode]
if = { const = "a" }
then = { const = "a" }
else = { type = "integer", maximum = 3 }
[properties.odd]
not = { type = "string" }
)";

TEST(ConfigSchema, NamesTheKeysOfWhichOneIsNeeded) {
  EXPECT_THAT(Sut(kUnion).mistakes("step = { kind = 'scale', factor = 2 }\n"),
              ElementsAre("c.toml:1:1: error: missing key, expected one of 'url', 'listen'"));
  EXPECT_THAT(Sut(kUnion).mistakes("lsiten = 'x'\n"),
              ElementsAre("c.toml:1:1: error: unknown key 'lsiten', did you mean 'listen'?"));
}

TEST(ConfigSchema, NamesTheKeysThatExcludeEachOther) {
  EXPECT_THAT(Sut(kUnion).mistakes("url = 'x'\nlisten = 'y'\n"),
              ElementsAre("c.toml:1:1: error: only one of 'url', 'listen' may be given"));
}

TEST(ConfigSchema, SaysWhyAKeyIsNeeded) {
  EXPECT_THAT(Sut(kUnion).mistakes("url = 'x'\npsk = 'y'\n"),
              ElementsAre("c.toml:1:1: error: missing key 'psk_identity' (string: who we are), "
                          "because 'psk' is given"));
}

TEST(ConfigSchema, FollowsTheBranchThatWasMeant) {
  EXPECT_THAT(Sut(kUnion).mistakes("url = 'x'\nstep = { kind = 'convert', to = 'jsn' }\n"),
              ElementsAre("c.toml:2:33: error: 'to' must be one of \"json\", \"cbor\", found "
                          "\"jsn\", did you mean \"json\"?"));
  EXPECT_THAT(Sut(kUnion).mistakes("url = 'x'\nstep = { kind = 'convert' }\n"),
              ElementsAre("c.toml:2:1: error: missing key 'to' (one of \"json\", \"cbor\")"));
}

TEST(ConfigSchema, JoinsTheFixedValuesOfBranches) {
  EXPECT_THAT(Sut(kUnion).mistakes("url = 'x'\nstep = { kind = 'scael' }\n"),
              ElementsAre("c.toml:2:17: error: 'kind' must be one of \"scale\", \"convert\", found "
                          "\"scael\", did you mean "
                          "\"scale\"?"));
}

TEST(ConfigSchema, FollowsConditions) {
  EXPECT_THAT(Sut(kUnion).mistakes("url = 'x'\nmode = 'b'\n"),
              ElementsAre("c.toml:2:8: error: 'mode' must be an integer, found a string"));
  EXPECT_THAT(Sut(kUnion).mistakes("url = 'x'\nmode = 'a'\n"), IsEmpty());
  EXPECT_THAT(
      Sut(kUnion).mistakes("url = 'x'\nodd = 'x'\n"),
      ElementsAre("c.toml:2:7: error: 'odd' has a value that is not allowed here (string)"));
}

TEST(ConfigSchema, FillsInDefaults) {
  EXPECT_EQ(Sut(kLink).complete(kGood).config,
            json::parse(R"({"url":"mqtt://h","qos":1,"policy":"block"})"));
}

TEST(ConfigSchema, FillsInDefaultsOfNestedTablesAndItems) {
  EXPECT_EQ(
      Sut(kLink)
          .complete(
              kGood +
              "will = { topic = 't' }\nfilters = [{ path = 'a' }, { path = 'b', depth = 1 }]\n")
          .config,
      json::parse(R"({"url":"mqtt://h","qos":1,"policy":"block","will":{"topic":"t","retain":false},
                            "filters":[{"path":"a","depth":3},{"path":"b","depth":1}]})"));
}

TEST(ConfigSchema, FillsInDefaultsOfATableThatHasOne) {
  const Sut sut(
      "type = 'object'\nadditionalProperties = false\n[properties.retry]\ntype = "
      "'object'\nadditionalProperties = false\n"
      "default = {}\nproperties.cap_s = { default = 5 }\n");
  EXPECT_EQ(sut.complete("").config, json::parse(R"({"retry":{"cap_s":5}})"));
}

TEST(ConfigSchema, CollectsAddressesAndCredentials) {
  const CompletedConfig sut =
      Sut(kLink).complete(kGood + "from = 'a:x'\nto = ['b:y', 'c:z']\ncredentials = 'site'\n");
  std::vector<std::string> found;
  for (const AddressUse& use : sut.addresses) {
    found.push_back(use.pointer + " " + use.address + " " + std::to_string(use.verbs));
  }
  EXPECT_THAT(found, ::testing::UnorderedElementsAre(
                         "/from a:x " + std::to_string(bit(Verb::kWatch) | bit(Verb::kRead)),
                         "/to/0 b:y " + std::to_string(bit(Verb::kWrite)),
                         "/to/1 c:z " + std::to_string(bit(Verb::kWrite))));
  ASSERT_THAT(sut.credentials, SizeIs(1));
  EXPECT_EQ(sut.credentials[0].name, "site");
  EXPECT_EQ(sut.credentials[0].pointer, "/credentials");
}

TEST(ConfigSchema, ThatIsBuiltInSatisfiesItself) {
  const SystemFormat system;
  const ConfigSchema plugin = plugin_manifest_format();
  for (const ConfigSchema* each : {&system.file, &system.instance, &system.route, &plugin}) {
    Diagnostics diagnostics;
    EXPECT_TRUE(each->check(diagnostics)) << test::lines(diagnostics).front();
  }
}

TEST(ConfigSchema, IsCompiledWhenItIsUsedAndItsMistakesAreToldThen) {
  Diagnostics diagnostics;
  auto document = TomlDocument::parse(
      "type = 'object'\nadditionalProperties = false\nproperties.a = { type = 'integer', default = "
      "'x' }\n",
      "schema.toml", {}, diagnostics);
  const auto shared = std::make_shared<const TomlDocument>(std::move(*document));
  const auto sut = ConfigSchema::read(shared, "", diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_FALSE(diagnostics.has_errors());
  for (int i = 0; i < 2; ++i) {
    Diagnostics found;
    EXPECT_FALSE(sut->complete(json::object(), {*shared, ""}, {}, found));
    EXPECT_THAT(test::lines(found),
                ElementsAre(::testing::HasSubstr("the default does not satisfy its own schema")));
  }
}

TEST(ConfigSchema, PutsDefinitionsInPlace) {
  const Sut sut(
      "type = 'object'\nadditionalProperties = false\nproperties.a = { '$ref' = "
      "'#/definitions/port' }\n"
      "[definitions.port]\ntype = 'integer'\nmaximum = 65535\ndefault = 80\n");
  EXPECT_EQ(sut.complete("").config, json::parse(R"({"a":80})"));
  EXPECT_THAT(sut.mistakes("a = 70000\n"),
              ElementsAre("c.toml:1:5: error: 'a' must be at most 65535, found 70000"));
}

}  // namespace
}  // namespace backplane::kernel
