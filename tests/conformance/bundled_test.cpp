// SPDX-License-Identifier: Apache-2.0
// Every bundled plugin keeps the contract of the ABI. The same with the optimised build, where it
// is installed: tests/package/use.sh.
#include "conformance/validation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace backplane::test {
namespace {

using testing::AnyOf;

struct Bundled {
  std::string plugin;
  std::string traits;  // the folder
};

class ABundledPlugin : public testing::TestWithParam<Bundled> {
 protected:
  /// Peers that the tests have built are found where the traits look for them.
  static void SetUpTestSuite() {
    setenv("PATH", (kBuild + "/tests:" + std::getenv("PATH")).c_str(), 1);
  }
};

std::vector<Bundled> bundled() {
  std::vector<Bundled> out = {{"coap", "coap"}, {"coap", "coap_client"}, {"formats", "formats"},
                              {"mqtt", "mqtt"}, {"process", "process"},  {"route", "route"},
                              {"sim", "sim"}};
  if (std::filesystem::exists(kBuild + "/plugins/libbackplane_opcua.so")) {
    out.push_back({"opcua", "opcua"});  // not on a machine without open62541
    out.push_back({"opcua", "opcua_server"});
  }
  return out;
}

TEST_P(ABundledPlugin, KeepsTheContractAlsoInAProcessOfItsOwn) {
  const auto& [plugin, traits] = GetParam();
  std::vector<std::string> args = {"--traits", kSource + traits + "/traits.toml",
                                   kBuild + "/plugins/libbackplane_" + plugin + ".so"};
  const Validation inside = validate(args);
  EXPECT_EQ(inside.code, 0) << inside.errors;
  EXPECT_GE(inside.verdicts.size(), 45u);
  for (const auto& [name, verdict] : inside.verdicts) {
    EXPECT_THAT(verdict.word, AnyOf("pass", "skip")) << name << ": " << verdict.text;
  }
  args.emplace_back("--isolated");
  const Validation isolated = validate(args);
  for (const auto& [name, verdict] : isolated.verdicts) {
    const bool has_own_kernel = name.starts_with("hosts.");
    EXPECT_EQ(verdict.word, has_own_kernel ? "skip" : inside.verdicts.at(name).word)
        << name << ": " << verdict.text;
  }
  EXPECT_EQ(isolated.verdicts.size(), inside.verdicts.size());
}

INSTANTIATE_TEST_SUITE_P(Of, ABundledPlugin, testing::ValuesIn(bundled()),
                         [](const auto& of) { return of.param.traits; });

}  // namespace
}  // namespace backplane::test
