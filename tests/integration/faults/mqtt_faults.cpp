// SPDX-License-Identifier: Apache-2.0
// The rows of mqtt: a broker behind a line that breaks.
#include "integration/faults/fault_matrix.hpp"
#include "integration/mqtt/fixture.hpp"
#include "support/certificates.hpp"
#include "support/tcp_relay.hpp"

#include <openssl/ssl.h>

namespace backplane::test {
namespace {

constexpr int kKeepAlive = 5;  // the least that there is
constexpr std::string_view kConfig =
    "client_id = \"sut\"\nkeep_alive_s = 5\nconnect_timeout_s = 1\n";
constexpr auto kSilent = Ms(2 * kKeepAlive * 1s + 3s);  // until that is noticed

using Line = Fault<TcpRelay>;

std::vector<Line> faults() {
  constexpr Ms kSoon = 2s;
  constexpr auto become = [](const TcpFaults& faults) {
    return [faults](TcpRelay& relay) { relay.become(faults); };
  };
  const auto cut = [](TcpRelay& relay) { relay.cut(); };
  const auto strand = [](TcpRelay& relay) { relay.strand(); };
  const std::string lost = "connections_lost_total";
  return {
      Line::begins_anew("cut", cut, kSoon).counted_by(lost),
      Line::goes_on("cut_in_packets", become({.cut_after = 1009}), kSoon).counted_by(lost),
      Line::stops("refused", become({.refuses = true}), kSoon, kSoon).counted_by(lost),
      Line::stops("half_open", become({.holds = kBothWays}), kSilent, kSoon).counted_by(lost),
      Line::stops("answers_held", become({.holds = kAnswers}), kSilent, kSoon)
          .counted_by(lost)
          .only_long(),
      Line::stops("requests_held", become({.holds = kRequests}), kSilent, kSoon)
          .counted_by(lost)
          .only_long(),
      Line::stops("unplugged", become({.unplugged = true}), kSilent, kSoon).counted_by(lost),
      Line::begins_anew("stranded", strand, kSilent + kSoon).counted_by(lost).only_long(),
      Line::goes_on("delayed", become({.delay = 200ms}), kSoon),
      Line::goes_on("in_pieces", become({.piece = 7}), kSoon),
  };
}

struct Row {
  std::string mechanism;
  int version;
  bool is_tls;
  Line fault;

  friend void PrintTo(const Row& row, std::ostream* out) {
    *out << row.mechanism << " " << row.fault.name;
  }
};

std::vector<Row> rows() {
  std::vector<Row> out;
  for (const Line& fault : faults()) {
    // What takes two keep-alives is done for version 5 alone, but with BP_TEST_LONG.
    Line quick = fault;
    quick.is_long =
        quick.is_long || std::max(fault.noticed_within, fault.recovers_within) >= kSilent;
    out.push_back({"mqtt4", 4, false, quick});
    out.push_back({"mqtt5", 5, false, fault});
    if (fault.name == "cut" || fault.name == "half_open") {
      out.push_back({"mqtts5", 5, true, quick});
    }
  }
  return out;
}

/// A broker whose line is mended in the end, and what goes to it and comes from it.
class Mqtt : public testing::TestWithParam<Row> {
 protected:
  BrokerOptions broker_options() {
    BrokerOptions out;
    out.config = concat("max_inflight_messages 0\nlistener ", direct_, " 127.0.0.1\n");
    if (GetParam().is_tls) {
      certificates_.make("server");
      out.listener_config = concat("cafile ", certificates_.path("ca.pem"), "\ncertfile ",
                                   certificates_.path("server.pem"), "\nkeyfile ",
                                   certificates_.path("server.key"), "\n");
    }
    return out;
  }
  std::string url(uint16_t port) const {
    return concat(GetParam().is_tls ? "mqtts" : "mqtt", "://127.0.0.1:", port);
  }
  std::string config() const {
    return concat(kConfig, "version = ", GetParam().version,
                  GetParam().is_tls ? "\ncredentials = \"tls\"" : "");
  }
  std::string credentials() const {
    return GetParam().is_tls ? "[credentials.tls]\n" + certificates_.line("ca", "ca.pem") : "";
  }
  static std::string text_of(MessageView message) {
    const auto bytes = message.body().payload().value();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  const unsigned direct_ = Broker::free_port();  // of the peer, past the relay
  Certificates certificates_;
};
INSTANTIATE_TEST_SUITE_P(Matrix, Mqtt, testing::ValuesIn(rows()), [](const auto& tested) {
  return tested.param.mechanism + "_" + tested.param.fault.name;
});

TEST_P(Mqtt, LosesNothingAndComesBack) {
  const auto& [mechanism, version, is_tls, fault] = GetParam();
  if (fault.is_long && !is_long_test()) {
    GTEST_SKIP() << "set BP_TEST_LONG";
  }
  Broker broker(broker_options());
  TcpRelay relay(broker.port());
  const auto system = MqttSystem::connected(url(relay.port()), config(), credentials());
  Numbers arrived, watched, acknowledged;
  MqttPeer peer(static_cast<uint16_t>(direct_), version);
  peer.on_each([&](const MqttPeer::Message& message) { arrived.add(message.payload); });
  peer.subscribe("count", 1);
  const Endpoint news = system->open("news");
  const auto plain = news.watch([&](MessageView message) { watched.add(text_of(message)); });
  const auto acked = news.watch([&](MessageView message) {
    acknowledged.add(text_of(message));
    return Status::ok();
  });
  ASSERT_TRUE(plain && acked);
  ASSERT_TRUE(eventually([&] { return broker.count_in_log("news (QoS 1)") == 2; }));
  ASSERT_TRUE(system->becomes(BP_STATE_UP));
  MqttPeer source(static_cast<uint16_t>(direct_), version);
  Counting published(10ms, [&](int number) { source.publish("news", sealed(number)); });
  WriteStream writes(system->open("count"), 8);
  Traffic traffic{mechanism,
                  writes,
                  published,
                  watched,
                  [&] { return system->info().state; },
                  [&](const std::string& name) { return system->metric(name); },
                  "connections_lost_total"};

  go_through(fault, relay, traffic);

  expect_nothing_lost(traffic, arrived);
  EXPECT_EQ(writes.refused(), 0u) << writes.refusal();
  if (fault.noticed_within >= kSilent) {
    EXPECT_GT(system->metric("publications_resent_total"), 0) << "what was under way is sent again";
  }
  std::set<int> all;
  for (int number = 1; number <= published.last(); ++number) {
    all.insert(number);
  }
  EXPECT_TRUE(eventually([&] { return acknowledged.missing(all).empty(); }))
      << acknowledged.missing(all).size() << " messages of an acknowledged watch are lost";
  const auto missed = [&] { return static_cast<int64_t>(watched.missing(all).size()); };
  if (version == 5) {  // 3.1.1: the broker keeps nothing for it while it is away
    EXPECT_TRUE(eventually([&] { return missed() == system->metric("messages_dropped_total"); }))
        << "a watch without acknowledgement missed " << missed() << ", and that is not counted";
  }
  std::printf("fault matrix: %s %s: a watch without acknowledgement missed %lld of %zu messages\n",
              mechanism.c_str(), fault.name.c_str(), static_cast<long long>(missed()), all.size());
  if (fault.then == Then::kGoesOn && fault.counter.empty()) {
    EXPECT_EQ(system->metric("connections_lost_total"), 0) << "a slow line is not a broken one";
  }
}

}  // namespace
}  // namespace backplane::test
