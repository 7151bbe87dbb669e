// SPDX-License-Identifier: Apache-2.0
// What a server may refuse of a watch of many nodes, and what may go wrong with it.
#include "list_watched.hpp"
#include "support/tcp_relay.hpp"

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The type of a TranslateBrowsePathsToNodeIdsRequest, i=554.
const std::string kFollowPaths("\x01\x00\x2a\x02", 4);
constexpr uint32_t kTooMany = 0x80DB0000;  // BadTooManyMonitoredItems

TEST(ListWatchLimits, NoMoreAreMadeOrEndedAtOnceThanTheServerTakes) {
  for (const OpcuaServer::Options& limits :
       {OpcuaServer::Options{"items_a_call=90"},
        OpcuaServer::Options{"items_a_call=90", "hides_limits=1"}}) {
    const OpcuaServer server(limits);
    OpcuaSystem system(server.port());
    const Watched other(system.connected().open(kTemperature));
    ASSERT_TRUE(other.told.reaches(1));
    StackArena arena;
    ListBuilder nodes(arena);
    constexpr int kNodes = 2000;  // several requests of as many as are thought of at first
    for (int i = 0; i < kNodes; ++i) {
      nodes.add(i == 50 ? "ns=1;s=Nothing" : kTemperature);
    }
    ListWatched watched(system, nodes.view());
    ASSERT_TRUE(watched.told.reaches(kNodes));
    EXPECT_EQ(watched.told.statuses().at("ns=1;s=Nothing"), kIdUnknown);
    const auto items = [&] { return system.open("ns=1;s=Line2.Items").read<int>().value(); };
    EXPECT_EQ(items(), kNodes);
    watched.cancel();
    EXPECT_TRUE(eventually([&] { return items() == 1; }, kPatience));
  }
}

TEST(ListWatchLimits, WhatTheServerHasNoRoomForIsTheStatusOfThoseNodes) {
  const OpcuaServer server({"items=2"});
  OpcuaSystem system(server.port());
  StackArena arena;
  const ListWatched watched(system.connected(), arena.list({kTemperature, kFixed, kProfile}));
  ASSERT_TRUE(watched.told.reaches(3));
  const auto statuses = watched.told.statuses();
  EXPECT_EQ(std::count_if(statuses.begin(), statuses.end(),
                          [](const auto& each) { return each.second == kTooMany; }),
            1);
  EXPECT_FALSE(watched.has_ended());
}

TEST(ListWatchLimits, ASubscriptionThatTheServerRefusesEndsIt) {
  const OpcuaServer server({"subscriptions=1"});
  OpcuaSystem system(server.port());
  const Watched first(system.connected().open(kTemperature));
  ASSERT_TRUE(first.told.has(20.5));
  StackArena arena;
  const ListWatched watched(system, arena.list({kTemperature, kFixed}),
                            {{"publishing_ns", int64_t{1'000'000'000}}});
  EXPECT_EQ(watched.end().code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(std::string(watched.end().message()), HasSubstr("BadTooManySubscriptions"));
  EXPECT_THAT(watched.told.all(), IsEmpty());
}

TEST(ListWatchLimits, NoMorePathsAreFollowedAtOnceThanTheServerTakes) {
  for (const OpcuaServer::Options& limits :
       {OpcuaServer::Options{"paths_a_call=90"},
        OpcuaServer::Options{"paths_a_call=90", "hides_limits=1"}}) {
    const OpcuaServer server(limits);
    TcpRelay relay(server.port());
    OpcuaSystem system(relay.port());
    system.connected();
    relay.look_for(kFollowPaths);
    StackArena arena;
    ListBuilder nodes(arena);
    constexpr int kNodes = 1000;
    for (int i = 0; i < kNodes; ++i) {
      nodes.add(i == 50 ? "/1:Line1/1:Nothing" : "/1:Line1/1:Fixed");
    }
    const ListWatched watched(system, nodes.view());
    ASSERT_TRUE(watched.told.reaches(kNodes));
    if (limits.size() == 1) {
      EXPECT_EQ(relay.seen(), 23u) << "two paths a node: 45 nodes in a request";
    }
    EXPECT_EQ(watched.told.of("/1:Line1/1:Fixed"), std::vector<std::string>(kNodes - 1, "7"));
    EXPECT_EQ(watched.told.statuses().at("/1:Line1/1:Nothing"), kNoMatch);
  }
}

// The server has no limits here.
TEST(ListWatchLimits, ThousandsOfPathsAreFollowedByAFewRequests) {
  const OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  system.connected();
  StackArena arena;
  constexpr int kNodes = 3000;
  const ValueView nodes = many_times(arena, kNodes, "/1:Line1/1:Fixed");
  relay.look_for(kFollowPaths);
  const ListWatched watched(system, nodes);
  ASSERT_TRUE(watched.told.reaches(kNodes));
  EXPECT_GE(relay.seen(), 1u);
  EXPECT_LE(relay.seen(), 12u) << "two paths a node, 500 a request";
}

// A namespace that nobody knows may have come to the server since.
TEST(ListWatchLimits, NamespacesAreAskedForOnceForAllOfAList) {
  const OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  system.connected();
  StackArena arena;
  constexpr int kNodes = 3000;
  const ValueView nodes = many_times(arena, kNodes, "nsu=urn:nobody;s=X");
  relay.look_for({"\x01\x00\xcf\x08", 4});  // its NamespaceArray, i=2255
  const ListWatched watched(system, nodes);
  ASSERT_TRUE(watched.told.reaches(kNodes));
  EXPECT_EQ(watched.told.statuses().at("nsu=urn:nobody;s=X"), kNotFound);
  EXPECT_EQ(relay.seen(), 1u);
}

// As it would be of one that answers nothing for a while.
TEST(ListWatchFaults, ThousandsOfPathsThatAreNotAnsweredInTimeEndNoSession) {
  const OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port(), "request_timeout_s = 0.5\nkeepalive_s = 30");
  system.connected();
  StackArena arena;
  constexpr int kNodes = 1100;  // more than may be late
  const ValueView nodes = many_times(arena, kNodes, "/1:Line1/1:Fixed");
  const Endpoint node = system.open(kTemperature);
  relay.become({.holds = kAnswers});
  const ListWatched watched(system, nodes);
  EXPECT_EQ(node.read().get().status().code(), BP_DEADLINE_EXCEEDED);
  relay.open();
  EXPECT_TRUE(watched.told.reaches(kNodes));
  EXPECT_EQ(system.losses(), 0);
}

TEST(ListWatchFaults, NextSessionHasItAgainAndTellsHowEachNodeIsThen) {
  OpcuaServer server({"namespace=2"});
  OpcuaSystem system(server.port());
  StackArena arena;
  const ListWatched watched(
      system.connected(),
      arena.list({"nsu=urn:plant;s=Line1.Temperature", "ns=2;s=Line1.Fixed", "ns=2;s=Nothing"}));
  ASSERT_TRUE(watched.told.reaches(3));
  server.kill();
  server.become({"namespace=3"});
  server.start();
  ASSERT_TRUE(watched.told.reaches(6));
  EXPECT_EQ(watched.told.initial(), 6u);
  EXPECT_FALSE(watched.has_ended());
  EXPECT_THAT(watched.told.of("ns=2;s=Line1.Fixed"), ElementsAre("7", "null"));
}

// Cut off at other places of what is sent: no item is made twice, none is left out.
TEST(ListWatchFaults, AResetWhileThousandsOfItemsAreAskedForIsSurvived) {
  constexpr size_t kNodes = 2000;
  const OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port(), "session_timeout_s = 3\nkeepalive_s = 1");
  OpcuaSystem other(server.port());
  StackArena arena;
  const ValueView nodes = many_times(arena, kNodes, kTemperature);
  const ListWatched watched(system.connected(), nodes);
  ASSERT_TRUE(watched.told.reaches(kNodes));
  for (const size_t bytes : {30'000u, 60'000u, 90'000u}) {
    const int64_t losses = system.losses();
    relay.become({.cut_after = bytes});
    relay.cut();
    ASSERT_TRUE(eventually([&] { return system.losses() > losses; }, kPatience));
    relay.open();
  }
  ASSERT_TRUE(system.becomes(BP_STATE_UP));
  other.open(kTemperature).write(77.0).or_throw();
  EXPECT_TRUE(eventually([&] { return watched.told.of(kTemperature).size() >= kNodes; }));
  EXPECT_TRUE(eventually(
      [&] {
        const auto texts = watched.told.of(kTemperature);
        return std::count(texts.begin(), texts.end(), "77") >= static_cast<ptrdiff_t>(kNodes);
      },
      kPatience));
  EXPECT_TRUE(eventually(
      [&] { return other.open("ns=1;s=Line2.Items").read<int>().value() == int{kNodes}; },
      kPatience))
      << "those of lost sessions end with them";
  EXPECT_FALSE(watched.has_ended());
}

// The channel is over when what came before that is given, and asks the server for types.
TEST(ListWatchFaults, AnErrorOfTheServerRightBehindAReportEndsNoWatch) {
  const OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  StackArena arena;
  system.connected();
  relay.add_behind(kPointBytes, kErrorMessage);
  const size_t harmed = relay.harmed();
  const ListWatched list(system, arena.list({"ns=1;s=Types.Point", kFixed}));
  const Watched alone(system.open("ns=1;s=Types.Point"));
  const ListWatched plain(system, arena.list({kTemperature}));
  ASSERT_TRUE(eventually([&] { return relay.harmed() > harmed; }, kPatience));
  ASSERT_TRUE(eventually([&] { return system.losses() == 1; }, kPatience));
  EXPECT_TRUE(list.told.has(kFixed, "7"));
  EXPECT_TRUE(eventually([&] { return !list.told.of("ns=1;s=Types.Point").empty(); }, kPatience));
  EXPECT_TRUE(alone.told.reaches(1));
  EXPECT_TRUE(plain.told.has(kTemperature, "20.5"));
  system.open(kTemperature).write(21.5).or_throw();
  EXPECT_TRUE(plain.told.has(kTemperature, "21.5"));
  EXPECT_TRUE(alone.told.all().back().is_initial);
  for (const Story::Entry& each : list.told.all()) {
    EXPECT_TRUE(each.is_initial) << each.node << " " << each.text;
  }
}

TEST(ListWatchFaults, WhatThereIsNoRoomForYetInTheNextSessionIsTriedAgain) {
  const OpcuaServer server({"items=2"});
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port(),
                     "session_timeout_s = 2\nkeepalive_s = 0.2\nrequest_timeout_s = 0.5");
  StackArena arena;
  const ListWatched watched(system.connected(), arena.list({kTemperature, kFixed}));
  ASSERT_TRUE(watched.told.reaches(2));
  relay.strand();  // the server knows nothing of it, and keeps the old session with its items
  ASSERT_TRUE(eventually([&] { return system.losses() == 1; }, kPatience));
  ASSERT_TRUE(watched.told.reaches(4)) << "once the old session is over";
  EXPECT_THAT(watched.told.of(kFixed), ElementsAre("7", "7"));
  EXPECT_FALSE(watched.has_ended());
}

TEST(ListWatchFaults, ASubscriptionThatThereIsNoRoomForYetInTheNextSessionIsTriedAgain) {
  const OpcuaServer server({"all_subscriptions=1"});
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port(),
                     "session_timeout_s = 2\nkeepalive_s = 0.2\nrequest_timeout_s = 0.5");
  StackArena arena;
  const ListWatched watched(system.connected(), arena.list({"ns=1;s=Nothing", kFixed}));
  ASSERT_TRUE(watched.told.reaches(2));
  relay.strand();
  ASSERT_TRUE(eventually([&] { return system.losses() == 1; }, kPatience));
  ASSERT_TRUE(watched.told.reaches(4)) << "once the old session is over";
  EXPECT_THAT(watched.told.of(kFixed), ElementsAre("7", "7"));
  EXPECT_FALSE(watched.has_ended());
}

TEST(ListWatchFaults, ACancelledOneLeavesNothingAtTheServerAlsoBeforeItsSubscriptionIsMade) {
  const OpcuaServer server({"subscriptions=1"});
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  system.connected();
  StackArena arena;
  relay.become({.holds = kAnswers});
  const size_t harmed = relay.harmed();
  ListWatched watched(system, arena.list({kTemperature, kFixed}));
  ASSERT_TRUE(eventually([&] { return relay.harmed() > harmed; }));
  watched.cancel();
  relay.open();
  EXPECT_TRUE(system.open(kTemperature).read().get()) << "answered behind the subscription";
  const ListWatched next(system, arena.list({kTemperature, kFixed}));
  EXPECT_TRUE(next.told.reaches(2)) << next.has_ended();
  EXPECT_EQ(system.losses(), 0);
}

// The server's answer is under way still.
TEST(ListWatchFaults, ACancelledOneLeavesNothingAtTheServerAlsoWhileItsItemsAreMade) {
  const OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  OpcuaSystem other(server.port());
  const auto items = [node = other.connected().open("ns=1;s=Line2.Items")] {
    return node.read<int>().value();
  };
  const Watched first(system.connected().open(kTemperature));
  ASSERT_TRUE(first.told.has(20.5));
  StackArena arena;
  relay.become({.delay = std::chrono::milliseconds(500)});
  ListWatched watched(system, arena.list({kTemperature, kFixed}));
  ASSERT_TRUE(eventually([&] { return items() == 3; }, kPatience));
  watched.cancel();
  EXPECT_TRUE(eventually([&] { return items() == 1; }, kPatience));
  relay.open();
  other.open(kTemperature).write(21.5).or_throw();
  EXPECT_TRUE(first.told.has(21.5));
  EXPECT_EQ(system.losses(), 0);
}

TEST(ListWatchFaults, BeforeThereIsASessionItWaitsForOne) {
  OpcuaServer server;
  server.kill();
  OpcuaSystem system(server.port());
  EXPECT_TRUE(system.becomes(BP_STATE_CONNECTING));
  StackArena arena;
  const ListWatched watched(system, arena.list({kTemperature, kFixed}));
  server.start();
  EXPECT_TRUE(watched.told.reaches(2));
}

}  // namespace
}  // namespace backplane::test
