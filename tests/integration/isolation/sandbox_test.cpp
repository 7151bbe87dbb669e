// SPDX-License-Identifier: Apache-2.0
// What the system refuses a plugin that has asked for nothing, and limits.
#include "integration/isolation/fixture.hpp"
#include "support/scratch_folder.hpp"

#include <cerrno>

namespace backplane::test {
namespace {

using testing::AnyOf;

class AConfinedPlugin : public IsolatedInstances {
 protected:
  int attempt(std::string_view what) {
    return open("it:try").call<int>(what).within(10s).get().value_or(-1);
  }
};

TEST_F(AConfinedPlugin, ReadsNoFileButThoseOfTheSystem) {
  ASSERT_TRUE(start_it().is_ok());
  EXPECT_EQ(attempt("read:/usr/bin/env"), 0);
  EXPECT_EQ(attempt("read:/etc/passwd"), EACCES);
  EXPECT_EQ(attempt("read:" BP_TEST_SOURCE_DIR "/README.md"), EACCES);
}

TEST_F(AConfinedPlugin, WritesNoFile) {
  ASSERT_TRUE(start_it().is_ok());
  EXPECT_EQ(attempt("write:/tmp/backplane-sandbox-test"), EACCES);
  EXPECT_EQ(attempt("write:/dev/null"), 0);
}

TEST_F(AConfinedPlugin, HasNoNetworkAndStartsNoProcess) {
  ASSERT_TRUE(start_it().is_ok());
  EXPECT_EQ(attempt("socket"), EPERM);
  EXPECT_EQ(attempt("fork"), EPERM);
  EXPECT_THAT(attempt("execute"), AnyOf(EPERM, EACCES));
}

TEST_F(AConfinedPlugin, ReachesNoOtherProcess) {
  ASSERT_TRUE(start_it().is_ok());
  EXPECT_EQ(attempt("trace"), EPERM);
  EXPECT_EQ(attempt(concat("signal:", getpid())), EPERM) << log();
}

TEST_F(AConfinedPlugin, SendsNoDatagramAndConnectsByNoOtherCall) {
  ASSERT_TRUE(start_it().is_ok());
  EXPECT_EQ(attempt("datagram"), EPERM);
  EXPECT_EQ(attempt("fast_open"), EPERM);
}

TEST_F(AConfinedPlugin, ChangesNoLimitAndNoPriorityOfAnotherProcess) {
  ASSERT_TRUE(start_it().is_ok());
  EXPECT_EQ(attempt("limit:0"), 0) << "its own";
  EXPECT_EQ(attempt(concat("limit:", getpid())), EPERM);
  EXPECT_EQ(attempt(concat("priority:", getpid())), EPERM);
}

TEST_F(AConfinedPlugin, ChangesNothingOfAFile) {
  const ScratchFolder folder;
  folder.write("file", "text");
  ASSERT_TRUE(start_it().is_ok());
  EXPECT_EQ(attempt(concat("mode:", (folder.path() / "file").string())), EPERM);
  EXPECT_EQ(attempt(concat("empty:", (folder.path() / "file").string())), EPERM);
}

TEST_F(AConfinedPlugin, ThatMayStartProcessesReachesNoOtherOneAllTheSame) {
  const ScratchFolder folder;
  const std::string answer = (folder.path() / "answer").string();
  const std::string script =
      concat("kill -0 ", getpid(), " || echo no signal > ", answer, "; (exec 3< /proc/", getpid(),
             "/mem) || echo no memory >> ", answer, "; echo end >> ", answer, "; sleep 1000");
  ASSERT_TRUE(start(concat(R"(
[instances.it]
plugin = "process"
isolation = "process"
command = ["/bin/sh", "-c", ")",
                           script, "\"]\n"))
                  .is_ok())
      << log();
  std::string text;
  EXPECT_TRUE(eventually([&] {
    std::ifstream file(answer);
    text.assign(std::istreambuf_iterator<char>(file), {});
    return text.ends_with("end\n");
  })) << log();
  EXPECT_EQ(text, "no signal\nno memory\nend\n");
}

TEST_F(AConfinedPlugin, TakesNoMoreMemoryThanItMay) {
  ASSERT_TRUE(start_it("isolated.memory_mib = 64\n").is_ok());
  EXPECT_EQ(attempt("memory:4"), 0) << "16 MiB";
  EXPECT_EQ(attempt("memory:8"), ENOMEM) << "256 MiB";
}

TEST_F(AConfinedPlugin, ThatSpinsIsEndedAndStartedAgain) {
  ASSERT_TRUE(start_it("isolated.cpu_percent = 5\n").is_ok());
  const Endpoint fine = open("it:fine");
  const auto answer = open("it:try").call<int>("spin").within(30s).get();
  EXPECT_EQ(answer.status().code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(answer.status().message()), testing::HasSubstr("cpu_percent"));
  EXPECT_TRUE(eventually([&] { return process(fine) > 0; }));
}

TEST_F(AConfinedPlugin, LeavesNothingToComplainOfWhenItStops) {
  ASSERT_TRUE(start_it().is_ok());
  EXPECT_TRUE(kernel_->stop().is_ok());
  EXPECT_FALSE(logged("ended badly")) << log();
  EXPECT_FALSE(logged("printed:")) << log();
}

}  // namespace
}  // namespace backplane::test
