// SPDX-License-Identifier: Apache-2.0
// One watch of many nodes of a real server.
#include "fixture.hpp"
#include "support/tcp_relay.hpp"

#include <map>

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

constexpr uint32_t kNoMatch = 0x806F0000;
constexpr uint32_t kIdUnknown = 0x80340000;
constexpr uint32_t kNotFound = 0x803E0000;
constexpr uint32_t kTooMany = 0x80DB0000;  // BadTooManyMonitoredItems
constexpr auto kFixed = "ns=1;s=Line1.Fixed";
constexpr auto kProfile = "ns=1;s=Line1.Profile";

/// What a watch of a list was told. [any]
class Story {
 public:
  struct Entry {
    std::string node;  // and its range
    std::string text;  // of the body
    uint32_t status;
    bool is_initial;
    uint64_t seq;
    bool operator==(const Entry& other) const { return node == other.node; }
  };
  void operator()(MessageView message) const {
    const auto range = message.header<std::string>(BP_H_INDEX_RANGE);
    seen_->lock()->push_back(
        {message.header<std::string>(BP_H_PATH).value() + (range ? concat("[", *range, "]") : ""),
         message.body().to_text(), message.header<uint32_t>(BP_H_STATUS).value_or(0),
         message.is_initial(), message.raw().seq});
  }
  std::vector<Entry> all() const { return seen_->copy(); }
  std::vector<std::string> of(const std::string& node) const {
    std::vector<std::string> out;
    for (const Entry& each : all()) {
      if (each.node == node) {
        out.push_back(each.text);
      }
    }
    return out;
  }
  std::map<std::string, uint32_t> statuses() const {
    std::map<std::string, uint32_t> out;
    for (const Entry& each : all()) {
      out[each.node] = each.status;
    }
    return out;
  }
  size_t initial() const {
    const auto seen = all();
    return static_cast<size_t>(
        std::count_if(seen.begin(), seen.end(), [](const Entry& each) { return each.is_initial; }));
  }
  bool reaches(size_t n) const {
    return eventually([&] { return seen_->lock()->size() >= n; }, kPatience);
  }
  bool has(const std::string& node, const std::string& text) const {
    return eventually(
        [&] {
          const auto texts = of(node);
          return std::find(texts.begin(), texts.end(), text) != texts.end();
        },
        kPatience);
  }

 private:
  std::shared_ptr<Guarded<std::vector<Entry>>> seen_ =
      std::make_shared<Guarded<std::vector<Entry>>>();
};

/// At the folder Objects.
class ListWatched {
 public:
  ListWatched(OpcuaSystem& system, ValueView nodes, Pairs more = {}, WatchOptions watching = {})
      : objects_(system.open("/")) {
    StackArena arena;
    MapBuilder options(arena);
    options.add("nodes", nodes);
    for (const bp_pair& each : to_span(more)) {
      options.add(each.key, each.val);
    }
    const backplane::Pair header(BP_H_OPTIONS, options.view());
    std::vector<bp_pair> headers(watching.headers.begin(), watching.headers.end());
    headers.push_back(header);
    watching.headers = headers;
    watching.on_end = [ended = ended_](const Status& status) { ended->lock()->emplace(status); };
    auto begun = objects_.watch(told, std::move(watching));
    if (begun) {
      subscription_.emplace(*std::move(begun));
    } else {
      ended_->lock()->emplace(begun.status());
    }
  }
  bool has_ended() const { return ended_->copy().has_value(); }
  Status end() const {
    EXPECT_TRUE(eventually([&] { return has_ended(); }, kPatience));
    return ended_->copy().value_or(Status());
  }
  void credit(uint32_t n) { subscription_->credit(n); }
  void cancel() { subscription_.reset(); }
  const Story told;

 private:
  const Endpoint objects_;
  const std::shared_ptr<Guarded<std::optional<Status>>> ended_ =
      std::make_shared<Guarded<std::optional<Status>>>();
  std::optional<Subscription> subscription_;
};

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
  ListBuilder nodes(arena_);
  for (size_t i = 0; i < kNodes; ++i) {
    nodes.add(kFixed);
  }
  ListWatched watched(system_, nodes.view(), {}, {.credit = 5});
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

// Both are in one report of the server.
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
  ListBuilder nodes(arena);
  for (size_t i = 0; i < kNodes; ++i) {
    nodes.add(kTemperature);
  }
  const ListWatched watched(system.connected(), nodes.view());
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
  const std::string point("\0\0\0\0\0\0\xF0\x3F\0\0\0\0\0\0\0\x40", 16);  // {1, 2}
  // BadTcpInternalError, without a text (part 6, 7.1.2.5)
  const std::string error("ERRF\x10\0\0\0\0\0\x82\x80\xFF\xFF\xFF\xFF", 16);
  relay.add_behind(point, error);
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
