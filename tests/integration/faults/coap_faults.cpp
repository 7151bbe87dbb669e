// SPDX-License-Identifier: Apache-2.0
// The rows of coap and coaps: a client and a server with a line between that breaks.
#include "integration/coap_peers.hpp"
#include "integration/faults/fault_matrix.hpp"
#include "support/udp_relay.hpp"

namespace backplane::test {
namespace {

// Silence is believed after two datagrams without an answer: at most 4.5 s.
constexpr std::string_view kQuick = "ack_timeout_s = 1\nmax_retransmit = 1\n";
constexpr std::string_view kQuickClient =
    "keepalive_s = 1\nreconnect_min_s = 0.1\nreconnect_max_s = 0.5\nconnect_timeout_s = 5\n";
constexpr std::string_view kKey = "psk_identity = \"me\"\npsk = \"73657372657431\"\n";

using Line = Fault<UdpRelay>;

constexpr auto become = [](const UdpFaults& faults) {
  return [faults](UdpRelay& relay) { relay.become(faults); };
};
const auto rebind = [](UdpRelay& relay) { relay.rebind(); };
constexpr Ms kSilent = 5s;  // until that is noticed
constexpr Ms kAgain = 5s;   // until what was lost is sent again
const std::string lost = "coap_peer_lost_total";

std::vector<Line> plain_faults() {
  const std::string copies = "coap_copies_total";
  return {
      Line::stops("silent", become({.loses = kBothWays}), kSilent, kAgain).counted_by(lost),
      Line::stops("answers_lost", become({.loses = kAnswers}), kSilent, kAgain).counted_by(copies),
      Line::stops("requests_lost", become({.loses = kRequests}), kSilent, kAgain)
          .counted_by(lost)
          .only_long(),
      Line::stops("refused", become({.refuses = true}), kSilent, kAgain).counted_by(lost),
      Line::begins_anew("rebound", rebind, kAgain),
      Line::goes_on("lossy", become({.harm = Harm::kLose}), 2 * kAgain),
      Line::goes_on("repeated", become({.harm = Harm::kRepeat}), kAgain).counted_by(copies),
      Line::goes_on("overtaken", become({.harm = Harm::kOvertake}), kAgain),
      // The first byte says which version of CoAP it is.
      Line::goes_on("garbled", become({.harm = Harm::kGarble, .at = 0}), 2 * kAgain)
          .counted_by("coap_datagrams_dropped_total")
          .only_long(),
      Line::goes_on("cut_short", become({.harm = Harm::kTruncate, .at = 6}), 2 * kAgain)
          .counted_by("coap_malformed_total"),
      Line::goes_on("delayed", become({.delay = 200ms}), kAgain),
  };
}

std::vector<Line> dtls_faults() {
  return {
      Line::stops("silent", become({.loses = kBothWays}), kSilent, kAgain).counted_by(lost),
      Line::stops("refused", become({.refuses = true}), kSilent, kAgain).counted_by(lost),
      Line::begins_anew("rebound", rebind, 2 * kAgain).counted_by(lost),
      Line::goes_on("lossy", become({.harm = Harm::kLose, .one_in = 8}), 2 * kAgain),
      Line::goes_on("repeated", become({.harm = Harm::kRepeat}), kAgain).only_long(),
      // The last byte of a record is of its seal.
      Line::goes_on("garbled", become({.harm = Harm::kGarble, .one_in = 8, .at = -1}), 2 * kAgain)
          .only_long(),
  };
}

/// With no key set: silence is believed after a keep-alive and the time of a ping.
std::vector<Line> default_faults() {
  return {
      Line::stops("silent", become({.loses = kBothWays}), 45s, 15s).counted_by(lost).only_long(),
  };
}

struct Row {
  std::string mechanism;
  bool is_dtls;
  bool is_default;
  Line fault;

  friend void PrintTo(const Row& row, std::ostream* out) {
    *out << row.mechanism << " " << row.fault.name;
  }
};

std::vector<Row> rows() {
  std::vector<Row> out;
  for (const Line& fault : plain_faults()) {
    out.push_back({"coap", false, false, fault});
  }
  for (const Line& fault : dtls_faults()) {
    out.push_back({"coaps", true, false, fault});
  }
  for (const Line& fault : default_faults()) {
    out.push_back({"coap_as_it_comes", false, true, fault});
    out.push_back({"coaps_as_it_comes", true, true, fault});
  }
  return out;
}

class Coap : public testing::TestWithParam<Row> {
 protected:
  static std::string server() {
    return concat(
        GetParam().is_dtls ? concat("[credentials.c]\n", kKey) : "",
        "[instances.server]\nplugin = \"coap\"\nlisten = \"", scheme(), "://127.0.0.1:0\"\n",
        credential(), patience(),
        "resources = [{ path = \"/count\" }, { path = \"/news\", initial = \"none\" }]\n");
  }
  static std::string client(uint16_t port) {
    return concat(GetParam().is_dtls ? concat("[credentials.c]\n", kKey) : "",
                  "[instances.client]\nplugin = \"coap\"\nurl = \"", scheme(),
                  "://127.0.0.1:", static_cast<unsigned>(port), "\"\n", credential(), patience(),
                  GetParam().is_default ? "" : kQuickClient);
  }

 private:
  static std::string_view patience() { return GetParam().is_default ? "" : kQuick; }
  static std::string scheme() { return GetParam().is_dtls ? "coaps" : "coap"; }
  static std::string credential() { return GetParam().is_dtls ? "credentials = \"c\"\n" : ""; }
};
INSTANTIATE_TEST_SUITE_P(Matrix, Coap, testing::ValuesIn(rows()), [](const auto& tested) {
  return tested.param.mechanism + "_" + tested.param.fault.name;
});

TEST_P(Coap, LosesNothingAndComesBack) {
  const auto& [mechanism, is_dtls, is_default, fault] = GetParam();
  if (fault.is_long && !is_long_test()) {
    GTEST_SKIP() << "set BP_TEST_LONG";
  }
  TestKernel far(server());
  UdpRelay relay(far.port("server"));
  TestKernel near(client(relay.port()));
  Numbers arrived, watched;
  const Endpoint count = far.open("server:/count");
  const auto puts = count.watch([&](MessageView message) { arrived.add(text_of(message.body())); });
  const Endpoint news = far.open("server:/news");
  const Endpoint observed = near.open("client:/news");
  const auto watch = observed.watch([&](MessageView message) {
    if (!message.is_initial()) {
      watched.add(text_of(message.body()));
    }
  });
  ASSERT_TRUE(puts && watch);
  ASSERT_TRUE(eventually([&] { return near.info("client").state == BP_STATE_UP; }));
  Counting published(10ms, [&](int number) { news.write(sealed(number)).or_throw(); });
  WriteStream writes(near.open("client:/count"), 2);
  Traffic traffic{mechanism,
                  writes,
                  published,
                  watched,
                  [&] { return near.info("client").state; },
                  [&](const std::string& name) {
                    return near.metric("client", name) + far.metric("server", name);
                  },
                  "coap_peer_lost_total"};

  go_through(fault, relay, traffic);

  expect_nothing_lost(traffic, arrived);
  EXPECT_EQ(watched.overtaken(), 0u) << "an old value came after a newer one";
  if (!is_dtls) {  // where the library goes on to send what was given up
    EXPECT_EQ(arrived.overtaken(), 0u) << "an old write came after a newer one";
  }
}

}  // namespace
}  // namespace backplane::test
