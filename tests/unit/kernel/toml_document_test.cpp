// SPDX-License-Identifier: Apache-2.0
#include "toml_document.hpp"

#include "support/diagnostic_lines.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>

namespace backplane::kernel {
namespace {

using nlohmann::json;
using test::ScratchFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Environment kVariables = [](const std::string& name) -> std::optional<std::string> {
  if (name == "HOST") return "plant.example";
  if (name == "EMPTY") return "";
  if (name == "BYTES") return "\xff";
  return std::nullopt;
};

std::vector<std::string> mistakes(std::string_view text) {
  Diagnostics diagnostics;
  EXPECT_FALSE(TomlDocument::parse(text, "f.toml", kVariables, diagnostics)) << text;
  return test::lines(diagnostics);
}

json parsed(std::string_view text) {
  Diagnostics diagnostics;
  const auto document = TomlDocument::parse(text, "f.toml", kVariables, diagnostics);
  EXPECT_TRUE(document) << (diagnostics.entries().empty() ? "" : test::lines(diagnostics).front());
  return document ? document->root() : json();
}

std::string place(const SourcePosition& at) {
  return at.file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
}

TEST(TomlDocument, BecomesJson) {
  EXPECT_EQ(parsed("a = 1\nb = 2.5\nc = true\nd = 'x'\ne = [1, [2]]\nf.g = { h = -1 }\ni = "
                   "2026-01-02T03:04:05Z\n"),
            json::parse(R"({"a":1,"b":2.5,"c":true,"d":"x","e":[1,[2]],"f":{"g":{"h":-1}},
                            "i":"2026-01-02T03:04:05Z"})"));
}

TEST(TomlDocument, RemembersWhereKeysAndValuesStand) {
  Diagnostics diagnostics;
  const auto sut = TomlDocument::parse(
      "[instances.cloud]\nplugin = 'mqtt'\nallow.watch = ['a:*']\n\n[[routes]]\nfrom = "
      "'x:y'\n\n[[routes]]\n  from = 1\n",
      "f.toml", {}, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_EQ(place(sut->key_at("/instances/cloud")), "f.toml:1:12");
  EXPECT_EQ(place(sut->key_at("/instances/cloud/plugin")), "f.toml:2:1");
  EXPECT_EQ(place(sut->value_at("/instances/cloud/plugin")), "f.toml:2:10");
  EXPECT_EQ(place(sut->value_at("/instances/cloud/allow/watch/0")), "f.toml:3:16");
  EXPECT_EQ(place(sut->key_at("/routes/1")), "f.toml:8:1");
  EXPECT_EQ(place(sut->value_at("/routes/1/from")), "f.toml:9:10");
  EXPECT_LT(sut->order_of("/instances/cloud"), sut->order_of("/routes/0"));
}

TEST(TomlDocument, PutsWhatIsNotThereAtTheTableAroundIt) {
  Diagnostics diagnostics;
  const auto sut = TomlDocument::parse("\n[a.b]\nc = 1\n", "f.toml", {}, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_EQ(place(sut->key_at("/a/b/absent/deeper")), "f.toml:2:4");
  EXPECT_EQ(place(sut->key_at("")), "f.toml:1:1");
}

TEST(TomlDocument, EscapesKeysInPointers) {
  Diagnostics diagnostics;
  const auto sut = TomlDocument::parse("'a/b~c' = 1\n", "f.toml", {}, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_EQ(place(sut->value_at("/a~1b~0c")), "f.toml:1:11");
}

TEST(TomlDocument, ReportsASyntaxErrorAlone) {
  const auto found = mistakes("a = \"${UNSET}\"\nb = \n");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0], HasSubstr("f.toml:2:5: error: syntax: "));
}

TEST(TomlDocument, ReportsAKeyThatIsGivenTwice) {
  EXPECT_THAT(mistakes("a = 1\na = 2\n"), ElementsAre(HasSubstr("f.toml:2:")));
}

TEST(TomlDocument, PrintsNoValueInASyntaxError) {
  for (const char* text :
       {"password = 99999999999999999999", "password = 0o7777777777777777777777777",
        "password = hunter2", "password = 1e99999"}) {
    for (const std::string& line : mistakes(text)) {
      EXPECT_EQ(line.find("9999"), std::string::npos) << line;
      EXPECT_EQ(line.find("7777"), std::string::npos) << line;
      EXPECT_EQ(line.find("hunter2"), std::string::npos) << line;
    }
  }
}

TEST(TomlDocument, SubstitutesTheEnvironmentInsideStrings) {
  EXPECT_EQ(
      parsed("a = 'mqtt://${HOST}:1883'\nb = ['${UNSET:-x}', '${EMPTY:-y}', '${EMPTY}', "
             "'$${HOST}', '$HOST $']\n"),
      json::parse(R"({"a":"mqtt://plant.example:1883","b":["x","y","","${HOST}","$HOST $"]})"));
}

TEST(TomlDocument, NeverTakesAnEnvironmentVariableForStructure) {
  const Environment hostile = [](const std::string&) {
    return std::optional<std::string>("x'\nb = 'y");
  };
  Diagnostics diagnostics;
  const auto sut = TomlDocument::parse("a = '${X}'\n", "f.toml", hostile, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_EQ(sut->root(), json({{"a", "x'\nb = 'y"}}));
}

TEST(TomlDocument, ReportsAVariableThatIsNotSet) {
  EXPECT_THAT(
      mistakes("a = 1\nb = ['x', '${UNSET}']\n"),
      ElementsAre(
          "f.toml:2:11: error: environment variable 'UNSET' is not set; set it, or give a default: "
          "${UNSET:-default}"));
}

TEST(TomlDocument, ReportsABrokenSubstitution) {
  const std::string expected =
      " error: expected ${NAME} or ${NAME:-default}; a plain '${' is written '$${'";
  for (const char* text : {"a = '${'", "a = '${}'", "a = '${1X}'", "a = '${HOST'",
                           "a = '${HOST-x}'", "a = '${HOST:+x}'"}) {
    EXPECT_THAT(mistakes(text), ElementsAre("f.toml:1:5:" + expected)) << text;
  }
  EXPECT_THAT(mistakes("a = '${BYTES}'"),
              ElementsAre("f.toml:1:5: error: an environment variable in it is not UTF-8"));
}

TEST(TomlDocument, WithoutAnEnvironmentTakesStringsAsTheyAre) {
  Diagnostics diagnostics;
  const auto sut = TomlDocument::parse("a = '${UNSET}'\n", "f.toml", {}, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_EQ(sut->root()["a"], "${UNSET}");
}

TEST(TomlDocument, RefusesWhatJsonCannotHold) {
  EXPECT_THAT(mistakes("a = nan\nb = -inf\n"),
              ElementsAre("f.toml:1:5: error: nan and inf are not taken, expected a number",
                          "f.toml:2:5: error: nan and inf are not taken, expected a number"));
  EXPECT_THAT(mistakes("a = \"x\\u0000y\"\n"),
              ElementsAre("f.toml:1:5: error: a string may not hold the character \\u0000"));
}

TEST(TomlDocument, BoundsDepthAndLength) {
  std::string deep = "a";
  for (int i = 0; i < 40; ++i) deep += ".a";
  EXPECT_THAT(mistakes(deep + " = 1\n"),
              ElementsAre(HasSubstr("tables are nested deeper than 32 levels")));
  EXPECT_THAT(mistakes("a = " + std::string(40, '[') + std::string(40, ']')),
              ElementsAre(HasSubstr("arrays are nested deeper than 32 levels")));
  EXPECT_THAT(mistakes(std::string(300, 'k') + " = 1\n"),
              ElementsAre("f.toml:1:1: error: a key may have 256 bytes at most"));
  std::string endless = "[a";
  for (int i = 0; i < 1000000; ++i) endless += ".a";
  EXPECT_THAT(mistakes("b = 1\n" + endless + "]\n"),
              ElementsAre("f.toml:2:1: error: syntax: more than 1024 dots in one line; break it"));
}

TEST(TomlDocument, MergesADropInFolderInTheOrderOfNames) {
  const ScratchFolder folder;
  const auto file = folder.write(
      "p.toml",
      "[instances.a]\nx = 1\nlist = [1, 2]\n[instances.a.t]\nk = 1\n[[routes]]\nfrom = 'one'\n");
  folder.write("p.toml.d/20.toml", "[instances.a]\nx = 3\n[[routes]]\nfrom = 'three'\n");
  folder.write("p.toml.d/10.toml",
               "[instances.a]\nx = 2\nlist = [9]\ny = 'new'\nt.l = 2\n[[routes]]\nfrom = "
               "'two'\n[instances.b]\n");
  folder.write("p.toml.d/ignored.txt", "no toml");
  Diagnostics diagnostics;
  const auto sut = TomlDocument::load_with_drop_ins(file, {}, diagnostics);
  ASSERT_TRUE(sut) << test::lines(diagnostics).front();
  EXPECT_EQ(sut->root(),
            json::parse(R"({"instances":{"a":{"x":3,"list":[9],"y":"new","t":{"k":1,"l":2}},"b":{}},
                                         "routes":[{"from":"one"},{"from":"two"},{"from":"three"}]})"));
  EXPECT_EQ(place(sut->value_at("/instances/a/x")), file.string() + ".d/20.toml:2:5");
  EXPECT_EQ(place(sut->value_at("/instances/a/list/0")), file.string() + ".d/10.toml:3:9");
  EXPECT_EQ(place(sut->key_at("/instances/a")), file.string() + ":1:12");
  EXPECT_EQ(place(sut->value_at("/routes/2/from")), file.string() + ".d/20.toml:4:8");
}

TEST(TomlDocument, ReportsASyntaxErrorOfADropInAlone) {
  const ScratchFolder folder;
  const auto file = folder.write("p.toml", "a = '${UNSET}'\n");
  const auto broken = folder.write("p.toml.d/1.toml", "b = [\n");
  Diagnostics diagnostics;
  EXPECT_FALSE(TomlDocument::load_with_drop_ins(file, kVariables, diagnostics));
  EXPECT_THAT(test::lines(diagnostics),
              ElementsAre(HasSubstr(broken.string() + ":1:7: error: syntax: ")));
}

TEST(TomlDocument, RefusesADropInThatOthersCanWrite) {
  const ScratchFolder folder;
  const auto file = folder.write("p.toml", "a = 1\n");
  folder.write("p.toml.d/1.toml", "a = 2\n", 0602);
  Diagnostics diagnostics;
  EXPECT_FALSE(TomlDocument::load_with_drop_ins(file, {}, diagnostics));
  EXPECT_THAT(test::lines(diagnostics), ElementsAre(HasSubstr("p.toml.d/1.toml' (mode 0602")));
}

TEST(TomlDocument, ReportsAFileThatIsNotThere) {
  Diagnostics diagnostics;
  EXPECT_FALSE(TomlDocument::load_with_drop_ins("/nonexistent.toml", {}, diagnostics));
  EXPECT_THAT(
      test::lines(diagnostics),
      ElementsAre(
          "/nonexistent.toml: error: cannot open '/nonexistent.toml': No such file or directory"));
}

TEST(TomlDocument, KnowsTextThatEverybodyCanRead) {
  const ScratchFolder folder;
  const auto file =
      folder.write("p.toml", "a = 'plain'\nb = '${HOST}'\nc = '${UNSET:-plain}'\n", 0644);
  Diagnostics diagnostics;
  const auto readable = TomlDocument::load(file, kVariables, diagnostics);
  ASSERT_TRUE(readable);
  EXPECT_TRUE(readable->is_public_text("/a"));
  EXPECT_FALSE(readable->is_public_text("/b"));
  EXPECT_TRUE(readable->is_public_text("/c"));
  ScratchFolder::set_mode(file, 0640);
  EXPECT_FALSE(TomlDocument::load(file, kVariables, diagnostics)->is_public_text("/a"));
}

}  // namespace
}  // namespace backplane::kernel
