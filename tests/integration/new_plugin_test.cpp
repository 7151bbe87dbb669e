// SPDX-License-Identifier: Apache-2.0
// Where a plugin of one's own begins: `backplane new plugin`, and the example in another language.
// That what is written builds and works, tests/package/check.sh sees, where it is installed.
#include "support/child_process.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace backplane::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

const std::string kBackplane = BP_TEST_BUILD_DIR "/bin/backplane";

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

class NewPlugin : public testing::TestWithParam<std::string> {
 protected:
  ScratchFolder scratch_;
  const fs::path folder_ = scratch_.path() / "made";
};

TEST_P(NewPlugin, HasItsNameInEveryFileAndInTheirNames) {
  ChildProcess made({kBackplane, "new", "plugin", "water_meter2", "--lang", GetParam(), "--folder",
                     folder_.string()});
  ASSERT_EQ(made.wait(), 0) << made.err();
  EXPECT_THAT(made.err(), HasSubstr("cmake -B build"));

  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
    if (!entry.is_regular_file()) {
      continue;
    }
    ++files;
    EXPECT_THAT(made.out(), HasSubstr(entry.path().string() + "\n"));
    EXPECT_THAT(entry.path().string(), Not(HasSubstr("my_plugin")));
    EXPECT_THAT(text_of(entry.path()), Not(HasSubstr("my_plugin"))) << entry.path();
    EXPECT_THAT(text_of(entry.path()), Not(HasSubstr("MyPlugin"))) << entry.path();
  }
  EXPECT_EQ(files, 7u);
  EXPECT_THAT(text_of(folder_ / "plugin_manifests" / "water_meter2.toml"),
              HasSubstr("id = \"water_meter2\""));
  EXPECT_THAT(text_of(folder_ / ("plugin." + GetParam())), HasSubstr("\"water_meter2\""));
}

INSTANTIATE_TEST_SUITE_P(In, NewPlugin, testing::Values("c", "cpp"),
                         [](const auto& of) { return of.param; });

TEST(ANewPlugin, NeverWritesOverWhatIsThere) {
  const ScratchFolder scratch;
  const std::string file = scratch.write("kept.txt", "kept");
  ChildProcess refused({kBackplane, "new", "plugin", "meter", "--folder", scratch.path().string()});
  EXPECT_EQ(refused.wait(), 1);
  EXPECT_THAT(refused.err(), HasSubstr(scratch.path().string() + " exists already"));
  EXPECT_EQ(text_of(file), "kept");
  EXPECT_FALSE(fs::exists(scratch.path() / "CMakeLists.txt"));
}

TEST(ANewPlugin, NeedsAnIdThatAManifestMayHave) {
  const ScratchFolder scratch;
  const std::string folder = scratch.path() / "made";
  for (const std::string id : {"Meter", "2meters", "water-meter", "", "a/b",
                               "a_name_of_more_than_thirty_two_characters"}) {
    ChildProcess refused({kBackplane, "new", "plugin", id, "--folder", folder});
    EXPECT_EQ(refused.wait(), 2) << id;
    EXPECT_THAT(refused.err(), HasSubstr("expected lower case letters")) << id;
    EXPECT_FALSE(fs::exists(folder)) << id;
  }
  ChildProcess refused({kBackplane, "new", "plugin", "meter", "--lang", "go", "--folder", folder});
  EXPECT_EQ(refused.wait(), 2);
}

TEST(APluginInRust, IsReadAndCalled) {
  if (std::system("rustc --version >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "rustc is not installed: apt-get install rustc";
  }
  const ScratchFolder scratch;
  const std::string source = BP_TEST_SOURCE_DIR "/sdk/examples/rust_plugin/";
  ChildProcess compiler({"rustc", "--edition", "2021", "-D", "warnings", "--crate-type", "cdylib",
                         "-C", "panic=abort", "-o", (scratch.path() / "librusty.so").string(),
                         source + "rusty.rs"});
  ASSERT_EQ(compiler.wait(), 0) << compiler.err();
  const std::string system =
      scratch.write("system.toml", "[instances.it]\nplugin = \"rusty\"\nstart = 41\n");

  const auto run = [&](const std::string& verb, const std::string& path) {
    ChildProcess command({kBackplane, "--plugins", scratch.path().string(), "--plugin-manifests",
                          source + "plugin_manifests", verb, "-m", system, "it:" + path});
    const int code = command.wait();
    return std::pair(code, code == 0 ? command.out() : command.err());
  };
  EXPECT_EQ(run("read", "count"), std::pair(0, std::string("41\n")));
  EXPECT_EQ(run("call", "count"), std::pair(0, std::string("42\n")));
  EXPECT_THAT(run("read", "counter").second, HasSubstr("there is 'count' here"));
  EXPECT_EQ(run("watch", "count").first, 1);
}

}  // namespace
}  // namespace backplane::test
