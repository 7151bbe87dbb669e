// SPDX-License-Identifier: Apache-2.0
// What may go wrong while monitored items and subscriptions are made.
#include "fixture.hpp"
#include "support/tcp_relay.hpp"

#include <list>

namespace backplane::test {
namespace {

using testing::HasSubstr;
constexpr int64_t kSecond = 1'000'000'000;

/// Through a line that breaks, and past it.
class OpcuaWatchFaults : public testing::Test {
 protected:
  explicit OpcuaWatchFaults(OpcuaServer::Options options = {}, const std::string& config = {})
      : server_(std::move(options)), relay_(server_.port()), system_(relay_.port(), config) {
    system_.connected();
  }
  int items() { return other_.open("ns=1;s=Line2.Items").read<int>().value(); }
  bool items_become(int n) {
    return eventually([&] { return items() == n; }, kPatience);
  }

  OpcuaServer server_;
  TcpRelay relay_;
  OpcuaSystem system_;
  OpcuaSystem other_{server_.port()};
};

TEST_F(OpcuaWatchFaults, AWatchThatIsCancelledWhileItsItemIsMadeLeavesNothingAtTheServer) {
  relay_.become({.holds = kAnswers});
  Watched watched(system_.open(kTemperature));
  relay_.open();
  ASSERT_TRUE(watched.told.has(20.5));  // there is a subscription: only the item is to be made
  relay_.become({.holds = kAnswers});
  Watched second(system_.open("ns=1;s=Line1.Fixed"));
  ASSERT_TRUE(items_become(2));
  second.cancel();
  relay_.open();
  EXPECT_TRUE(items_become(1));
}

// The library answers what is under way before it says that the connection is lost.
TEST_F(OpcuaWatchFaults, AConnectionThatIsLostWhileItemsAreMadeEndsNoWatch) {
  const Watched first(system_.open(kTemperature));
  ASSERT_TRUE(first.told.has(20.5));
  relay_.become({.holds = kAnswers});
  const Watched by_id(system_.open("ns=1;s=Line1.Fixed"));
  const Watched by_path(system_.open("/1:Line1/1:Fixed"));
  const Watched of_its_own(system_.open("ns=1;s=Line1.Profile"), [&] {
    static StackArena arena;
    return arena.map({{"publishing_ns", kSecond}});
  }());
  ASSERT_TRUE(items_become(2)) << "of this one the server's answer is held";
  relay_.open();
  relay_.cut();
  EXPECT_TRUE(by_id.told.reaches(1) && by_path.told.reaches(1) && of_its_own.told.reaches(1));
  EXPECT_FALSE(by_id.has_ended() || by_path.has_ended() || of_its_own.has_ended());
}

// In one turn of the loop thousands of items are asked for, and the reset comes in between.
TEST_F(OpcuaWatchFaults, AResetWhileThousandsOfItemsAreAskedForIsSurvived) {
  constexpr int kWatches = 1500;
  const Endpoint node = system_.open(kTemperature);
  std::list<Watched> all;
  for (int i = 0; i < kWatches; ++i) {
    all.emplace_back(node);
  }
  ASSERT_TRUE(items_become(kWatches));
  for (const size_t bytes : {30'000u, 60'000u, 90'000u}) {
    const int64_t losses = system_.losses();
    relay_.become({.cut_after = bytes});
    relay_.cut();
    ASSERT_TRUE(eventually([&] { return system_.losses() > losses; }, kPatience));
    relay_.open();
  }
  EXPECT_TRUE(
      std::none_of(all.begin(), all.end(), [](const auto& each) { return each.has_ended(); }));
  ASSERT_TRUE(system_.becomes(BP_STATE_UP));
  const auto has_all = [&] {
    return std::all_of(all.begin(), all.end(), [](const auto& each) {
      return !each.told.numbers().empty() && each.told.numbers().back() == 77;
    });
  };
  other_.open(kTemperature).write(77.0).or_throw();
  EXPECT_TRUE(eventually(has_all, kPatience));
}

TEST(OpcuaNextSession, EndsAWatchOfANodeThatIsNotThereAnyMore) {
  OpcuaServer server({"namespace=2"});
  OpcuaSystem system(server.port());
  const Watched watched(system.connected().open("ns=2;s=Line1.Temperature"));
  ASSERT_TRUE(watched.told.has(20.5));
  server.kill();
  server.become({"namespace=3"});
  server.start();
  EXPECT_EQ(watched.end().code(), BP_NOT_FOUND);
}

class OpcuaOneSubscription : public OpcuaWatchFaults {
 protected:
  OpcuaOneSubscription() : OpcuaWatchFaults({"subscriptions=1"}) {}
};

TEST_F(OpcuaOneSubscription, ASubscriptionThatTheServerRefusesEndsItsWatchesAlone) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const Watched first(node);
  ASSERT_TRUE(first.told.has(20.5));
  const Watched one_more(node, arena.map({{"publishing_ns", kSecond}}));
  EXPECT_EQ(one_more.end().code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(std::string(one_more.end().message()),
              HasSubstr("making a subscription: BadTooManySubscriptions"));
  node.write(21.5).or_throw();
  EXPECT_TRUE(first.told.has(21.5));
  EXPECT_EQ(system_.losses(), 0);
}

TEST_F(OpcuaOneSubscription, TheLastWatchTakesTheSubscriptionWithItAlsoBeforeItsItemIsMade) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  relay_.become({.holds = kAnswers});
  Watched first(node);
  const size_t harmed = relay_.harmed();
  ASSERT_TRUE(eventually([&] { return relay_.harmed() > harmed; }));
  first.cancel();
  relay_.open();
  EXPECT_TRUE(system_.open(kTemperature).read().get());
  const Watched second(node, arena.map({{"publishing_ns", kSecond}}));
  EXPECT_TRUE(second.told.has(20.5)) << second.has_ended();
}

class OpcuaOneItem : public OpcuaWatchFaults {
 protected:
  OpcuaOneItem()
      : OpcuaWatchFaults({"items=1"},
                         "session_timeout_s = 2\nkeepalive_s = 0.2\nrequest_timeout_s = 0.5") {}
};

TEST_F(OpcuaOneItem, AnItemForWhichThereIsNoRoomYetInTheNextSessionIsTriedAgain) {
  const Watched watched(system_.open(kTemperature));
  ASSERT_TRUE(watched.told.has(20.5));
  relay_.strand();  // the server knows nothing of it, and keeps the old session with its item
  ASSERT_TRUE(eventually([&] { return system_.losses() == 1; }, kPatience));
  EXPECT_TRUE(watched.told.reaches(2)) << "once the old session is over";
  EXPECT_FALSE(watched.has_ended());
}

TEST_F(OpcuaOneItem, AnItemForWhichThereIsNoRoomIsRefusedTheFirstTime) {
  const Watched watched(system_.open(kTemperature));
  ASSERT_TRUE(watched.told.has(20.5));
  const Watched one_more(system_.open(kTemperature));
  EXPECT_EQ(one_more.end().code(), BP_RESOURCE_EXHAUSTED);
}

class OpcuaItemsACall : public OpcuaWatchFaults,
                        public testing::WithParamInterface<OpcuaServer::Options> {
 protected:
  OpcuaItemsACall() : OpcuaWatchFaults(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(Limits, OpcuaItemsACall,
                         testing::Values(OpcuaServer::Options{"items_a_call=7"},
                                         OpcuaServer::Options{"items_a_call=7", "hides_limits=1"}),
                         [](const auto& tested) {
                           return tested.param.size() == 1 ? "Told" : "FoundOut";
                         });

TEST_P(OpcuaItemsACall, NoMoreAreMadeAtOnceThanTheServerTakes) {
  const Endpoint node = system_.open(kTemperature);
  std::list<Watched> all;
  for (int i = 0; i < 100; ++i) {
    all.emplace_back(node);
  }
  EXPECT_TRUE(items_become(100));
  for (const Watched& each : all) {
    EXPECT_TRUE(each.told.has(20.5));
  }
}

}  // namespace
}  // namespace backplane::test
