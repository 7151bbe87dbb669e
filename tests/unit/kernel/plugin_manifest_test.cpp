// SPDX-License-Identifier: Apache-2.0
#include "plugin_manifest.hpp"

#include "support/diagnostic_lines.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

namespace backplane::kernel {
namespace {

namespace fs = std::filesystem;
using test::ScratchFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kHead =
    "manifest_version = 1\nid = 'lamp'\nversion = '1.2.3'\ndescription = 'Switches lamps'\nlicense "
    "= 'MIT'\n"
    "status = 'draft'\nsecurity_posture = 'trusted_peers'\n";
const std::string kConfig =
    "[config]\ntype = 'object'\nadditionalProperties = false\nproperties.url = { type = 'string' "
    "}\n";

std::vector<std::string> mistakes(const std::string& text) {
  Diagnostics diagnostics;
  const auto manifest = PluginManifestReader().parse(text, "lamp.toml", diagnostics);
  EXPECT_EQ(manifest.has_value(), !diagnostics.has_errors());
  return test::lines(diagnostics);
}

std::string page_example() {
  std::ifstream page(BP_TEST_SOURCE_DIR "/plugin_manifests/README.md");
  std::stringstream text;
  text << page.rdbuf();
  const std::string all = text.str();
  const std::size_t start = all.find("```toml\n") + 8;
  return all.substr(start, all.find("```", start) - start);
}

TEST(PluginManifest, OfThePageHasEverything) {
  const ScratchFolder folder;
  const fs::path file = folder.write("lamp.toml", page_example());
  Diagnostics diagnostics;
  const auto sut = PluginManifestReader().load(file, {}, diagnostics);
  ASSERT_TRUE(sut) << test::lines(diagnostics).front();
  EXPECT_EQ(sut->id, "lamp");
  EXPECT_EQ(sut->version, "1.0.0");
  EXPECT_EQ(sut->security_posture, "trusted_peers");
  EXPECT_EQ(sut->abi_minor, 0);
  EXPECT_TRUE(sut->multi_instance);
  EXPECT_FALSE(sut->own_threads);
  EXPECT_EQ(sut->resident_threads, 0U);
  EXPECT_THAT(sut->services_needed, ElementsAre("bp.endpoint/1", "bp.executor/1"));
  EXPECT_THAT(sut->services_optional, ElementsAre("bp.metrics/1"));
  ASSERT_EQ(sut->schemes.size(), 1U);
  EXPECT_EQ(sut->schemes[0].name, "lamp");
  EXPECT_EQ(sut->schemes[0].config_key, "url");
  EXPECT_TRUE(sut->permissions.connect);
  EXPECT_FALSE(sut->permissions.listen);
  EXPECT_TRUE(sut->permissions.cover(Verb::kWatch, AddressPattern::parse("any:thing")));
  EXPECT_FALSE(sut->permissions.cover(Verb::kWrite, AddressPattern::parse("any:thing")));
  EXPECT_EQ(sut->library, folder.path() / "libbackplane_lamp.so");
}

TEST(PluginManifest, OfEveryBundledPluginIsGood) {
  int found = 0;
  for (const auto& entry : fs::directory_iterator(BP_TEST_SOURCE_DIR "/plugin_manifests")) {
    if (entry.path().extension() != ".toml") continue;
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_THAT(mistakes(text.str()), IsEmpty()) << entry.path();
    ++found;
  }
  EXPECT_GT(found, 0);
}

TEST(PluginManifest, NamesEveryKeyThatIsMissing) {
  EXPECT_THAT(
      mistakes("manifest_version = 1\nid = 'lamp'\nversion = '1.0.0'\ndescription = 'x'\nlicense = "
               "'MIT'\n"),
      ElementsAre(
          "lamp.toml:1:1: error: missing key 'status' (one of \"draft\", \"stable\", "
          "\"deprecated\"), for "
          "example status = \"draft\"",
          "lamp.toml:1:1: error: missing key 'security_posture' (one of \"local\", "
          "\"trusted_peers\", "
          "\"untrusted_peers\": whose bytes it may be given), for example security_posture = "
          "\"trusted_peers\"",
          "lamp.toml:1:1: error: missing key 'config' (table: the JSON Schema of an instance's "
          "configuration)"));
}

TEST(PluginManifest, RefusesAnUnknownKey) {
  EXPECT_THAT(
      mistakes(kHead + "resident_thread = 3\n" + kConfig),
      ElementsAre(
          "lamp.toml:8:1: error: unknown key 'resident_thread', did you mean 'resident_threads'?"));
}

TEST(PluginManifest, RefusesAnotherVersionOfTheFormat) {
  std::string text = kHead + kConfig;
  text.replace(text.find("= 1"), 3, "= 2");
  EXPECT_THAT(mistakes(text),
              ElementsAre("lamp.toml:1:20: error: 'manifest_version' must be 1, found 2"));
}

TEST(PluginManifest, RefusesABrokenSchemaAtItsPlace) {
  EXPECT_THAT(
      mistakes(kHead + "[config]\ntype = 'object'\nadditionalProperties = false\nproperties.url = "
                       "{ tpye = 'string' }\n"),
      ElementsAre("lamp.toml:11:20: error: unknown schema keyword 'tpye', did you mean 'type'?"));
}

TEST(PluginManifest, LeavesTheKeysOfTheSystemManifestAlone) {
  EXPECT_THAT(
      mistakes(kHead + kConfig + "properties.after = { type = 'string' }\n"),
      ElementsAre(
          "lamp.toml:12:12: error: key 'after' belongs to the system manifest; name it otherwise"));
}

TEST(PluginManifest, GivesASchemeAKeyThatExists) {
  EXPECT_THAT(mistakes(kHead + "schemes = [{ name = 'lamp', config_key = 'uri' }]\n" + kConfig),
              ElementsAre("lamp.toml:8:42: error: [config] has no property 'uri'"));
  EXPECT_THAT(mistakes(kHead +
                       "schemes = [{ name = 'lamp', config_key = 'url' }, { name = 'lamp', "
                       "config_key = 'url' }]\n" +
                       kConfig),
              ElementsAre("lamp.toml:8:60: error: scheme 'lamp' is listed twice"));
}

TEST(PluginManifest, AsksForTheVerbsThatItsConfigurationNames) {
  EXPECT_THAT(
      mistakes(kHead + "permissions.watch = ['*']\n" + kConfig +
               "properties.mirror = { type = 'string', x-backplane-verbs = ['watch', 'call'] }\n"),
      ElementsAre("lamp.toml:13:60: error: the configuration names addresses to call, but "
                  "[permissions] has no "
                  "'call', for example call = [\"*\"]"));
}

TEST(PluginManifest, LinkedInHasNoLibrary) {
  EXPECT_THAT(
      mistakes(kHead + "library = 'x.so'\n" + kConfig),
      ElementsAre(
          "lamp.toml:8:1: error: a plugin that is linked in has no 'library'; remove the key"));
}

TEST(PluginManifest, IsNamedAfterItsId) {
  const ScratchFolder folder;
  const fs::path file = folder.write("lapm.toml", kHead + kConfig);
  Diagnostics diagnostics;
  EXPECT_FALSE(PluginManifestReader().load(file, {}, diagnostics));
  EXPECT_THAT(
      test::lines(diagnostics),
      ElementsAre(file.string() +
                  ":2:6: error: id 'lamp' stands in the file 'lapm.toml', expected 'lamp.toml'"));
}

TEST(PluginManifest, IsRefusedIfOthersCanWriteIt) {
  const ScratchFolder folder;
  const fs::path file = folder.write("lamp.toml", kHead + kConfig, 0666);
  Diagnostics diagnostics;
  EXPECT_FALSE(PluginManifestReader().load(file, {}, diagnostics));
  EXPECT_THAT(test::lines(diagnostics),
              ElementsAre(HasSubstr("can be written by everybody: chmod o-w")));
}

class PluginManifestLibrary : public ::testing::Test {
 protected:
  /// Where the library is found for this line of the manifest; else the mistake.
  std::string found(const std::string& line) {
    const fs::path file = folder_.write("manifests/lamp.toml", kHead + line + "\n" + kConfig);
    Diagnostics diagnostics;
    const auto sut = PluginManifestReader().load(file, {folder_.path() / "plugins"}, diagnostics);
    if (!sut) return test::lines(diagnostics).front();
    return sut->library.lexically_normal().lexically_relative(folder_.path());
  }

  ScratchFolder folder_;
};

TEST_F(PluginManifestLibrary, IsLookedForInThePluginFolderFirst) {
  EXPECT_EQ(found(""), "plugins/libbackplane_lamp.so");  // in neither yet
  folder_.write("manifests/libbackplane_lamp.so", "");
  EXPECT_EQ(found(""), "manifests/libbackplane_lamp.so");
  folder_.write("plugins/libbackplane_lamp.so", "");
  EXPECT_EQ(found(""), "plugins/libbackplane_lamp.so");
}

TEST_F(PluginManifestLibrary, MayBeNamed) {
  folder_.write("plugins/other.so", "");
  EXPECT_EQ(found("library = 'other.so'"), "plugins/other.so");
}

TEST_F(PluginManifestLibrary, StaysInsideThePluginFolderOrItsOwn) {
  folder_.write("plugins/lamp/x.so", "");
  folder_.write("elsewhere/x.so", "");
  fs::create_directory_symlink(folder_.path() / "elsewhere", folder_.path() / "plugins/link");
  EXPECT_EQ(found("library = '../plugins/lamp/x.so'"), "plugins/lamp/x.so");
  EXPECT_EQ(found("library = './x.so'"), "manifests/x.so");
  for (const std::string path :
       {"../elsewhere/x.so", "/etc/passwd", "..", "../plugins/../elsewhere/x.so",
        "../plugins/link/x.so", "../plugins-too/x.so"}) {
    EXPECT_THAT(
        found("library = '" + path + "'"),
        HasSubstr(
            ":8:11: error: the library '" + path +
            "' lies neither in a plugin folder nor beside its manifest, expected a file name"));
  }
}

TEST_F(PluginManifestLibrary, MayBePinned) {
  const std::string digest(64, 'A');
  const fs::path file = folder_.write("lamp.toml", kHead + "sha256 = '" + digest + "'\n" + kConfig);
  Diagnostics diagnostics;
  const auto sut = PluginManifestReader().load(file, {}, diagnostics);
  ASSERT_TRUE(sut);
  EXPECT_EQ(sut->sha256, std::string(64, 'a'));
  EXPECT_THAT(
      found("sha256 = 'abc'"),
      HasSubstr("'sha256' must match the pattern '^[0-9A-Fa-f]{64}$' (64 hexadecimal digits)"));
}

}  // namespace
}  // namespace backplane::kernel
