// SPDX-License-Identifier: Apache-2.0
#include "plugin_catalogue.hpp"

#include "support/diagnostic_lines.hpp"
#include "support/manifest_plugins.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>

namespace backplane::kernel {
namespace {

using nlohmann::json;
using test::ScratchFolder;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string manifest(const std::string& id, const std::string& scheme) {
  return "manifest_version = 1\nid = '" + id +
         "'\nversion = '1.0.0'\ndescription = 'x'\nlicense = 'MIT'\nstatus = 'draft'\n"
         "security_posture = 'local'\nschemes = [{ name = '" +
         scheme +
         "', config_key = 'url', path_prefix = '/' }]\n"
         "[config]\ntype = 'object'\nadditionalProperties = false\nproperties.url = { type = "
         "'string' }\n"
         "properties.size = { default = 3 }\n";
}

TEST(PluginCatalogue, FindsPluginsByIdAndScheme) {
  const ScratchFolder folder;
  folder.write("m/a.toml", manifest("a", "aa"));
  folder.write("m/b.toml", manifest("b", "bb"));
  folder.write("m/README.md", "no manifest");
  PluginCatalogue sut;
  Diagnostics diagnostics;
  EXPECT_TRUE(sut.scan({folder.path() / "m", folder.path() / "absent", folder.path() / "m/../m"},
                       {}, diagnostics));
  EXPECT_THAT(test::lines(diagnostics), IsEmpty());
  EXPECT_THAT(sut.ids(), ElementsAre("a", "b"));
  EXPECT_THAT(sut.schemes(), ElementsAre("aa", "bb"));
  ASSERT_NE(sut.find("b"), nullptr);
  EXPECT_EQ(sut.find("b")->id, "b");
  EXPECT_EQ(sut.find("c"), nullptr);
}

TEST(PluginCatalogue, RefusesTwoWithOneId) {
  const ScratchFolder folder;
  const auto first = folder.write("1/a.toml", manifest("a", "aa"));
  const auto second = folder.write("2/a.toml", manifest("a", "bb"));
  PluginCatalogue sut;
  Diagnostics diagnostics;
  EXPECT_FALSE(sut.scan({folder.path() / "1", folder.path() / "2"}, {}, diagnostics));
  EXPECT_THAT(test::lines(diagnostics),
              ElementsAre(second.string() + ":2:6: error: plugin 'a' is described twice, also at " +
                          first.string() + ":2:6"));
}

TEST(PluginCatalogue, RefusesTwoWithOneScheme) {
  const ScratchFolder folder;
  const auto first = folder.write("m/a.toml", manifest("a", "aa"));
  const auto second = folder.write("m/b.toml", manifest("b", "aa"));
  PluginCatalogue sut;
  Diagnostics diagnostics;
  EXPECT_FALSE(sut.scan({folder.path() / "m"}, {}, diagnostics));
  EXPECT_THAT(
      test::lines(diagnostics),
      ElementsAre(second.string() +
                  ":2:6: error: scheme 'aa' is served by plugin 'a' already, described at " +
                  first.string() + ":2:6"));
}

TEST(PluginCatalogue, TurnsAUrlIntoAConfigurationAndAPath) {
  PluginCatalogue sut;
  Diagnostics diagnostics;
  ASSERT_NE(sut.add(manifest("a", "aa"), "built in", diagnostics), nullptr);
  const auto target = sut.resolve(*parse_address("aa://host:1/b/c?d"), {}, diagnostics);
  ASSERT_TRUE(target);
  EXPECT_EQ(target->plugin, sut.find("a"));
  EXPECT_EQ(target->config.config, json::parse(R"({"url":"aa://host:1","size":3})"));
  EXPECT_EQ(target->path, "/b/c?d");
}

TEST(PluginCatalogue, ReportsAUrlThatNobodyServes) {
  PluginCatalogue sut;
  Diagnostics diagnostics;
  ASSERT_NE(sut.add(test::kManifestPlugins[0], "built in", diagnostics), nullptr);
  EXPECT_FALSE(sut.resolve(*parse_address("mqt://host/x"), {"p.toml", 3, 4}, diagnostics));
  EXPECT_FALSE(sut.resolve(*parse_address("mqtt://9/x"), {"p.toml", 5, 6}, diagnostics));
  EXPECT_THAT(
      test::lines(diagnostics),
      ElementsAre(
          "p.toml:3:4: error: unknown scheme 'mqt', did you mean 'mqtt'?",
          "p.toml:5:6: error: the URL does not configure plugin 'link': 'url' must match the "
          "pattern "
          "'^mqtts?://[a-z]' (the broker's URL), for example url = \"mqtt://localhost:1883\""));
}

}  // namespace
}  // namespace backplane::kernel
