// SPDX-License-Identifier: Apache-2.0
// What an isolated plugin gets of its kernel, and of the system.
#include "integration/isolation/fixture.hpp"

#include <cstdlib>

namespace backplane::test {
namespace {

using testing::HasSubstr;

class AnIsolatedPlugin : public IsolatedInstances {};

TEST_F(AnIsolatedPlugin, RunsInADirectChildWithAnEmptyEnvironmentAndItsSocketAlone) {
  ASSERT_TRUE(start_it().is_ok());
  const OwnedMessage look = open("it:look").read().value();
  EXPECT_EQ(look.body().find("parent"), ValueView(int64_t{getpid()}));
  EXPECT_EQ(look.body().find("variables"), ValueView(int64_t{0}));
  // Standard input, output and error, and the link's socket and memory.
  EXPECT_EQ(look.body().find("descriptors"), ValueView(int64_t{5}));
  EXPECT_NE(look.body().find("session"), ValueView(int64_t{getsid(0)}));
}

TEST_F(AnIsolatedPlugin, LogsReportsItsStateAndCountsAsItsInstance) {
  ASSERT_TRUE(start_it().is_ok());
  EXPECT_TRUE(logged("it: it runs")) << log();
  EXPECT_EQ(info().state, BP_STATE_UP);
  EXPECT_EQ(info().detail, "at work");
  EXPECT_EQ(info().plugin, "crashing");
  const Endpoint first = open("it:fine");
  const Endpoint second = open("it:fine");
  EXPECT_TRUE(eventually([&] {
    for (const MetricInfo& metric : kernel_->metrics()) {
      if (metric.instance == "it" && metric.name == "opened_total") return metric.value == 2;
    }
    return false;
  }));
}

TEST_F(AnIsolatedPlugin, CountsOnAfterItWasStartedAgain) {
  ASSERT_TRUE(start_it().is_ok());
  const Endpoint fine = open("it:fine");
  const auto opened = [&] {
    for (const MetricInfo& metric : kernel_->metrics()) {
      if (metric.name == "opened_total") return metric.value;
    }
    return int64_t{-1};
  };
  ASSERT_TRUE(eventually([&] { return opened() == 1; }));
  ASSERT_EQ(kill(process(fine), SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return process(fine) > 0; }));
  EXPECT_TRUE(eventually([&] { return opened() == 2; })) << opened();
}

TEST_F(AnIsolatedPlugin, GetsTheCredentialThatItsConfigurationNamesAlsoOnTheLoop) {
  ASSERT_TRUE(start(R"(
[credentials.mine]
password = "secret"
[instances.it]
plugin = "crashing"
isolation = "process"
credential = "mine"
)")
                  .is_ok());
  EXPECT_EQ(open("it:credential").call<std::string>().within(10s).get().value_or("none"), "secret");
}

TEST_F(AnIsolatedPlugin, IsRefusedACredentialThatItsConfigurationDoesNotName) {
  ASSERT_TRUE(start_it().is_ok());
  const auto answer = open("it:credential").call<std::string>().within(10s).get();
  EXPECT_EQ(answer.status().code(), BP_PERMISSION_DENIED);
}

constexpr std::string_view kTwo = R"(
[instances.other]
plugin = "crashing"
[instances.it]
plugin = "crashing"
isolation = "process"
reads = "other:fine"
)";

TEST_F(AnIsolatedPlugin, OpensWhatItsInstanceMayOpen) {
  ASSERT_TRUE(start(kTwo).is_ok());
  EXPECT_EQ(open("it:reads").call<int64_t>().within(10s).get().value_or(0), getpid());
}

TEST_F(AnIsolatedPlugin, IsRefusedWhatItsInstanceMayNotOpen) {
  ASSERT_TRUE(start(kTwo).is_ok());
  const auto answer = open("it:reads").call<int64_t>("other:look").within(10s).get();
  EXPECT_EQ(answer.status().code(), BP_PERMISSION_DENIED);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("'it' may not open 'other:look'"));
}

TEST_F(AnIsolatedPlugin, OpensAnotherIsolatedPlugin) {
  ASSERT_TRUE(start(R"(
[instances.other]
plugin = "crashing"
isolation = "process"
[instances.it]
plugin = "crashing"
isolation = "process"
reads = "other:fine"
)")
                  .is_ok());
  const Endpoint other = open("other:fine");
  const Endpoint reads = open("it:reads");
  EXPECT_EQ(reads.call<int64_t>().within(10s).get().value_or(0), process(other));
}

}  // namespace
}  // namespace backplane::test
