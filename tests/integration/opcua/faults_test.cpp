// SPDX-License-Identifier: Apache-2.0
// The server is absent, dies, comes back, or does not answer.
#include "fixture.hpp"

namespace backplane::test {
namespace {

using testing::HasSubstr;
constexpr auto kNode = "ns=1;s=Line1.Temperature";

TEST(OpcuaFaults, AnAbsentServerIsNamedWithTheReason) {
  const uint16_t port = free_port_base();
  OpcuaSystem system(port);
  const Status status = system.open(kNode).read().get().status();
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr(concat("no session with opc.tcp://127.0.0.1:", port, ": Connection refused")));
  EXPECT_EQ(system.info().state, BP_STATE_CONNECTING);
}

TEST(OpcuaFaults, AServerThatStartsLastIsFound) {
  OpcuaServer server;
  server.kill();
  OpcuaSystem system(server.port());
  EXPECT_FALSE(system.open(kNode).read().get());
  server.start();
  EXPECT_TRUE(system.becomes(BP_STATE_UP));
  EXPECT_EQ(system.open(kNode).read<double>().value(), 20.5);
}

TEST(OpcuaFaults, AKilledServerIsDownAndItsWatchesGoOnWhenItReturns) {
  OpcuaServer server;
  OpcuaSystem system(server.port());
  const Endpoint node = system.connected().open(kNode);
  const Told told;
  const auto watching = node.watch(told);
  ASSERT_TRUE(told.has(20.5));
  node.write(30.5).or_throw();
  ASSERT_TRUE(told.has(30.5));
  server.kill();
  ASSERT_TRUE(system.becomes(BP_STATE_CONNECTING));
  EXPECT_EQ(node.read().get().status().code(), BP_UNAVAILABLE);

  server.start();
  const auto since = std::chrono::steady_clock::now();
  ASSERT_TRUE(system.becomes(BP_STATE_UP));
  EXPECT_LT(std::chrono::steady_clock::now() - since, 10s);
  node.write(31.5).or_throw();
  EXPECT_TRUE(told.has(31.5));
  const auto all = told.all();
  EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const auto& each) { return each.is_initial; }),
            2)
      << "the present value once a session";
}

TEST(OpcuaFaults, AServerThatDoesNotAnswerIsNotUp) {
  OpcuaServer server;
  OpcuaSystem system(server.port(), "keepalive_s = 0.2\nrequest_timeout_s = 1");
  ASSERT_TRUE(system.becomes(BP_STATE_UP));
  server.freeze();
  const Status status = system.open(kNode).read().get().status();
  EXPECT_THAT(status.code(), testing::AnyOf(BP_DEADLINE_EXCEEDED, BP_UNAVAILABLE))
      << status.to_string();
  EXPECT_TRUE(system.becomes(BP_STATE_CONNECTING));
  server.go_on();
  EXPECT_TRUE(system.becomes(BP_STATE_UP));
}

TEST(OpcuaFaults, APortWhereNobodySpeaksOpcUaIsGivenUpInTime) {
  const uint16_t port = free_port_base();
  const HeldPort silent(SOCK_STREAM, port);
  ASSERT_EQ(listen(silent.descriptor(), 8), 0);
  OpcuaSystem system(port, "connect_timeout_s = 0.2");
  const Status status = system.open(kNode).read().get().status();
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(status.message()), HasSubstr("connect_timeout_s"));
}

}  // namespace
}  // namespace backplane::test
