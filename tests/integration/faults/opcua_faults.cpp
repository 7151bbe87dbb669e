// SPDX-License-Identifier: Apache-2.0
// The rows of opcua: a server behind a line that breaks, and one that ends, freezes or forgets.
#include "integration/faults/fault_matrix.hpp"
#include "integration/opcua/fixture.hpp"
#include "support/certificates.hpp"
#include "support/tcp_relay.hpp"

namespace backplane::test {
namespace {

constexpr std::string_view kConfig =
    "keepalive_s = 0.5\nrequest_timeout_s = 1\nconnect_timeout_s = 2\nsession_timeout_s = 3\n";
constexpr Ms kSilent = 4s;  // until that is noticed: 0.5 + 1 s, and two ticks of the library
constexpr Ms kAgain = 10s;  // the longest pause between two tries, and as much for the try

/// A server and the line to it: both are in order after become({}).
class OpcuaLine {
 public:
  uint16_t port() const { return relay_.port(); }
  uint16_t port_past_the_line() const { return server_.port(); }
  TcpRelay& relay() { return relay_; }
  void become(const TcpFaults& faults) {
    relay_.become(faults);
    if (std::exchange(is_dead_, false)) {
      server_.start();
    }
    if (std::exchange(is_frozen_, false)) {
      server_.go_on();
    }
  }
  void kill() {
    server_.kill();
    is_dead_ = true;
    ++harmed_;
  }
  void freeze() {
    server_.freeze();
    is_frozen_ = true;
    ++harmed_;
  }
  /// Another one takes its place, in which nobody knows anything of a session.
  void restart() {
    server_.kill();
    server_.start();
    ++harmed_;
  }
  size_t harmed() const { return harmed_ + relay_.harmed(); }

 private:
  OpcuaServer server_;
  TcpRelay relay_{server_.port()};
  bool is_dead_ = false;
  bool is_frozen_ = false;
  size_t harmed_ = 0;
};

using Line = Fault<OpcuaLine>;

std::vector<Line> faults() {
  constexpr auto become = [](const TcpFaults& faults) {
    return [faults](OpcuaLine& line) { line.become(faults); };
  };
  const std::string lost = "connections_lost_total";
  const auto cut_for = [&](std::string name, Ms time) {
    Line out = Line::stops(std::move(name), become({.unplugged = true}), kSilent, kAgain);
    out.lasts = time - 1s;  // and what it takes until that is noticed
    return std::move(out).counted_by(lost);
  };
  return {
      Line::begins_anew(
          "cut", [](OpcuaLine& line) { line.relay().cut(); }, kAgain)
          .counted_by(lost),
      Line::stops("refused", become({.refuses = true}), kSilent, kAgain).counted_by(lost),
      cut_for("unplugged_3_s", 3s),
      cut_for("unplugged_60_s", 60s).only_long(),
      Line::stops("half_open", become({.holds = kBothWays}), kSilent, kAgain).counted_by(lost),
      Line::begins_anew(
          "stranded", [](OpcuaLine& line) { line.relay().strand(); }, kSilent + kAgain)
          .counted_by(lost),
      Line::goes_on("delayed", become({.delay = 100ms}), kAgain),
      Line::goes_on("in_pieces", become({.piece = 100}), kAgain),
      Line::begins_anew(
          "server_restarted", [](OpcuaLine& line) { line.restart(); }, kAgain)
          .counted_by(lost),
      Line::stops(
          "server_down", [](OpcuaLine& line) { line.kill(); }, kSilent, kAgain)
          .counted_by(lost),
      Line::stops(
          "server_frozen", [](OpcuaLine& line) { line.freeze(); }, kSilent, kAgain)
          .counted_by(lost),
  };
}

class OpcuaFault : public testing::TestWithParam<Line> {};
INSTANTIATE_TEST_SUITE_P(Matrix, OpcuaFault, testing::ValuesIn(faults()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(OpcuaFault, LosesNothingAndComesBack) {
  const Line& fault = GetParam();
  if (fault.is_long && !is_long_test()) {
    GTEST_SKIP() << "set BP_TEST_LONG";
  }
  const bool is_server = fault.name.starts_with("server");
  StackArena arena;
  OpcuaLine line;
  OpcuaSystem far(line.port_past_the_line());
  OpcuaSystem near(line.port(), std::string(kConfig));
  near.connected();
  far.connected();
  // Each change is reported.
  const Pair options(BP_H_OPTIONS, arena.map({{"queue", 10'000}}));
  const auto all_of = [&] {
    WatchOptions out;
    out.headers = {static_cast<const bp_pair*>(&options), 1};
    return out;
  };
  Numbers arrived, watched;
  std::atomic<int> begun{0};
  const auto take = [&](Numbers& numbers) {
    return [&numbers, &begun](MessageView message) {
      message.is_initial() ? static_cast<void>(++begun)
                           : numbers.add(message.body().get<std::string>().value_or(""));
    };
  };
  const Endpoint count = far.open("ns=1;s=Line2.Count");
  const auto writes_there = count.watch(take(arrived), all_of());
  const Endpoint source = far.open("ns=1;s=Line2.News");
  const Endpoint news = near.open("ns=1;s=Line2.News");
  const auto watch = news.watch(take(watched), all_of());
  ASSERT_TRUE(writes_there && watch);
  ASSERT_TRUE(eventually([&] { return begun == 2; }));
  Counting published(10ms,
                     [&](int number) { source.write(sealed(number)).then([](const Status&) {}); });
  WriteStream writes(near.open("ns=1;s=Line2.Count"), 2);
  Traffic traffic{"opcua",
                  writes,
                  published,
                  watched,
                  [&] { return near.info().state; },
                  [&](const std::string& name) { return near.metric(name); },
                  "connections_lost_total"};

  go_through(fault, line, traffic);

  published.stop();
  writes.stop();
  if (!is_server) {  // one that ends takes what it had along
    expect_nothing_lost(traffic, arrived);
  }
  EXPECT_EQ(watched.overtaken(), 0u) << "an old value came after a newer one";
  EXPECT_EQ(arrived.overtaken(), 0u) << "an old write came after a newer one";
  if (fault.then == Then::kGoesOn) {
    EXPECT_EQ(near.losses(), 0) << "a slow line is not a broken one";
  }
}

/// What a fault that no line has takes to recover from.
template <class Condition>
void recovers(const std::string& fault, const Condition& condition) {
  const auto since = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually(condition, kAgain));
  Measured measured{"opcua", fault, {}, {}, {}, 0};
  measured.writes = measured.watches =
      std::chrono::duration_cast<Ms>(std::chrono::steady_clock::now() - since);
  std::printf("fault matrix: %s\n", measured.line().c_str());
  std::fflush(stdout);
  all_measured().push_back(measured);
}

bool writes_and_watches(const Endpoint& node, const Watched& watched, double number) {
  if (!node.write(number).get().is_ok()) {
    return false;
  }
  return eventually(
      [&] {
        const auto seen = watched.told.numbers();
        return !seen.empty() && seen.back() == number;
      },
      1s);
}

TEST(OpcuaMatrix, AServerThatStartsLastIsFound) {
  OpcuaServer server;
  server.kill();
  OpcuaSystem system(server.port(), std::string(kConfig));
  const Endpoint node = system.open(kTemperature);
  const Watched watched(node);
  EXPECT_EQ(node.read().get().status().code(), BP_UNAVAILABLE);
  EXPECT_FALSE(eventually([&] { return system.info().state == BP_STATE_UP; }, 3s));
  server.start();
  recovers("server_last", [&] { return writes_and_watches(node, watched, 21.5); });
}

TEST(OpcuaMatrix, ASessionThatTheServerForgetsIsMadeAgain) {
  OpcuaServer server;
  OpcuaSystem system(server.port(), std::string(kConfig));
  const Endpoint node = system.connected().open(kTemperature);
  const Watched watched(node);
  ASSERT_TRUE(watched.told.has(20.5));
  system.open("ns=1;s=Line2.Forget").call().get().or_throw();
  recovers("session_closed",
           [&] { return system.losses() == 1 && writes_and_watches(node, watched, 21.5); });
}

// The connection stays, and what the server answers to is a session that it does not know.
TEST(OpcuaMatrix, ASessionThatExpiresOnAnOpenConnectionIsMadeAgain) {
  OpcuaServer server;
  TcpRelay relay(server.port());
  OpcuaSystem system(relay.port(),
                     "session_timeout_s = 1\nkeepalive_s = 0.9\nrequest_timeout_s = 30");
  const Endpoint node = system.connected().open(kTemperature);
  const Watched watched(node);
  ASSERT_TRUE(watched.told.has(20.5));
  relay.become({.holds = kRequests});
  EXPECT_FALSE(eventually([&] { return system.losses() > 0; }, 4s));
  relay.open();
  recovers("session_expired",
           [&] { return system.losses() == 1 && writes_and_watches(node, watched, 21.5); });
}

TEST(OpcuaMatrix, ACertificateThatItsAuthorityHasRenewedIsTaken) {
  constexpr auto kUri = "urn:test:server";
  Certificates certificates;
  certificates.application("server", kUri, "ca");
  certificates.application("own", "urn:test:own");
  const ScratchFolder folder;
  std::filesystem::create_directories(folder.path() / "pki" / "trusted");
  std::filesystem::copy_file(certificates.path("ca.pem"),
                             folder.path() / "pki" / "trusted" / "ca.pem");
  OpcuaServer server({"--certificate", certificates.path("server.pem"), "--key",
                      certificates.path("server.key"), "--uri", kUri, "--policy",
                      "Basic256Sha256"});
  OpcuaSystem system(
      server.port(),
      concat(kConfig, "credentials = \"own\"\npki = \"", (folder.path() / "pki").string(), "\"\n"),
      "127.0.0.1", "[credentials.own]\n" + certificates.own("own"));
  const Endpoint node = system.connected().open(kTemperature);
  const Watched watched(node);
  ASSERT_TRUE(watched.told.has(20.5));
  certificates.application("renewed", kUri, "ca");
  certificates.replace("server", "renewed");
  server.kill();
  server.start();
  recovers("certificate_renewed",
           [&] { return system.losses() == 1 && writes_and_watches(node, watched, 21.5); });
}

TEST(OpcuaMatrix, ANamespaceThatIsRenumberedIsFoundByItsUri) {
  OpcuaServer server({"namespace=2"});
  OpcuaSystem system(server.port(), std::string(kConfig));
  const Endpoint node = system.connected().open("nsu=urn:backplane:test:plant;s=Line1.Temperature");
  const Watched watched(node);
  ASSERT_TRUE(watched.told.has(20.5));
  server.kill();
  server.become({"namespace=4"});
  server.start();
  recovers("namespace_renumbered",
           [&] { return system.losses() == 1 && writes_and_watches(node, watched, 21.5); });
  EXPECT_FALSE(system.open("ns=2;s=Line1.Temperature").read().get());
  EXPECT_EQ(system.open("ns=4;s=Line1.Temperature").read<double>().value(), 21.5);
}

}  // namespace
}  // namespace backplane::test
