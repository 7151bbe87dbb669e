// SPDX-License-Identifier: Apache-2.0
// backplane key.
#include "support/child_process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace backplane::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

struct Result {
  int code;
  std::string out;
  std::string err;
};

Result run(std::vector<std::string> args) {
  args.insert(args.begin(), {BP_TEST_BUILD_DIR "/bin/backplane", "key"});
  ChildProcess child(std::move(args));
  const int code = child.wait();
  return {code, child.out(), child.err()};
}

TEST(TheCommandKey, SaysTheKeyOfAString) {
  EXPECT_EQ(run({"line 1"}).out, "posix:/line%201\n");
  EXPECT_EQ(run({"--type", "systemv-7", "/run/line1"}).out, "systemv-7:/run/line1\n");
  EXPECT_EQ(run({"--type", "anonymous", "line1"}).out, "anonymous:line1\n");
  EXPECT_EQ(run({"--type", "anonymous", "--for", "semaphore", "line1"}).out, "anonymous:line1\n");
  const Result legacy = run({"--for", "semaphore", "--legacy", "Line 1"});
  EXPECT_THAT(legacy.out, StartsWith("systemv:/"));
  EXPECT_THAT(legacy.out,
              EndsWith("/qipc_systemsem_Line5098889e3c7ade4b7da424a6b40d1531ce420c0f\n"));
}

TEST(TheCommandKey, TellsWhatATextMeans) {
  const Result result = run({"--json", "--text", "systemv-7:/run/line%201"});
  EXPECT_EQ(result.code, 0) << result.err;
  const nlohmann::json expected = {{"key", "systemv-7:/run/line%201"},
                                   {"type", 7},
                                   {"name", "/run/line 1"},
                                   {"shared_memory", true},
                                   {"semaphore", true}};
  EXPECT_EQ(nlohmann::json::parse(result.out), expected);
}

TEST(TheCommandKey, SaysWhatIsWrong) {
  const Result unknown = run({"--text", "mach:/line1"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("a key begins with posix:, systemv:"));
  EXPECT_EQ(run({"--for", "mutex", "line1"}).code, 2);
  EXPECT_EQ(run({"--legacy", "--text", "line1"}).code, 2);
  EXPECT_EQ(run({}).code, 2);
}

}  // namespace
}  // namespace backplane::test
