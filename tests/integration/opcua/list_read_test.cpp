// SPDX-License-Identifier: Apache-2.0
// One read of many nodes of a real server.
#include "fixture.hpp"
#include "support/tcp_relay.hpp"

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint32_t kNoMatch = 0x806F0000;
constexpr uint32_t kIdUnknown = 0x80340000;
constexpr uint32_t kNotFound = 0x803E0000;
constexpr uint32_t kNoData = 0x80370000;
constexpr uint32_t kRangeInvalid = 0x80360000;
constexpr uint32_t kSensorFailure = 0x808C0000;
constexpr auto kCount = "ns=1;s=Line1.Fixed";

/// At the folder Objects.
auto read_of(const Endpoint& objects, ValueView nodes, std::optional<Pair> more = {}) {
  StackArena arena;
  const ValueView options = arena.map({{"nodes", nodes}});
  return more ? objects.read({{BP_H_OPTIONS, options}, *more}).get()
              : objects.read({{BP_H_OPTIONS, options}}).get();
}
OwnedMessage read(const Endpoint& objects, ValueView nodes) {
  return read_of(objects, nodes).value();
}
std::vector<uint32_t> statuses(const OwnedMessage& read) {
  std::vector<uint32_t> out;
  for (const ValueView each : read.body().items()) {
    EXPECT_EQ(each.at(1).aux, BP_UINT_STATUS);
    out.push_back(each.at(1).get<uint32_t>().value());
  }
  return out;
}
std::vector<std::string> texts(const OwnedMessage& read) {
  std::vector<std::string> out;
  for (const ValueView each : read.body().items()) {
    out.push_back(each.at(0).to_text());
  }
  return out;
}

class ListRead : public Opcua {
 protected:
  const Endpoint objects_ = system_.open("/");
  StackArena<> arena_;
};

TEST_F(ListRead, HasAValueAStatusAndBothTimesOfEachNodeInTheirOrder) {
  const ValueView nodes = arena_.list({kTemperature, kCount, "ns=1;s=Line1.Profile",
                                       "/1:Line1/1:Temperature", "ns=1;s=Line1.Fixed@DisplayName",
                                       "nsu=urn:backplane:test:server;s=Line1.Temperature"});
  const OwnedMessage answer = read(objects_, nodes);
  EXPECT_THAT(texts(answer),
              ElementsAre("20.5", "7", "[1,2,3,4]", "20.5", HasSubstr("Fixed"), "20.5"));
  EXPECT_THAT(statuses(answer), ElementsAre(0, 0, 0, 0, 0, 0));
  const OwnedMessage alone = system_.open(kTemperature).read().value();
  const ValueView record = answer.body().at(0);
  EXPECT_EQ(record.size(), 4u);
  EXPECT_EQ(record.aux, BP_LIST_STRUCT);
  EXPECT_EQ(record.at(0), alone.body());
  EXPECT_EQ(record.at(2).get<Time>(), alone.view().time());
  EXPECT_TRUE(record.at(3).get<Time>());
}

TEST_F(ListRead, IsReadAgainWithTheSameAndWithAnotherList) {
  const Endpoint temperature = system_.open(kTemperature);
  for (const double value : {1.5, 2.5}) {
    temperature.write(value).or_throw();
    EXPECT_EQ(read(objects_, arena_.list({kTemperature})).body().at(0).at(0).get<double>(), value);
    EXPECT_EQ(read(objects_, arena_.list({kCount})).body().at(0).at(0).get<int>(), 7);
  }
}

TEST_F(ListRead, WhatIsWrongWithOneNodeIsItsStatusAlone) {
  const auto part = [&](std::string_view range) {
    return arena_.map({{"node", "ns=1;s=Line1.Profile"}, {"range", range}});
  };
  for (int i = 0; i < 2; ++i) {  // what was not found is looked for again
    const OwnedMessage answer = read(
        objects_,
        arena_.list({kTemperature, "ns=1;s=Nothing", "/1:Line1/1:Nothing", "nsu=urn:nobody;s=X",
                     part("1:2"), part("7:9"), part("2:1"), "ns=1;s=Line1.Broken", kCount}));
    EXPECT_THAT(statuses(answer), ElementsAre(0, kIdUnknown, kNoMatch, kNotFound, 0, kNoData,
                                              kRangeInvalid, kSensorFailure, 0));
    EXPECT_EQ(answer.body().at(0).at(0).get<double>(), 20.5);
    EXPECT_TRUE(answer.body().at(1).at(0).is_null());
    EXPECT_TRUE(answer.body().at(2).at(2).is_null()) << "it was not asked for";
    EXPECT_EQ(answer.body().at(4).at(0).get<std::vector<double>>(), (std::vector<double>{2, 3}));
    EXPECT_TRUE(answer.body().at(7).at(2).get<Time>()) << "a bad value has its time";
    EXPECT_EQ(answer.body().at(8).at(0).get<int>(), 7);
  }
}

TEST_F(ListRead, OfNoNodesIsEmpty) {
  const auto answer = read_of(objects_, arena_.list({}));
  ASSERT_TRUE(answer) << answer.status().to_string();
  EXPECT_EQ(answer->body().tag, BP_T_LIST);
  EXPECT_EQ(answer->body().size(), 0u);
}

TEST_F(ListRead, RefusesWhatIsNoListOfNodes) {
  const auto refused = [&](ValueView nodes, std::string_view why) {
    const Status status = read_of(objects_, nodes).status();
    EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT) << status.to_string();
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(why)));
  };
  refused(kTemperature, "expected a list of addresses");
  refused(arena_.map({{"node", kTemperature}}), "expected a list of addresses");
  refused(ValueView(), "expected a list of addresses");
  refused(arena_.list({kTemperature, 7}), "element 1: expected an address");
  refused(arena_.list({arena_.map({{"range", "1"}})}), "element 0: expected an address");
  refused(arena_.list({arena_.map({{"node", kCount}, {"rnage", "1"}})}), "rnage");
  refused(arena_.list({arena_.map({{"node", kCount}, {"range", 1}})}), "range");
  refused(arena_.list({"what is this"}), "element 0");
  refused(arena_.list({"@Endpoints"}), "is no node");
  const Status none = objects_.read().get().status();
  EXPECT_EQ(none.code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(none.message()), HasSubstr("'nodes'"));
  const Status unknown =
      objects_.read({{BP_H_OPTIONS, arena_.map({{"node", arena_.list({})}})}}).get().status();
  EXPECT_THAT(std::string(unknown.message()),
              HasSubstr("there is no option 'node'; there is 'nodes'"));
  const Status range =
      read_of(objects_, arena_.list({kCount}), Pair(BP_H_INDEX_RANGE, "1")).status();
  EXPECT_EQ(range.code(), BP_INVALID_ARGUMENT) << range.to_string();
}

TEST_F(ListRead, StructuresAreAskedForOnce) {
  const OwnedMessage answer =
      read(objects_, arena_.list({"ns=1;s=Types.Point", "ns=1;s=Nothing", "ns=1;s=Types.Point"}));
  for (const size_t i : {0u, 2u}) {
    const ValueView point = answer.body().at(i).at(0);
    EXPECT_EQ(point.at(0).get<std::string>(), "opcua:ns=1;i=3001");
    EXPECT_EQ(point.at(1).find("X")->get<int>(), 1);
  }
  EXPECT_THAT(statuses(answer), ElementsAre(0, kIdUnknown, 0));
}

TEST_F(ListRead, IsTheReversibleJsonWhereThatIsWanted) {
  const auto answer = read_of(objects_, arena_.list({kTemperature, "ns=1;s=Nothing"}),
                              Pair(BP_H_CONTENT_TYPE, "application/opcua+uajson"));
  ASSERT_TRUE(answer) << answer.status().to_string();
  EXPECT_EQ(answer->view().header<std::string>(BP_H_CONTENT_TYPE), "application/opcua+uajson");
  EXPECT_EQ(answer->body().at(0).find("Value")->find("Body")->get<double>(), 20.5);
  EXPECT_TRUE(answer->body().at(1).find("Status") || answer->body().at(1).find("StatusCode"))
      << answer->body().at(1).to_text();
}

TEST(ListReadLimits, MoreNodesThanTheServerTakesAreSeveralRequests) {
  const OpcuaServer server({"reads=7", "references=50"});
  OpcuaSystem system(server.port());
  const Endpoint objects = system.connected().open("/");
  for (const size_t n : {6u, 7u, 8u, 14u, 100u}) {
    StackArena arena;
    ListBuilder list(arena);
    for (size_t i = 0; i < n; ++i) {
      list.add(i == 10 ? "ns=1;s=Nothing" : i == 11 ? "/1:Nothing" : i % 2 ? kCount : kTemperature);
    }
    const OwnedMessage answer = read(objects, list.view());
    ASSERT_EQ(answer.body().size(), n);
    for (size_t i = 0; i < n; ++i) {
      const ValueView record = answer.body().at(i);
      EXPECT_EQ(record.at(1).get<uint32_t>(), i == 10 ? kIdUnknown : i == 11 ? kNoMatch : 0u) << i;
      if (i != 10 && i != 11) {
        EXPECT_EQ(record.at(0).get<double>(), i % 2 ? 7 : 20.5) << i;
      }
    }
  }
}

TEST(ListReadFaults, ADeadlineEndsItAndTheLateAnswerHurtsNobody) {
  const OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  const Endpoint objects = system.connected().open("/");
  StackArena arena;
  const ValueView options = arena.map({{"nodes", arena.list({kTemperature, kCount})}});
  relay.become({.holds = kAnswers});
  const Status late = objects.read({{BP_H_OPTIONS, options}}).within(100ms).get().status();
  EXPECT_EQ(late.code(), BP_DEADLINE_EXCEEDED) << late.to_string();
  relay.open();
  const auto again = objects.read({{BP_H_OPTIONS, options}}).get();
  ASSERT_TRUE(again) << again.status().to_string();
  EXPECT_EQ(again->body().at(0).at(0).get<double>(), 20.5);
  EXPECT_EQ(system.losses(), 0);
}

TEST(ListReadFaults, IsUnavailableWhenTheConnectionDiesAndRightInTheNextSession) {
  const OpcuaServer server({"namespace=2"});
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  const Endpoint objects = system.connected().open("/");
  StackArena arena;
  const ValueView options =
      arena.map({{"nodes", arena.list({"ns=2;s=Line1.Temperature", "/2:Line1/2:Fixed"})}});
  ASSERT_TRUE(objects.read({{BP_H_OPTIONS, options}}).get());
  relay.become({.holds = kAnswers});
  const auto ended = std::make_shared<Guarded<std::optional<Status>>>();
  objects.read({{BP_H_OPTIONS, options}}).then([ended](const Result<OwnedMessage>& result) {
    ended->lock()->emplace(result ? Status::ok() : result.status());
  });
  ASSERT_TRUE(eventually([&] { return relay.harmed() > 0; }, kPatience));
  relay.cut();
  ASSERT_TRUE(eventually([&] { return ended->copy().has_value(); }, kPatience));
  EXPECT_EQ(ended->copy()->code(), BP_UNAVAILABLE) << ended->copy()->to_string();
  relay.open();
  ASSERT_TRUE(eventually([&] { return system.losses() == 1; }, kPatience));
  ASSERT_TRUE(system.becomes(BP_STATE_UP));
  const auto again = objects.read({{BP_H_OPTIONS, options}}).get();
  ASSERT_TRUE(again) << again.status().to_string();
  EXPECT_EQ(again->body().at(0).at(0).get<double>(), 20.5);
  EXPECT_EQ(again->body().at(1).at(0).get<int>(), 7);
}

TEST(ListReadFaults, WithoutASessionItFailsWithTheReason) {
  OpcuaSystem system(free_port_base());
  EXPECT_TRUE(system.becomes(BP_STATE_CONNECTING));
  StackArena arena;
  const Status status = read_of(system.open("/"), arena.list({kTemperature})).status();
  EXPECT_EQ(status.code(), BP_UNAVAILABLE) << status.to_string();
}

}  // namespace
}  // namespace backplane::test
