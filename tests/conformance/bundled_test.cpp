// SPDX-License-Identifier: Apache-2.0
// Every bundled plugin keeps the contract of the ABI. The same with the optimised build, where it
// is installed: tests/package/use.sh.
#include "conformance/validation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backplane::test {
namespace {

using testing::AnyOf;

struct Bundled {
  std::string plugin;
  std::string traits;  // the folder
};

class ABundledPlugin : public testing::TestWithParam<Bundled> {};

TEST_P(ABundledPlugin, KeepsTheContract) {
  const auto& [plugin, traits] = GetParam();
  const Validation result = validate({"--traits", kSource + traits + "/traits.toml",
                                      kBuild + "/plugins/libbackplane_" + plugin + ".so"});
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_GE(result.verdicts.size(), 45u);
  for (const auto& [name, verdict] : result.verdicts) {
    EXPECT_THAT(verdict.word, AnyOf("pass", "skip")) << name << ": " << verdict.text;
  }
}

INSTANTIATE_TEST_SUITE_P(Of, ABundledPlugin,
                         testing::Values(Bundled{"coap", "coap"}, Bundled{"coap", "coap_client"},
                                         Bundled{"formats", "formats"}, Bundled{"mqtt", "mqtt"},
                                         Bundled{"process", "process"}, Bundled{"route", "route"},
                                         Bundled{"sim", "sim"}),
                         [](const auto& of) { return of.param.traits; });

}  // namespace
}  // namespace backplane::test
