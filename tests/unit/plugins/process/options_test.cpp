// SPDX-License-Identifier: Apache-2.0
#include "plugins/process/options.hpp"

#include "test_options.hpp"

#include <gmock/gmock.h>

#include <csignal>
#include <cstdlib>

namespace backplane::process {
namespace {

using test::ProcessConfig;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

std::string error_of(const ProcessConfig& config) {
  try {
    static_cast<void>(config.options());
  } catch (const Error& error) {
    return std::string(error.status().message());
  }
  return "no error";
}

TEST(ProcessOptions, ReadAddressesWithoutANameServer) {
  for (const std::string_view tcp : {"127.0.0.1:1883", "localhost:1883", "[::1]:1883"}) {
    ProcessConfig config{"true"};
    const Options options = config.ready({{"tcp", tcp}}).options();
    EXPECT_EQ(options.ready.tcp_address.ss_family, tcp[0] == '[' ? AF_INET6 : AF_INET);
    EXPECT_GT(options.ready.tcp_address_size, 0U);
  }
  ProcessConfig config{"true"};
  EXPECT_THAT(error_of(config.ready({{"tcp", "example.org:1"}})), HasSubstr("ready.tcp"));
}

TEST(ProcessOptions, SayWhatIsWrongWithARegularExpression) {
  ProcessConfig config{"true"};
  EXPECT_THAT(error_of(config.ready({{"log", "("}})), HasSubstr("regular expression '('"));
}

TEST(ProcessOptions, KnowSignalsByNameAndNumber) {
  EXPECT_EQ(signal_number("SIGTERM"), SIGTERM);
  EXPECT_EQ(signal_number("HUP"), SIGHUP);
  EXPECT_EQ(signal_number("9"), SIGKILL);
  EXPECT_EQ(signal_number("SIGNO"), std::nullopt);
  EXPECT_EQ(signal_number("0"), std::nullopt);
  EXPECT_EQ(signal_number("-1"), std::nullopt);
  EXPECT_EQ(signal_number("4000"), std::nullopt);
  EXPECT_EQ(signal_name(SIGINT), "SIGINT");
  ProcessConfig config{"true"};
  EXPECT_THAT(error_of(config.set("stop_signal", "SIGNO")), HasSubstr("'SIGNO'"));
}

TEST(ProcessOptions, PutTheirVariablesInPlaceOfThoseOfThisProcess) {
  setenv("BP_TEST_BOTH", "old", 1);
  setenv("BP_TEST_OURS", "kept", 1);
  ProcessConfig config{"true"};
  StackArena arena;
  config.set("env", arena.map({{"BP_TEST_BOTH", "new"}, {"BP_TEST_THEIRS", ""}}));
  const std::vector<std::string> environment = config.options().environment;
  EXPECT_THAT(environment, Contains("BP_TEST_BOTH=new"));
  EXPECT_THAT(environment, Not(Contains("BP_TEST_BOTH=old")));
  EXPECT_THAT(environment, Contains("BP_TEST_OURS=kept"));
  EXPECT_THAT(environment, Contains("BP_TEST_THEIRS="));
}

TEST(ProcessOptions, ShowTheCommandCut) {
  const std::string longer(100, 'x');
  EXPECT_EQ((ProcessConfig{"echo", "a"}.options().text()), "echo a");
  EXPECT_EQ((ProcessConfig{"echo", longer}.options().text().size()), 80U);
}

}  // namespace
}  // namespace backplane::process
