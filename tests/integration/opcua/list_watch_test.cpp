// SPDX-License-Identifier: Apache-2.0
// One watch of many nodes of a real server.
#include "list_watched.hpp"

#include <list>

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

class ListWatch : public Opcua {
 protected:
  int items() { return system_.open("ns=1;s=Line2.Items").read<int>().value(); }
  bool items_become(int n) {
    return eventually([&] { return items() == n; }, kPatience);
  }
  StackArena<> arena_;
};

TEST_F(ListWatch, ThePresentValueOfEachNodeComesFirstAndEachChangeSaysWhoseItIs) {
  const ListWatched watched(
      system_, arena_.list({kTemperature, kFixed, "/1:Line1/1:Profile",
                            "nsu=urn:backplane:test:server;s=Line1.Fixed@DisplayName"}));
  ASSERT_TRUE(watched.told.reaches(4));
  EXPECT_EQ(watched.told.initial(), 4u);
  EXPECT_THAT(watched.told.of(kTemperature), ElementsAre("20.5"));
  EXPECT_THAT(watched.told.of(kFixed), ElementsAre("7"));
  EXPECT_THAT(watched.told.of("/1:Line1/1:Profile"), ElementsAre("[1,2,3,4]"));
  EXPECT_THAT(watched.told.of("nsu=urn:backplane:test:server;s=Line1.Fixed@DisplayName"),
              ElementsAre(HasSubstr("Fixed")));
  for (const double value : {21.5, 22.5}) {
    system_.open(kTemperature).write(value).or_throw();
  }
  ASSERT_TRUE(watched.told.has(kTemperature, "22.5"));
  const auto all = watched.told.all();
  ASSERT_EQ(all.size(), 6u) << "nothing is lost, and nothing else is told";
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].seq, i + 1);
    EXPECT_EQ(all[i].is_initial, i < 4);
  }
}

TEST_F(ListWatch, APartOfANodeAndANodeThatStandsTwiceAreItemsOfTheirOwn) {
  const auto part = [&](std::string_view range) {
    return arena_.map({{"node", kProfile}, {"range", range}});
  };
  const ListWatched watched(system_, arena_.list({part("1:2"), part("0"), kFixed, kFixed,
                                                  arena_.map({{"node", kProfile}})}));
  ASSERT_TRUE(watched.told.reaches(5));
  EXPECT_THAT(watched.told.of(concat(kProfile, "[1:2]")), ElementsAre("[2,3]"));
  EXPECT_THAT(watched.told.of(concat(kProfile, "[0]")), ElementsAre("[1]"));
  EXPECT_THAT(watched.told.of(kProfile), ElementsAre("[1,2,3,4]"));
  EXPECT_THAT(watched.told.of(kFixed), ElementsAre("7", "7"));
  EXPECT_EQ(items(), 5);
}

TEST_F(ListWatch, WhatIsWrongWithOneNodeIsItsStatusAlone) {
  const ListWatched watched(
      system_, arena_.list({"ns=1;s=Nothing", "/1:Line1/1:Nothing", "nsu=urn:nobody;s=X",
                            "ns=1;s=Line1.Broken", kTemperature}));
  ASSERT_TRUE(watched.told.reaches(5));
  EXPECT_THAT(watched.told.statuses(),
              testing::UnorderedElementsAre(
                  Pair("ns=1;s=Nothing", kIdUnknown), Pair("/1:Line1/1:Nothing", kNoMatch),
                  Pair("nsu=urn:nobody;s=X", kNotFound), Pair("ns=1;s=Line1.Broken", 0x808C0000u),
                  Pair(kTemperature, 0u)));
  EXPECT_EQ(watched.told.initial(), 5u) << "each node has told how it is";
  EXPECT_THAT(watched.told.of("ns=1;s=Nothing"), ElementsAre("null"));
  system_.open(kTemperature).write(21.5).or_throw();
  EXPECT_TRUE(watched.told.has(kTemperature, "21.5"));
  EXPECT_FALSE(watched.has_ended());
}

TEST_F(ListWatch, OptionsHoldForAllOfItsNodes) {
  const ListWatched watched(system_, arena_.list({kTemperature, "ns=1;s=Line2.Level"}),
                            {{"deadband", 5.0}, {"publishing_ns", int64_t{20'000'000}}});
  ASSERT_TRUE(watched.told.reaches(2));
  for (const double value : {21.0, 40.0, 41.0, 60.0}) {
    system_.open(kTemperature).write(value).or_throw();
    system_.open("ns=1;s=Line2.Level").write(value + 1).or_throw();
  }
  ASSERT_TRUE(watched.told.has(kTemperature, "60"));
  ASSERT_TRUE(watched.told.has("ns=1;s=Line2.Level", "61"));
  EXPECT_THAT(watched.told.of(kTemperature), ElementsAre("20.5", "40", "60"));
  EXPECT_THAT(watched.told.of("ns=1;s=Line2.Level"), ElementsAre("20", "41", "61"));
}

TEST_F(ListWatch, OfNoNodesItTellsNothingAndGoesOn) {
  ListWatched watched(system_, arena_.list({}));
  const ListWatched other(system_, arena_.list({kFixed}));
  ASSERT_TRUE(other.told.reaches(1));
  EXPECT_THAT(watched.told.all(), IsEmpty());
  EXPECT_FALSE(watched.has_ended());
}

TEST_F(ListWatch, RefusesWhatIsNoListOfNodes) {
  const auto refused = [&](ValueView nodes, std::string_view why, Pairs more = {}) {
    const ListWatched watched(system_, nodes, more);
    const Status status = watched.end();
    EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT) << status.to_string();
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(why)));
    EXPECT_THAT(watched.told.all(), IsEmpty());
  };
  const ValueView good = arena_.list({kFixed});
  refused(kTemperature, "expected a list of addresses");
  refused(arena_.list({kTemperature, 7}), "element 1: expected an address");
  refused(arena_.list({arena_.map({{"node", kFixed}, {"rnage", "1"}})}), "rnage");
  refused(arena_.list({arena_.map({{"node", kFixed}, {"node", kFixed}})}), "each once");
  refused(arena_.list({"what is this"}), "element 0");
  refused(arena_.list({"@Endpoints"}), "is no node");
  refused(arena_.list({kFixed, "i=2253@EventNotifier"}), "not in a list");
  refused(good, "there is no option 'start'", {{"start", "2026-01-01T00:00:00Z"}});
  refused(good, "there is no option 'select'", {{"select", good}});
  const backplane::Pair range(BP_H_INDEX_RANGE, "1");
  const ListWatched ranged(system_, good, {},
                           {.headers = {static_cast<const bp_pair*>(&range), 1}});
  EXPECT_THAT(std::string(ranged.end().message()), HasSubstr("have their ranges in the list"));
  const Watched none(system_.open("/"));
  EXPECT_EQ(none.end().code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(none.end().message()),
              HasSubstr("the option 'nodes' says what to watch"));
}

TEST_F(ListWatch, StructuresAreAskedForOnceAndWhatComesBehindThemKeepsItsOrder) {
  const ListWatched watched(
      system_, arena_.list({"ns=1;s=Types.Point", kTemperature, "ns=1;s=Types.Point"}));
  ASSERT_TRUE(watched.told.reaches(3));
  for (const std::string& text : watched.told.of("ns=1;s=Types.Point")) {
    EXPECT_THAT(text, HasSubstr("\"X\""));
  }
  EXPECT_EQ(watched.told.of("ns=1;s=Types.Point").size(), 2u);
  const auto all = watched.told.all();
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].seq, i + 1);
  }
}

TEST_F(ListWatch, IsTheReversibleJsonWhereThatIsWanted) {
  const backplane::Pair wanted(BP_H_CONTENT_TYPE, "application/opcua+uajson");
  const ListWatched watched(system_, arena_.list({kTemperature, "ns=1;s=Nothing"}), {},
                            {.headers = {static_cast<const bp_pair*>(&wanted), 1}});
  ASSERT_TRUE(watched.told.reaches(2));
  EXPECT_THAT(watched.told.of(kTemperature).at(0), HasSubstr("\"Body\":20.5"));
  EXPECT_THAT(watched.told.of("ns=1;s=Nothing").at(0), HasSubstr("Status"));
}

TEST_F(ListWatch, ACancelledOneIsGoneFromTheServerAndOthersGoOn) {
  const Watched other(system_.open(kTemperature));
  ListWatched watched(system_, arena_.list({kTemperature, kFixed, kProfile, "ns=1;s=Nothing"}));
  ASSERT_TRUE(watched.told.reaches(4));
  EXPECT_EQ(items(), 4);
  watched.cancel();
  EXPECT_TRUE(items_become(1));
  system_.open(kTemperature).write(21.5).or_throw();
  EXPECT_TRUE(other.told.has(21.5));
  EXPECT_EQ(watched.told.all().size(), 4u);
}

TEST_F(ListWatch, ManyAreToldEachWhatChanges) {
  constexpr int kLists = 30;
  std::list<ListWatched> all;
  for (int i = 0; i < kLists; ++i) {
    all.emplace_back(system_, arena_.list({kTemperature, kFixed}));
  }
  for (const ListWatched& each : all) {
    ASSERT_TRUE(each.told.reaches(2));
  }
  EXPECT_EQ(items(), 2 * kLists);
  system_.open(kTemperature).write(21.5).or_throw();
  for (const ListWatched& each : all) {
    EXPECT_TRUE(each.told.has(kTemperature, "21.5"));
  }
  all.clear();
  EXPECT_TRUE(items_become(0));
}

TEST_F(ListWatch, AConsumerThatTakesNoMoreLeavesNothingAtTheServer) {
  const Endpoint objects = system_.open("/");
  const backplane::Pair header(
      BP_H_OPTIONS, arena_.map({{"nodes", arena_.list({kTemperature, kFixed, kProfile})}}));
  std::atomic<int> told{0};
  const auto watching = objects.watch(
      [&](MessageView) -> void {
        ++told;
        throw Error(BP_ABORTED, "enough");
      },
      {.headers = {static_cast<const bp_pair*>(&header), 1}});
  ASSERT_TRUE(watching);
  ASSERT_TRUE(eventually([&] { return told.load() > 0; }, kPatience));
  EXPECT_TRUE(items_become(0));
  EXPECT_EQ(told, 1);
}

// Far more than wait for one node: the first values alone must not push each other out.
TEST_F(ListWatch, ASlowConsumerMissesNoNode) {
  constexpr size_t kNodes = 5000;
  ListBuilder nodes(arena_);
  for (size_t i = 0; i < kNodes; ++i) {
    nodes.add(i % 2 ? kFixed : kProfile);
  }
  ListWatched watched(system_, nodes.view(), {}, {.credit = 0});
  ASSERT_TRUE(items_become(kNodes));
  size_t told = 0;
  while (told < kNodes) {
    watched.credit(100);
    told += 100;
    ASSERT_TRUE(watched.told.reaches(told));
  }
  EXPECT_EQ(watched.told.initial(), kNodes);
  EXPECT_EQ(watched.told.of(kFixed).size(), kNodes / 2);
  EXPECT_EQ(system_.metric("messages_dropped_total"), 0);
}

// What comes together is more than there is credit for.
TEST_F(ListWatch, ALittleCreditIsUsedUpBeforeTheRestWaits) {
  constexpr size_t kNodes = 100;
  const ValueView nodes = many_times(arena_, kNodes, kFixed);
  ListWatched watched(system_, nodes, {}, {.credit = 5});
  ASSERT_TRUE(watched.told.reaches(5));
  ASSERT_TRUE(items_become(kNodes));
  EXPECT_EQ(watched.told.all().size(), 5u);
  watched.credit(kNodes);
  ASSERT_TRUE(watched.told.reaches(kNodes));
  const auto all = watched.told.all();
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].seq, i + 1);
  }
}

TEST_F(ListWatch, OneWhoseConsumerTakesNoMoreLeavesTheOtherAlone) {
  const Endpoint objects = system_.open("/");
  const backplane::Pair header(
      BP_H_OPTIONS, arena_.map({{"nodes", arena_.list({kTemperature, kFixed, kTemperature})}}));
  std::atomic<int> told{0};
  const auto watching = objects.watch(
      [&](MessageView) -> void {
        if (++told > 3) {
          throw Error(BP_ABORTED, "enough");
        }
      },
      {.headers = {static_cast<const bp_pair*>(&header), 1}});
  ASSERT_TRUE(watching);
  const ListWatched other(system_, arena_.list({kTemperature, kFixed, kTemperature}));
  ASSERT_TRUE(other.told.reaches(3));
  ASSERT_TRUE(eventually([&] { return told == 3; }, kPatience));
  system_.open(kTemperature).write(21.5).or_throw();
  ASSERT_TRUE(other.told.reaches(5));
  EXPECT_TRUE(items_become(3));
  EXPECT_EQ(told, 4);
  system_.open(kTemperature).write(22.5).or_throw();
  EXPECT_TRUE(other.told.reaches(7));
}

TEST_F(ListWatch, TheLatestPolicyKeepsTheNewestOfEachNodeInItsPlace) {
  const Watched quick(system_.open(kTemperature));
  ListWatched slow(system_, arena_.list({kTemperature, kFixed, kProfile}), {},
                   {.credit = 0, .overflow = BP_OVERFLOW_LATEST});
  ASSERT_TRUE(quick.told.has(20.5));
  ASSERT_TRUE(items_become(4));
  for (int i = 1; i <= 5; ++i) {
    system_.open(kTemperature).write(static_cast<double>(i)).or_throw();
    ASSERT_TRUE(quick.told.has(i));
  }
  ASSERT_TRUE(eventually([&] { return system_.metric("messages_dropped_total") == 5; }, kPatience));
  slow.credit(10);
  ASSERT_TRUE(slow.told.reaches(3));
  EXPECT_THAT(slow.told.of(kTemperature), ElementsAre("5"));
  EXPECT_THAT(slow.told.of(kFixed), ElementsAre("7"));
  EXPECT_EQ(slow.told.initial(), 3u) << "the first that is told of a node is its present value";
  const auto all = slow.told.all();
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(),
                             [](const auto& a, const auto& b) { return a.seq < b.seq; }));
  system_.open(kTemperature).write(6.0).or_throw();
  ASSERT_TRUE(slow.told.reaches(4));
  EXPECT_EQ(slow.told.all().back().seq, 9u) << "the gap says how many were left out";
}

// What waits for credit: 1024 messages, and one more for each other node.
class ListWatchPolicy : public ListWatch {
 protected:
  static constexpr uint64_t kNodes = 500;
  static constexpr uint64_t kMost = 1024 + kNodes - 1;
  static constexpr uint64_t kRounds = 4;  // with the first values 2000, more than that

  void change_more_than_waits(uint32_t policy) {
    const ValueView nodes = many_times(arena_, kNodes, kTemperature);
    ListWatched quick(system_, nodes);
    slow_.emplace(system_, nodes, Pairs{}, WatchOptions{.credit = 0, .overflow = policy});
    ASSERT_TRUE(items_become(2 * kNodes) && quick.told.reaches(kNodes));
    for (uint64_t i = 1; i < kRounds; ++i) {
      system_.open(kTemperature).write(static_cast<double>(i)).or_throw();
      ASSERT_TRUE(quick.told.reaches((i + 1) * kNodes));
    }
  }
  bool drops(uint64_t n) {
    return eventually(
        [&] { return system_.metric("messages_dropped_total") == static_cast<int64_t>(n); },
        kPatience);
  }
  uint64_t last_of_slow() const { return slow_->told.all().back().seq; }

  std::optional<ListWatched> slow_;
};

TEST_F(ListWatchPolicy, DropOldestKeepsTheLast) {
  change_more_than_waits(BP_OVERFLOW_DROP_OLDEST);
  EXPECT_TRUE(drops(kRounds * kNodes - kMost));
  slow_->credit(2 * kMost);
  ASSERT_TRUE(slow_->told.reaches(kMost));
  const auto all = slow_->told.all();
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].seq, kRounds * kNodes - kMost + i + 1);
  }
  EXPECT_EQ(all.back().text, "3");
}

TEST_F(ListWatchPolicy, BlockKeepsTheFirstAndGoesOn) {
  change_more_than_waits(BP_OVERFLOW_BLOCK);
  EXPECT_TRUE(drops(kRounds * kNodes - kMost));
  slow_->credit(10 * kMost);
  ASSERT_TRUE(slow_->told.reaches(kMost));
  EXPECT_EQ(last_of_slow(), kMost);
  system_.open(kTemperature).write(77.0).or_throw();
  ASSERT_TRUE(slow_->told.reaches(kMost + kNodes));
  EXPECT_EQ(last_of_slow(), (kRounds + 1) * kNodes) << "the gap says how many were left out";
}

TEST_F(ListWatchPolicy, FailEndsIt) {
  change_more_than_waits(BP_OVERFLOW_FAIL);
  EXPECT_EQ(slow_->end().code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(std::string(slow_->end().message()), HasSubstr("more than 1523 messages"));
  EXPECT_TRUE(items_become(0)) << "the quick one is gone";
}

/// Of a manifest: options of a watch as it writes them.
TEST(OpcuaRoute, WatchesAListWithOptions) {
  OpcuaServer server;
  OpcuaSystem system(server.port(), R"(
[[routes]]
name = "copy"
to = "plant:ns=1;s=Line2.Level"
[routes.from]
address = "plant:/"
options = { nodes = ["ns=1;s=Line1.Temperature"], publishing_ns = 10000000, queue = 8, deadband = 0.5 }
)");
  const Endpoint temperature = system.connected().open(kTemperature);
  const Endpoint level = system.open("ns=1;s=Line2.Level");
  const auto level_is = [&](double value) { return level.read<double>().value() == value; };
  ASSERT_TRUE(eventually([&] { return level_is(20.5); }, kPatience));
  // Each of them is sampled, as it is written.
  for (const double value : {20.6, 20.9, 21.5}) temperature.write(value).or_throw();
  ASSERT_TRUE(eventually([&] { return level_is(21.5); }, kPatience));
  EXPECT_EQ(system.metric("route_in_total"), 2) << "what lies within the deadband does not come";
}

}  // namespace
}  // namespace backplane::test
