// SPDX-License-Identifier: Apache-2.0
// The plugin's server: its variables, from inside and through the plugin's own client.
#include "server_fixture.hpp"
#include "support/tcp_relay.hpp"

#include <atomic>
#include <future>

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kTemperature = "main:ns=1;s=Line1.Temperature";
constexpr auto kOutside = "plant:ns=1;s=Line1.Temperature";

Status failure(const Result<OwnedMessage>& result) {
  return result ? Status::ok() : result.status();
}

TEST(OpcuaServer, SaysWhereItListens) {
  OpcuaPair pair;
  EXPECT_EQ(pair.info("main").state, BP_STATE_UP);
  EXPECT_EQ(pair.info("main").detail, "listening on " + pair.url());
}

TEST(OpcuaServer, ANodeIsReadFromInsideAndOutsideByIdAndByPath) {
  OpcuaPair pair;
  for (const char* path : {"ns=1;s=Line1.Temperature", "/1:Line1/1:Temperature"}) {
    EXPECT_EQ(pair.open(concat("main:", path)).read<double>().value(), 20.5);
    EXPECT_EQ(pair.open(concat("plant:", path)).read<double>().value(), 20.5);
  }
  EXPECT_EQ(pair.open("plant:nsu=urn:test:more;i=7").read<bool>().value(), false);
  EXPECT_EQ(pair.open("main:/2:Tank1/2:Open").read<bool>().value(), false);
}

TEST(OpcuaServer, WhatIsWrittenInsideIsReadOutside) {
  OpcuaPair pair;
  MessageBuilder written(21.5);
  written.header(BP_H_STATUS, uint32_t{0x40000000}).time(Time(1s));
  pair.open(kTemperature).write(MessageView(written)).or_throw();
  const OwnedMessage read = pair.open(kOutside).read().value();
  EXPECT_EQ(read.as<double>().value(), 21.5);
  EXPECT_EQ(read.view().header<uint32_t>(BP_H_STATUS), 0x40000000u);
  EXPECT_EQ(read.view().time(), Time(1s));
}

TEST(OpcuaServer, ANumberBecomesTheTypeOfTheNodeWhereNothingIsLost) {
  OpcuaPair pair;
  const Endpoint count = pair.open("main:ns=1;s=Line1.Count");
  count.write(int64_t{8}).or_throw();
  count.write(9.0).or_throw();
  const OwnedMessage read = pair.open("plant:ns=1;s=Line1.Count").read().value();
  EXPECT_EQ(read.body().tag, BP_T_INT);
  EXPECT_EQ(read.body().aux, 32);
  EXPECT_EQ(read.as<int>().value(), 9);
  pair.open(kTemperature).write(int64_t{30}).or_throw();
  EXPECT_EQ(pair.open(kOutside).read<double>().value(), 30.0);
}

TEST(OpcuaServer, WhatDoesNotFitIsRefusedAndSaysWhatTheNodeIs) {
  OpcuaPair pair;
  for (const ValueView bad : {ValueView(9.5), ValueView(int64_t{1} << 40), ValueView("nine")}) {
    const Status status = pair.open("main:ns=1;s=Line1.Count").write(bad).get();
    EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT);
    EXPECT_THAT(std::string(status.message()), HasSubstr("Int32")) << status.to_string();
  }
  const Status scalar = pair.open("main:ns=1;s=Line1.Profile").write(1.0).get();
  EXPECT_EQ(scalar.code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(scalar.message()), HasSubstr("Double[4]"));
}

TEST(OpcuaServer, AnOptionThatAReadOrWriteDoesNotHaveIsRefused) {
  OpcuaPair pair;
  for (const char* address : {kTemperature, kOutside}) {
    const Endpoint endpoint = pair.open(address);
    StackArena arena;
    const Pair options(BP_H_OPTIONS, arena.map({{"sampling_ns", 1}}));
    for (const Status& refused :
         {endpoint.read({options}).get().status(), endpoint.write(1.5, {options}).get()}) {
      EXPECT_EQ(refused.code(), BP_INVALID_ARGUMENT) << address;
      EXPECT_THAT(std::string(refused.message()), HasSubstr("there is no option 'sampling_ns'"));
    }
    EXPECT_EQ(endpoint.read<double>().value(), 20.5) << "nothing was written";
  }
}

TEST(OpcuaServer, AClientMayOnlyDoWhatTheNodeAllows) {
  OpcuaPair pair;
  const Status fixed = pair.open("plant:ns=1;s=Line1.Fixed").write("pump").get();
  EXPECT_EQ(fixed.code(), BP_PERMISSION_DENIED) << fixed.to_string();
  const Status order = failure(pair.open("plant:ns=1;s=Line1.Order").read().get());
  EXPECT_EQ(order.code(), BP_PERMISSION_DENIED) << order.to_string();
  pair.open("plant:ns=1;s=Line1.Order").write("run").or_throw();
  EXPECT_EQ(pair.open("main:ns=1;s=Line1.Order").read<std::string>().value(), "run");
  const Status wrong = pair.open(kOutside).write("warm").get();
  EXPECT_THAT(std::string(wrong.message()), HasSubstr("BadTypeMismatch: "));
  EXPECT_THAT(std::string(wrong.message()), HasSubstr("is no Double"));
  EXPECT_EQ(static_cast<uint32_t>(wrong.native()), 0x80740000u);
}

TEST(OpcuaServer, ANodeWithoutAValueSaysSo) {
  OpcuaPair pair;
  for (const char* address : {"main:ns=1;s=Line1.Empty", "plant:ns=1;s=Line1.Empty"}) {
    const Status status = failure(pair.open(address).read().get());
    EXPECT_EQ(status.code(), BP_UNAVAILABLE);
    EXPECT_THAT(std::string(status.message()), HasSubstr("BadWaitingForInitialData"));
  }
}

TEST(OpcuaServer, AStatusAloneTakesThePlaceOfTheValue) {
  OpcuaPair pair;
  MessageBuilder lost;
  lost.header(BP_H_STATUS, uint32_t{0x808C0000});
  pair.open(kTemperature).write(MessageView(lost)).or_throw();
  const Status status = failure(pair.open(kOutside).read().get());
  EXPECT_THAT(std::string(status.message()), HasSubstr("BadSensorFailure"));
  EXPECT_EQ(pair.open(kTemperature).write(ValueView()).get().code(), BP_INVALID_ARGUMENT)
      << "without a value and without a reason";
}

TEST(OpcuaServer, AWatchBeginsWithThePresentValueAndTellsOwnAndForeignWrites) {
  OpcuaPair pair;
  const Endpoint inside = pair.open(kTemperature);
  const Endpoint outside = pair.open(kOutside);
  const Told here;
  const Told there;
  const auto watching = inside.watch(here);
  const auto also = outside.watch(there);
  ASSERT_TRUE(here.has(20.5));
  ASSERT_TRUE(there.has(20.5));
  outside.write(21.5).or_throw();
  inside.write(22.5).or_throw();
  ASSERT_TRUE(here.has(22.5));
  ASSERT_TRUE(there.has(22.5));
  for (const Told& told : {here, there}) {
    const auto all = told.all();
    ASSERT_EQ(all.size(), 3u);
    EXPECT_TRUE(all[0].is_initial);
    EXPECT_FALSE(all[1].is_initial);
    EXPECT_EQ(all[1].number, 21.5);
  }
}

TEST(OpcuaServer, AWatchBeginsWithWhatAClientHasWrittenWhileNobodyWatched) {
  OpcuaPair pair;
  const Endpoint inside = pair.open(kTemperature);
  const Endpoint outside = pair.open(kOutside);
  {
    const Told told;
    const auto watching = inside.watch(told);
    ASSERT_TRUE(told.has(20.5));
  }
  outside.write(21.5).or_throw();
  outside.write(22.5).or_throw();
  const Watched watched(inside);
  ASSERT_TRUE(watched.told.reaches(1));
  EXPECT_THAT(watched.told.numbers(), ElementsAre(22.5));
  outside.write(23.5).or_throw();
  EXPECT_TRUE(watched.told.has(23.5));
}

TEST(OpcuaServer, AWatchThatBeginsAmongChangesMissesNoneAndHasOneInitialValue) {
  OpcuaPair pair;
  const Endpoint inside = pair.open(kTemperature);
  const Endpoint outside = pair.open(kOutside);
  outside.write(0.0).or_throw();
  std::atomic<bool> over{false};
  auto writing = std::async(std::launch::async, [&] {
    for (double value = 1; !over; ++value) outside.write(value).or_throw();
  });
  for (int i = 0; i < 50; ++i) {
    // Gone, perhaps before it has begun.
    static_cast<void>(inside.watch([](MessageView) {}).value());
    const Told told;
    const auto watching = inside.watch(told);
    EXPECT_TRUE(told.reaches(3));
    const auto all = told.all();
    for (size_t at = 0; at < all.size(); ++at) {
      EXPECT_EQ(all[at].is_initial, at == 0);
      EXPECT_EQ(all[at].number.value(), all[0].number.value() + static_cast<double>(at));
    }
  }
  over = true;
  writing.get();
}

TEST(OpcuaServer, AValueTakesThePlaceOfOneOfAnotherType) {
  OpcuaPair pair(R"(nodes = [{ id = "ns=1;s=Any", type = "Variant", access = "read_write" }])");
  const Endpoint inside = pair.open("main:ns=1;s=Any");
  const Endpoint outside = pair.open("plant:ns=1;s=Any");
  for (const ValueView value :
       {ValueView(1.5), ValueView(2.5), ValueView("text"), ValueView("more"), ValueView(3.5),
        ValueView(true), ValueView(int64_t{7})}) {
    outside.write(value).or_throw();
    EXPECT_EQ(inside.read().value().body(), value) << value.to_text(64);
    EXPECT_EQ(outside.read().value().body(), value) << value.to_text(64);
  }
}

TEST(OpcuaServer, AnOwnWriteIsDoneWhenItsWatchersHaveAcknowledgedIt) {
  OpcuaPair pair;
  const auto seqs = std::make_shared<Guarded<std::vector<uint64_t>>>();
  const Endpoint node = pair.open(kTemperature);
  auto watching = node.watch([seqs](MessageView message) -> Status {
    seqs->lock()->push_back(message.seq());
    return message.is_initial() ? Status::ok() : Status::pending();
  });
  ASSERT_TRUE(watching);
  auto write = std::async(std::launch::async, [&] { return node.write(21.5).get(); });
  ASSERT_TRUE(eventually([&] { return seqs->copy().size() == 2; }, kPatience));
  EXPECT_NE(write.wait_for(50ms), std::future_status::ready);
  EXPECT_EQ(pair.open(kOutside).read<double>().value(), 21.5) << "clients see it at once";
  watching->ack(seqs->copy().back(), BP_OK);
  EXPECT_TRUE(write.get().is_ok());
  EXPECT_EQ(node.write(22.5).within(50ms).get().code(), BP_DEADLINE_EXCEEDED);
  auto third = std::async(std::launch::async, [&] { return node.write(23.5).get(); });
  ASSERT_TRUE(eventually([&] { return seqs->copy().size() == 4; }, kPatience));
  watching = Subscription();
  EXPECT_EQ(third.get().code(), BP_UNAVAILABLE) << "whether it arrived is not known";
}

TEST(OpcuaServer, APartOfAnArrayIsWrittenAndTheWholeIsTold) {
  OpcuaPair pair;
  const auto told = std::make_shared<Guarded<std::vector<std::vector<double>>>>();
  const Endpoint inside = pair.open("main:ns=1;s=Line1.Profile");
  const auto watching = inside.watch([told](MessageView message) {
    told->lock()->push_back(
        message.body().get<std::vector<double>>().value_or(std::vector<double>()));
  });
  const std::vector<double> part{9, 8};
  const Endpoint outside = pair.open("plant:ns=1;s=Line1.Profile");
  outside.write(ValueView::array(std::span<const double>(part)), {{BP_H_INDEX_RANGE, "1:2"}})
      .or_throw();
  ASSERT_TRUE(eventually([&] { return told->copy().size() == 2; }, kPatience));
  EXPECT_THAT(told->copy()[1], ElementsAre(1, 9, 8, 4));
  for (const char* const beyond : {"3:4", "4:5", "5"}) {
    const Status status =
        outside.write(ValueView::array(std::span<const double>(part)), {{BP_H_INDEX_RANGE, beyond}})
            .get();
    EXPECT_THAT(status.to_string(), HasSubstr("BadIndexRange")) << beyond;
  }
  EXPECT_EQ(inside.read<std::vector<double>>({{BP_H_INDEX_RANGE, "2"}}).value(),
            std::vector<double>{8});
}

TEST(OpcuaServer, ANodeIsReadAndWrittenInTheReversibleEncoding) {
  OpcuaPair pair;
  constexpr std::string_view kReversible = "application/opcua+uajson";
  StackArena arena;
  MessageBuilder written(
      arena.map({{"Value", arena.map({{"Type", 11}, {"Body", 21.5}})}, {"Status", 0x40000000u}}));
  written.header(BP_H_CONTENT_TYPE, kReversible);
  pair.open(kTemperature).write(MessageView(written)).or_throw();
  for (const char* const node : {kTemperature, kOutside}) {
    const Endpoint endpoint = pair.open(node);
    const OwnedMessage read = endpoint.read({{BP_H_CONTENT_TYPE, kReversible}}).value();
    EXPECT_EQ(read.view().header<std::string>(BP_H_CONTENT_TYPE), kReversible) << node;
    const auto value = read.body().find("Value");
    ASSERT_TRUE(value) << node << ": " << read.body().to_text(200);
    EXPECT_EQ(value->find("Body")->get<double>(), 21.5) << node;
    EXPECT_EQ(read.body().find("Status")->get<uint32_t>(), 0x40000000u) << node;
  }
  const std::vector<double> part{2, 3};
  const OwnedMessage range =
      pair.open("main:ns=1;s=Line1.Profile")
          .read({{BP_H_CONTENT_TYPE, kReversible}, {BP_H_INDEX_RANGE, "1:2"}})
          .value();
  EXPECT_EQ(range.body().find("Value")->find("Body")->get<std::vector<double>>(), part);
}

TEST(OpcuaServer, AWatchFromInsideRefusesWhatItDoesNotDoByItsName) {
  OpcuaPair pair;
  StackArena arena;
  const auto refused = [&pair](const char* node, const Pair& header) {
    WatchOptions watching;
    watching.headers = {static_cast<const bp_pair*>(&header), 1};
    return Watched(pair.open(node), {}, std::move(watching)).end();
  };
  for (const char* const node : {kTemperature, "main:ns=1;s=Tank1.SetValve"}) {
    const Status part = refused(node, {BP_H_INDEX_RANGE, "1:2"});
    EXPECT_EQ(part.code(), BP_UNIMPLEMENTED);
    EXPECT_THAT(std::string(part.message()), HasSubstr("index range, '1:2'"));
    const Status type = refused(node, {BP_H_CONTENT_TYPE, "application/opcua+uajson"});
    EXPECT_EQ(type.code(), BP_UNIMPLEMENTED);
    EXPECT_THAT(std::string(type.message()), HasSubstr("application/opcua+uajson"));
    for (const std::string_view name : {"deadband", "sampling_ns", "Colour"}) {
      const Status option = refused(node, {BP_H_OPTIONS, arena.map({{name, 1}})});
      EXPECT_EQ(option.code(), BP_INVALID_ARGUMENT);
      EXPECT_THAT(std::string(option.message()), HasSubstr(concat("option '", name, "'")));
    }
  }
  const Status past = refused("main:ns=1;s=Tank1.SetValve",
                              {BP_H_OPTIONS, arena.map({{"start", "1990-01-01T00:00:00Z"}})});
  EXPECT_THAT(std::string(past.message()), HasSubstr("option 'start'"));
}

TEST(OpcuaServer, AForeignWriteIsRefusedWhileAWatcherThatDropsNothingIsFull) {
  OpcuaPair pair;
  const Endpoint inside = pair.open(kTemperature);
  const Endpoint outside = pair.open(kOutside);
  const Told told;
  WatchOptions none;
  none.credit = 1;
  none.overflow = BP_OVERFLOW_BLOCK;
  auto watching = inside.watch(told, std::move(none));
  ASSERT_TRUE(watching);
  Status status;
  for (int i = 0; i < 3000 && status.is_ok(); ++i) {
    status = outside.write(double(i)).get();
  }
  EXPECT_EQ(status.code(), BP_RESOURCE_EXHAUSTED) << status.to_string();
  watching->credit(5000);
  EXPECT_TRUE(eventually([&] { return outside.write(7777.0).get().is_ok(); }, kPatience));
  EXPECT_TRUE(told.has(7777.0));
}

TEST(OpcuaServer, AWatcherThatDropsNothingGetsAllThatWasAnsweredGoodHoweverMuchComesAtOnce) {
  OpcuaPair pair(kServerNodes, "max_requests = 4000");
  const Endpoint inside = pair.open(kTemperature);
  const Endpoint outside = pair.open(kOutside);
  WatchOptions none;
  none.credit = 1;
  none.overflow = BP_OVERFLOW_BLOCK;
  Watched watched(inside, {}, std::move(none));
  ASSERT_TRUE(watched.told.reaches(1));
  std::vector<Writing> writes;
  std::vector<double> taken{20.5};
  size_t refused = 0;
  for (int i = 0; i < 3000; ++i) {
    writes.emplace_back(outside, double(i));
  }
  for (int i = 0; i < 3000; ++i) {
    const Status status = writes[static_cast<size_t>(i)].end();
    if (status.is_ok()) {
      taken.push_back(i);
    } else {
      EXPECT_EQ(status.code(), BP_RESOURCE_EXHAUSTED) << status.to_string();
      ++refused;
    }
  }
  EXPECT_GT(refused, 0u);
  watched.credit(5000);
  EXPECT_TRUE(watched.told.reaches(taken.size()));
  EXPECT_EQ(watched.told.numbers(), taken);
}

TEST(OpcuaServer, AWriteByWhoIsToldIsToldBehindWhatTheClientHadWrittenBefore) {
  OpcuaPair pair;
  const Endpoint trigger = pair.open("main:ns=2;i=7");
  const Endpoint inside = pair.open(kTemperature);
  const auto own = std::make_shared<Guarded<std::optional<Status>>>();
  const auto watching = trigger.watch([&](MessageView message) {
    if (!message.is_initial()) {
      inside.write(50.0).then([own](const Status& status) { own->lock()->emplace(status); });
    }
  });
  const Watched watched(inside);
  ASSERT_TRUE(watched.told.reaches(1));
  const Endpoint first = pair.open("plant:ns=2;i=7");
  const Endpoint second = pair.open(kOutside);
  second.write(30.0).or_throw();  // the client knows what the node takes
  first.write(false).or_throw();
  ASSERT_TRUE(watched.told.has(50.0));
  // By one request.
  post(pair.kernel().host(), [&] {
    first.write(true).then([](const Status&) {});
    second.write(40.0).then([](const Status&) {});
  }).or_throw();
  ASSERT_TRUE(watched.told.reaches(5));
  EXPECT_THAT(watched.told.numbers(), ElementsAre(20.5, 30, 50, 40, 50));
  EXPECT_EQ(inside.read<double>().value(), 50.0);
  EXPECT_TRUE(eventually([&] { return own->copy().value_or(Status(BP_UNKNOWN)).is_ok(); }));
}

TEST(OpcuaServer, TheAddressSpaceIsBrowsedFromInsideAndOutside) {
  OpcuaPair pair;
  for (const char* instance : {"main:", "plant:"}) {
    std::vector<std::string> names;
    for (const OwnedMessage& each : pair.open(concat(instance, "/1:Line1")).browse().value()) {
      names.push_back(each.view().header<std::string>(BP_H_PATH).value_or(""));
    }
    EXPECT_THAT(names, testing::UnorderedElementsAre(
                           "ns=1;s=Line1.Temperature", "ns=1;s=Line1.Count", "ns=1;s=Line1.Fixed",
                           "ns=1;s=Line1.Empty", "ns=1;s=Line1.Profile", "ns=1;s=Line1.Order"))
        << instance;
    const OwnedMessage title =
        pair.open(concat(instance, "ns=1;s=Line1.Temperature@DisplayName")).read().value();
    EXPECT_THAT(title.body().to_text(), HasSubstr("Temperature of line 1"));
    EXPECT_TRUE(
        pair.open(concat(instance, "/1:Line1/1:Temperature/0:EngineeringUnits")).read().get());
    EXPECT_TRUE(pair.open(concat(instance, "/1:Line1/1:Temperature/0:EURange")).read().get());
  }
  EXPECT_EQ(pair.kernel().open("main:ns=1;s=Line9").get().status().code(), BP_NOT_FOUND);
}

TEST(OpcuaServer, ADeadbandInPercentIsThatOfTheNodesRange) {
  OpcuaPair pair;
  StackArena arena;
  const Endpoint inside = pair.open(kTemperature);
  const Told told;
  const ValueView options = arena.map({{"deadband", "10%"}});
  const Pair header(BP_H_OPTIONS, options);
  WatchOptions watching;
  watching.headers = {static_cast<const bp_pair*>(&header), 1};
  const Endpoint outside = pair.open(kOutside);
  const auto watch = outside.watch(told, std::move(watching));
  ASSERT_TRUE(told.has(20.5));
  for (const double value : {25.0, 40.0, 45.0, 60.0}) {
    inside.write(value).or_throw();
  }
  ASSERT_TRUE(told.has(60.0));
  std::vector<double> numbers;
  for (const auto& each : told.all()) numbers.push_back(each.number.value());
  EXPECT_THAT(numbers, ElementsAre(20.5, 40.0, 60.0));
}

TEST(OpcuaServer, OneConnectionTooManyIsClosedAndCounted) {
  OpcuaPair pair(concat(kServerNodes, "max_connections = 1\n"));
  Kernel other = opcua_kernel();
  other
      .load_text("other.toml",
                 concat("[instances.plant]\nplugin = \"opcua\"\nurl = \"", pair.url(), "\"\n"))
      .or_throw();
  other.start().or_throw();
  EXPECT_TRUE(
      eventually([&] { return pair.metric("opcua_connections_refused_total") > 0; }, kPatience));
  EXPECT_EQ(pair.metric("opcua_connections"), 1);
  EXPECT_EQ(pair.open(kOutside).read<double>().value(), 20.5) << "the one that it has goes on";
}

/// A channel without security and without a session, for an hour.
class IdleChannel {
 public:
  explicit IdleChannel(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int connected =
        connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    EXPECT_EQ(connected, 0);
    std::string hello("HELF");
    put(hello, {32, 0, 65536, 65536, 0, 0, kNull});
    constexpr std::string_view kPolicy = "http://opcfoundation.org/UA/SecurityPolicy#None";
    std::string open("OPNF");
    put(open, {132, 0, static_cast<uint32_t>(kPolicy.size())});
    open += kPolicy;
    put(open, {kNull, kNull, 1, 1});
    open += std::string("\x01\x00\xbe\x01\x00\x00", 6);  // the request's type; no session
    put(open, {0, 0, 1, 0, kNull, 0});
    open += std::string(3, '\0');  // no additional header
    put(open, {0, 0, 1, kNull, 3'600'000});
    EXPECT_EQ(open.size(), 132u);
    ask(hello, "ACKF");
    ask(open, "OPNF");
  }
  bool is_open() const {
    char byte = 0;
    return recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }

 private:
  static constexpr uint32_t kNull = 0xFFFFFFFF;
  static void put(std::string& to, std::initializer_list<uint32_t> numbers) {
    for (const uint32_t number : numbers) {
      to.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
  }
  void ask(const std::string& request, std::string_view expected) const {
    EXPECT_EQ(send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    char answer[512];
    const ssize_t n = recv(fd_.get(), answer, sizeof answer, 0);
    ASSERT_GE(n, 4);
    EXPECT_EQ(std::string_view(answer, 4), expected);
  }
  const UniqueFd fd_;
};

TEST(OpcuaServer, ChannelsWithoutASessionMakeRoomForAClientTheOldestFirst) {
  OpcuaPair pair(concat(kServerNodes, "max_connections = 4\n"));
  std::vector<std::unique_ptr<IdleChannel>> idle;
  for (int i = 0; i < 12; ++i) {
    idle.push_back(std::make_unique<IdleChannel>(pair.port()));
  }
  EXPECT_TRUE(eventually([&] { return pair.metric("opcua_connections") == 4; }, kPatience));
  OpcuaSystem client(pair.port());
  client.connected();
  EXPECT_EQ(client.open("ns=1;s=Line1.Temperature").read<double>().value(), 20.5);
  EXPECT_EQ(pair.open(kOutside).read<double>().value(), 20.5) << "who has a session goes on";
  EXPECT_EQ(metric_of(pair.kernel(), "plant", "connections_lost_total"), 0);
  EXPECT_EQ(pair.metric("opcua_connections_refused_total"), 0);
  EXPECT_FALSE(idle.front()->is_open());
  EXPECT_TRUE(idle.back()->is_open()) << "the youngest";
}

TEST(OpcuaServer, CountsASessionUntilItHasEndedAlsoOfAClientThatIsGone) {
  const uint16_t port = free_port_base();
  Kernel kernel = opcua_kernel();
  kernel
      .load_text("test.toml",
                 concat("[instances.main]\nplugin = \"opcua\"\nlisten = \"opc.tcp://127.0.0.1:",
                        port, "\"\nsecurity_mode = \"none\"\n", kServerNodes))
      .or_throw();
  kernel.start().or_throw();
  const auto sessions = [&] { return metric_of(kernel, "main", "opcua_sessions"); };
  {
    OpcuaSystem client(port);
    client.connected();
    EXPECT_EQ(sessions(), 1);
  }
  EXPECT_TRUE(eventually([&] { return sessions() == 0; }, kPatience)) << "it has said so";
  TcpRelay line(port);
  OpcuaSystem client(line.port(), "session_timeout_s = 3\nkeepalive_s = 1");
  client.connected();
  EXPECT_EQ(sessions(), 1);
  line.close();
  EXPECT_TRUE(
      eventually([&] { return metric_of(kernel, "main", "opcua_connections") == 0; }, kPatience));
  EXPECT_EQ(sessions(), 1) << "a client may come back to it";
  EXPECT_TRUE(eventually([&] { return sessions() == 0; }, kPatience)) << "it has timed out";
}

TEST(OpcuaServer, EndsWhileClientsAreConnectedAndStartsAgainOnItsPort) {
  const uint16_t port = free_port_base();
  const std::string manifest =
      concat("[instances.main]\nplugin = \"opcua\"\nlisten = \"opc.tcp://127.0.0.1:", port,
             "\"\nsecurity_mode = \"none\"\n", kServerNodes);
  OpcuaSystem client(port);
  for (int i = 0; i < 2; ++i) {
    Kernel kernel = opcua_kernel();
    kernel.load_text("test.toml", manifest).or_throw();
    kernel.start().or_throw();
    client.connected();
    const Told told;
    const Endpoint node = client.open("ns=1;s=Line1.Temperature");
    const auto watching = node.watch(told);
    EXPECT_TRUE(told.has(20.5));
    kernel.stop().or_throw();
    EXPECT_TRUE(client.becomes(BP_STATE_CONNECTING));
  }
}

TEST(OpcuaServer, WhatItStillTellsInsideEndsWithItAndSaysWhy) {
  OpcuaPair pair(R"(
nodes = [
  { id = "ns=1;s=Line1.Level", type = "Double", initial = 1.0, history = 5 },
  { id = "ns=1;s=Line1.Count", type = "Int32" },
]
)");
  StackArena arena;
  const Endpoint level = pair.open("main:ns=1;s=Line1.Level");
  const Endpoint line = pair.open("main:/1:Line1");
  level.write(2.0).or_throw();
  Look look(pair.kernel(), line, 1);
  WatchOptions one;
  one.credit = 1;
  const Watched past(level, arena.map({{"start", "1990-01-01T00:00:00Z"}}), std::move(one));
  const Watched present(level);
  ASSERT_TRUE(look.reaches(1) && past.told.reaches(1) && present.told.reaches(1));
  pair.kernel().stop().or_throw();
  for (const Status& end : {look.end().value_or(Status()), past.end(), present.end()}) {
    EXPECT_EQ(end.code(), BP_UNAVAILABLE) << "by the plugin: the kernel says CANCELLED";
    EXPECT_THAT(std::string(end.message()), HasSubstr("the server is ending"));
  }
}

TEST(OpcuaServer, APortThatIsTakenIsNamed) {
  OpcuaPair pair;
  Kernel second = opcua_kernel();
  second
      .load_text("second.toml",
                 concat("[instances.main]\nplugin = \"opcua\"\nlisten = \"", pair.url(), "\"\n"))
      .or_throw();
  const Status status = second.start();
  EXPECT_EQ(status.code(), BP_FAILED_PRECONDITION) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::to_string(pair.port())));
}

}  // namespace
}  // namespace backplane::test
