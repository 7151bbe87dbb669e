// SPDX-License-Identifier: Apache-2.0
// The server is absent, dies, comes back, does not answer, answers late, forgets the session.
#include "fixture.hpp"
#include "support/tcp_relay.hpp"

#include <atomic>
#include <list>

namespace backplane::test {
namespace {

using testing::HasSubstr;

TEST(OpcuaFaults, AnAbsentServerIsNamedWithTheReason) {
  const uint16_t port = free_port_base();
  OpcuaSystem system(port);
  const Status status = system.open(kTemperature).read().get().status();
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr(concat("no session with opc.tcp://127.0.0.1:", port, ": Connection refused")));
  EXPECT_EQ(system.info().state, BP_STATE_CONNECTING);
}

TEST(OpcuaFaults, ANameThatNobodyKnowsIsNamed) {
  OpcuaSystem system(4840, "", std::string(70, 'a'));  // too long to be asked for anywhere
  const Status status = system.open(kTemperature).read().get().status();
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no address for 'aaa"));
}

TEST(OpcuaFaults, AKilledServerIsDownAndItsWatchesGoOnWhenItReturns) {
  OpcuaServer server;
  OpcuaSystem system(server.port());
  const Endpoint node = system.connected().open(kTemperature);
  const Watched watched(node);
  ASSERT_TRUE(watched.told.has(20.5));
  node.write(30.5).or_throw();
  ASSERT_TRUE(watched.told.has(30.5));
  server.kill();
  ASSERT_TRUE(system.becomes(BP_STATE_CONNECTING));
  EXPECT_EQ(node.read().get().status().code(), BP_UNAVAILABLE);

  server.start();
  ASSERT_TRUE(system.becomes(BP_STATE_UP));
  node.write(31.5).or_throw();
  EXPECT_TRUE(watched.told.has(31.5));
  const auto all = watched.told.all();
  EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const auto& each) { return each.is_initial; }),
            2)
      << "the present value once a session";
}

TEST(OpcuaFaults, AFrozenServerIsFoundByTheKeepAlive) {
  OpcuaServer server;
  OpcuaSystem system(server.port(), "keepalive_s = 0.2\nrequest_timeout_s = 1");
  system.connected();
  server.freeze();  // nothing is asked: only the keep-alive can find it
  ASSERT_TRUE(system.becomes(BP_STATE_CONNECTING, 5s)) << "0.2 + 1 s, and two ticks of a second";
  EXPECT_THAT(system.info().detail, HasSubstr("the server does not answer"));
  server.go_on();
  EXPECT_TRUE(system.becomes(BP_STATE_UP));
}

TEST(OpcuaFaults, APortWhereNobodySpeaksOpcUaIsGivenUpInTime) {
  const uint16_t port = free_port_base();
  const HeldPort silent(SOCK_STREAM, port);
  ASSERT_EQ(listen(silent.descriptor(), 8), 0);
  OpcuaSystem system(port, "connect_timeout_s = 0.2");
  const Status status = system.open(kTemperature).read().get().status();
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(status.message()), HasSubstr("connect_timeout_s"));
}

/// The next connection to a port where nobody answers.
UniqueFd next_connection(const HeldPort& port) {
  pollfd coming{port.descriptor(), POLLIN, 0};
  EXPECT_EQ(poll(&coming, 1, std::chrono::milliseconds(kPatience).count()), 1);
  return UniqueFd(accept4(port.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}
/// What came before is read.
bool is_closed(const UniqueFd& connection) {
  char bytes[4096];
  ssize_t n = 0;
  do {
    n = recv(connection.get(), bytes, sizeof bytes, 0);
  } while (n > 0);
  return n == 0 || errno == ECONNRESET;
}

TEST(OpcuaFaults, AnInquiryThatIsCancelledClosesItsConnection) {
  const uint16_t port = free_port_base();
  const HeldPort silent(SOCK_STREAM, port);
  ASSERT_EQ(listen(silent.descriptor(), 8), 0);
  OpcuaSystem system(port, "connect_timeout_s = 60");
  const UniqueFd of_session = next_connection(silent);
  std::optional<Endpoint> endpoints = system.open("@Endpoints");
  const Reading inquiry(*endpoints);
  const UniqueFd of_inquiry = next_connection(silent);
  EXPECT_FALSE(is_closed(of_inquiry));
  endpoints.reset();
  EXPECT_TRUE(eventually([&] { return is_closed(of_inquiry); }, kPatience));
  EXPECT_EQ(inquiry.end().code(), BP_CANCELLED);
  EXPECT_FALSE(is_closed(of_session));
}

TEST(OpcuaFaults, AConnectionThatIsResetAnywhereInTheHandshakeIsTriedAgain) {
  OpcuaServer server;
  TcpRelay relay(server.port());
  for (const size_t bytes : {20u, 90u, 250u, 700u, 1500u}) {
    relay.become({.cut_after = bytes});
    const size_t harmed = relay.harmed();
    OpcuaSystem system(relay.port());
    ASSERT_TRUE(eventually([&] { return relay.harmed() > harmed + 1; }, kPatience)) << bytes;
    EXPECT_EQ(system.info().state, BP_STATE_CONNECTING) << bytes;
    relay.open();
    EXPECT_TRUE(system.becomes(BP_STATE_UP)) << bytes;
  }
}

// A dozen round trips lie between the first byte and a session, and the library has a tick of a
// second.
TEST(OpcuaFaults, ASlowLineIsConnectedOver) {
  OpcuaServer server;
  TcpRelay relay(server.port());
  relay.become({.delay = 150ms});
  OpcuaSystem system(relay.port());
  EXPECT_TRUE(system.becomes(BP_STATE_UP)) << system.info().detail;
  EXPECT_EQ(system.open(kTemperature).read<double>().value(), 20.5);
  EXPECT_EQ(system.losses(), 0);
}

TEST(OpcuaFaults, AnAnswerThatComesTooLateHurtsNobodyElse) {
  OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port(), "request_timeout_s = 0.3");
  const Endpoint node = system.connected().open(kTemperature);
  for (int i = 0; i < 3; ++i) {
    relay.become({.holds = kAnswers});
    const Status late = node.read().get().status();
    EXPECT_EQ(late.code(), BP_DEADLINE_EXCEEDED) << late.to_string();
    relay.open();
    const auto value = node.read<double>().get();
    ASSERT_TRUE(value) << value.status().to_string();
  }
  EXPECT_EQ(system.losses(), 0) << "the connection has stayed";
}

TEST(OpcuaFaults, WhatIsUnderWayWhenTheConnectionDiesMayHaveBeenDone) {
  OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  const Endpoint node = system.connected().open(kTemperature);
  node.write(22.5).or_throw();  // the first one asks for the node's type before
  relay.become({.holds = kAnswers});
  const Writing write(node, 21.5);
  OpcuaSystem other(server.port());
  const Endpoint seen = other.connected().open(kTemperature);
  ASSERT_TRUE(eventually([&] { return seen.read<double>().value() == 21.5; }));
  relay.cut();
  const Status status = write.end();
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(status.message()), HasSubstr("whether it was done is not known"));
}

TEST(OpcuaFaults, WhatIsUnderWayWhenTheInstanceStopsMayHaveBeenDone) {
  OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  const Endpoint node = system.connected().open(kTemperature);
  node.write(22.5).or_throw();  // the first one asks for the node's type before
  relay.become({.holds = kAnswers});
  const Writing write(node, 21.5);
  ASSERT_TRUE(eventually([&] { return relay.harmed() > 0; }));
  const auto since = std::chrono::steady_clock::now();
  static_cast<void>(system.kernel().stop());
  EXPECT_LT(std::chrono::steady_clock::now() - since, 5s)
      << "the server's answer is not waited for";
  const Status status = write.end();
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the instance is stopping: whether it was done is not known"));
}

TEST(OpcuaFaults, ASessionThatTheServerForgetsIsMadeAgainWithItsWatches) {
  OpcuaServer server;
  OpcuaSystem system(server.port());
  const Endpoint node = system.connected().open(kTemperature);
  const Watched watched(node);
  const Watched by_path(system.open("/1:Line1/1:Temperature"));
  ASSERT_TRUE(watched.told.has(20.5) && by_path.told.has(20.5));
  system.open("ns=1;s=Line2.Forget").call().get().or_throw();
  ASSERT_TRUE(eventually([&] { return system.losses() == 1; }, kPatience));
  ASSERT_TRUE(system.becomes(BP_STATE_UP, 10s));
  EXPECT_TRUE(watched.told.reaches(2) && by_path.told.reaches(2)) << "the present value again";
  node.write(21.5).or_throw();
  EXPECT_TRUE(watched.told.has(21.5) && by_path.told.has(21.5));
  EXPECT_FALSE(watched.has_ended() || by_path.has_ended());
}

// The library would make one by itself, at once, of which nobody would know.
TEST(OpcuaFaults, NoSessionIsLeftBehindAtAServerThatForgetsOne) {
  OpcuaServer server({"sessions=1"});
  OpcuaSystem system(server.port());
  const Watched watched(system.connected().open(kTemperature));
  ASSERT_TRUE(watched.told.has(20.5));  // by it the end of the session is noticed
  system.open("ns=1;s=Line2.Forget").call().get().or_throw();
  ASSERT_TRUE(eventually([&] { return system.losses() == 1; }, kPatience));
  EXPECT_TRUE(system.becomes(BP_STATE_UP, 10s)) << system.info().detail;
}

TEST(OpcuaFaults, OneMoreRequestThanMayBeUnderWayIsRefused) {
  OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port(), "max_requests = 2");
  const Endpoint node = system.connected().open(kTemperature);
  relay.become({.holds = kAnswers});
  const Writing first(node, 1);
  const Writing second(node, 2);
  const Status third = node.read().get().status();
  EXPECT_EQ(third.code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(std::string(third.message()), HasSubstr("'max_requests'"));
  relay.open();
  EXPECT_TRUE(first.end().is_ok() && second.end().is_ok());
  EXPECT_TRUE(node.read().get());
}

/// 127.0.0.1 of a port, where every segment is lost.
class BlackHole {
 public:
  explicit BlackHole(uint16_t port) : held_(SOCK_STREAM, port) {
    sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const sock_fprog filter{1, nothing};
    setsockopt(held_.descriptor(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
  }
  bool is_one() const { return held_.held(); }

 private:
  const HeldPort held_;
};

TEST(OpcuaFaults, AnAddressThatAnswersNothingIsLeftForAnotherOne) {
  OpcuaServer server({"ipv6=1"});
  const BlackHole hole(server.port());
  ASSERT_TRUE(hole.is_one());
  OpcuaSystem system(server.port(), "connect_timeout_s = 2", "localhost");
  EXPECT_TRUE(system.becomes(BP_STATE_UP)) << system.info().detail;
}

TEST(OpcuaFaults, ANamespaceThatIsRenumberedKeepsItsNodesReadAndWatched) {
  OpcuaServer server({"urn:plant", "urn:other"});
  OpcuaSystem system(server.port());
  const Endpoint by_id = system.connected().open("nsu=urn:plant;s=Moving");
  const Endpoint by_path = system.open("/nsu=urn:backplane:test:server;Line1/nsu=urn:plant;Moving");
  const Told told;
  const auto watching = by_id.watch(told);
  ASSERT_TRUE(told.has(2.0)) << "the number of its namespace";
  EXPECT_EQ(by_path.read<double>().value(), 2.0);
  server.kill();
  ASSERT_TRUE(system.becomes(BP_STATE_CONNECTING));
  server.become({"urn:other", "urn:plant"});
  server.start();
  EXPECT_TRUE(told.has(3.0));
  EXPECT_EQ(by_id.read<double>().value(), 3.0);
  EXPECT_EQ(by_path.read<double>().value(), 3.0);
}

// Reads, each of which asks again in its completion.
class Chain {
 public:
  Chain(Endpoint node, std::atomic<bool>& is_over) : node_(std::move(node)), is_over_(is_over) {
    next();
  }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;
  ~Chain() {
    is_over_ = true;
    static_cast<void>(eventually([&] { return has_ended(); }, kPatience));
  }
  int good() const { return good_; }
  bool has_ended() const { return has_ended_; }

 private:
  void next() {
    node_.read<double>().then([this](const Result<double>& value) {
      good_ += value ? 1 : 0;
      if (is_over_) {
        has_ended_ = true;
      } else {
        next();
      }
    });
  }
  const Endpoint node_;
  std::atomic<bool>& is_over_;
  std::atomic<int> good_{0};
  std::atomic<bool> has_ended_{false};
};

TEST(OpcuaFaults, ReadsThatAskAgainInTheirCompletionAllEndWhenTheLineIsCut) {
  std::atomic<bool> is_over{false};
  OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  system.connected();
  std::list<Chain> all;
  for (int i = 0; i < 20; ++i) {
    all.emplace_back(system.open(kTemperature), is_over);
  }
  for (int round = 0; round < 5; ++round) {
    std::vector<int> before;
    for (const Chain& each : all) {
      before.push_back(each.good());
    }
    EXPECT_TRUE(eventually([&] {
      return std::equal(all.begin(), all.end(), before.begin(),
                        [](const Chain& each, int good) { return each.good() > good + 10; });
    }));
    const int64_t losses = system.losses();
    relay.cut();
    ASSERT_TRUE(eventually([&] { return system.losses() > losses; }, kPatience));
    ASSERT_TRUE(system.becomes(BP_STATE_UP));
  }
  is_over = true;
  EXPECT_TRUE(eventually([&] {
    return std::all_of(all.begin(), all.end(), [](const auto& each) { return each.has_ended(); });
  }));
}

// In one piece with the first answer: the second read is to be sent in a session that is over.
TEST(OpcuaFaults, AReadThatIsAskedForWhileTheSessionEndsFails) {
  std::atomic<bool> has_ended{false};
  Status second;
  OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  const Endpoint node = system.connected().open("ns=1;s=Types.Point");
  node.read().get().or_throw();  // its structure is known
  relay.add_behind(kPointBytes, kErrorMessage);
  node.read().then([&](const auto& first) {
    EXPECT_TRUE(first.status().is_ok());
    node.read().then([&](const auto& answer) {
      second = answer.status();
      has_ended = true;
    });
  });
  ASSERT_TRUE(eventually([&] { return has_ended.load(); }, kPatience));
  EXPECT_EQ(second.code(), BP_UNAVAILABLE) << second.to_string();
  EXPECT_TRUE(eventually([&] { return system.losses() == 1; }, kPatience));
  EXPECT_TRUE(system.becomes(BP_STATE_UP));
  EXPECT_TRUE(node.read().get());
}

TEST(OpcuaFaults, ANamespaceThatCameLaterIsFound) {
  OpcuaServer server;
  OpcuaSystem system(server.port());
  const Endpoint late = system.connected().open("nsu=urn:late;s=Late");
  EXPECT_EQ(late.read().get().status().code(), BP_NOT_FOUND);
  system.open("ns=1;s=Types.Extend").call().get().or_throw();
  EXPECT_EQ(late.read<double>().value(), 2.0);
}

TEST(OpcuaFaults, ANamespaceThatCameWhileTheyWereReadForAnotherIsFound) {
  OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port());
  OpcuaSystem other(server.port());
  const Endpoint late = system.connected().open("nsu=urn:late;s=Late");
  const Endpoint extend = other.connected().open("ns=1;s=Types.Extend");
  // Answered behind all that a session begins with: what is held is the answer to `before`.
  system.open(kTemperature).read<double>().value();
  relay.become({.holds = kAnswers});
  const size_t harmed = relay.harmed();
  const Reading before(late);
  ASSERT_TRUE(eventually([&] { return relay.harmed() > harmed; }, kPatience));
  extend.call().get().or_throw();
  const Reading behind(late);
  relay.open();
  EXPECT_EQ(before.end().code(), BP_NOT_FOUND);
  EXPECT_TRUE(behind.end().is_ok()) << behind.end().to_string();
}

TEST(OpcuaFaults, NamespacesAreReadOnceWhenASessionBeginsWhoeverWaitsForIt) {
  OpcuaServer server;
  TcpRelay relay(server.port());
  relay.look_for({"\x01\x00\xcf\x08\x0d\x00\x00\x00", 8});  // the value of i=2255
  relay.become({.holds = kAnswers});
  OpcuaSystem system(relay.port());
  const Endpoint nowhere = system.open("nsu=urn:nowhere;s=X");
  const Watched watched(nowhere);
  const Reading first(nowhere);
  const Reading second(nowhere);
  relay.open();
  for (const Status& end : {first.end(), second.end(), watched.end()}) {
    EXPECT_EQ(end.code(), BP_NOT_FOUND) << end.to_string();
  }
  EXPECT_EQ(relay.seen(), 1u);
  EXPECT_EQ(nowhere.read().get().status().code(), BP_NOT_FOUND);
  EXPECT_EQ(relay.seen(), 2u) << "it may have got one since";
}

}  // namespace
}  // namespace backplane::test
