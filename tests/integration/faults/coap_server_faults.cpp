// SPDX-License-Identifier: Apache-2.0
// The rows of a coap server: a foreign observer behind a line that breaks, and one beside it whose
// line is in order.
#include "integration/coap_peers.hpp"
#include "integration/faults/fault_matrix.hpp"
#include "support/udp_relay.hpp"

namespace backplane::test {
namespace {

using Line = Fault<UdpRelay>;

std::vector<Line> faults() {
  constexpr auto become = [](const UdpFaults& faults) {
    return [faults](UdpRelay& relay) { relay.become(faults); };
  };
  // It registers again after a second without a notification.
  constexpr Ms kAgain = 4s;
  return {
      Line::is_unseen("observer_silent", become({.loses = kBothWays}), kAgain),
      Line::is_unseen("its_acks_lost", become({.loses = kRequests}), kAgain).only_long(),
      Line::is_unseen("notifications_lost", become({.loses = kAnswers}), kAgain).only_long(),
      Line::begins_anew(
          "observer_rebound", [](UdpRelay& relay) { relay.rebind(); }, kAgain),
      Line::goes_on("lossy", become({.harm = Harm::kLose}), 2 * kAgain),
      Line::goes_on("repeated", become({.harm = Harm::kRepeat}), kAgain).only_long(),
  };
}

/// Observes, acknowledges what comes, and registers again after a second in which nothing came.
class Observer {
 public:
  explicit Observer(uint16_t port) : peer_(port), thread_([this] { run(); }) {}
  ~Observer() {
    is_ending_ = true;
    thread_.join();
  }
  const Numbers& seen() const { return seen_; }
  Ms longest_pause() const { return Ms(longest_pause_ms_); }

 private:
  using Clock = std::chrono::steady_clock;

  void run() {
    Clock::time_point last = Clock::now();
    Clock::time_point registered{};
    for (uint16_t mid = 1; !is_ending_;) {
      if (Clock::now() - std::max(last, registered) >= 1s) {
        registered = Clock::now();
        peer_.send(RawPeer::kCon, 1, mid++, "o", {{6, ""}, {11, "news"}}, "");
      }
      const auto message = peer_.receive(20ms);
      if (!message) {
        continue;
      }
      if (message->type == RawPeer::kCon) {
        peer_.acknowledge(*message);
      }
      if (message->code == 205) {
        const auto pause = std::chrono::duration_cast<Ms>(Clock::now() - last);
        longest_pause_ms_ =
            std::max(longest_pause_ms_.load(), seen_.last() > 0 ? pause.count() : 0);
        last = Clock::now();
        seen_.add(message->rest.substr(message->rest.rfind('\xff') + 1));
      }
    }
  }

  const RawPeer peer_;
  Numbers seen_;
  std::atomic<Ms::rep> longest_pause_ms_{0};
  std::atomic<bool> is_ending_{false};
  std::thread thread_;  // the last member: it uses the others
};

class CoapServer : public testing::TestWithParam<Line> {};
INSTANTIATE_TEST_SUITE_P(Matrix, CoapServer, testing::ValuesIn(faults()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(CoapServer, GoesOnNotifying) {
  if (GetParam().is_long && !is_long_test()) {
    GTEST_SKIP() << "set BP_TEST_LONG";
  }
  TestKernel test(
      "[instances.server]\nplugin = \"coap\"\nlisten = \"coap://127.0.0.1:0\"\n"
      "ack_timeout_s = 1\nmax_retransmit = 1\n"
      "resources = [{ path = \"/news\", initial = \"0\" }, { path = \"/own\" }]\n");
  UdpRelay relay(test.port("server"));
  const Endpoint news = test.open("server:/news");
  const Observer beside(test.port("server"));
  const Observer behind(relay.port());
  Counting published(10ms, [&](int number) { news.write(sealed(number)).or_throw(); });
  Numbers own;
  const Endpoint path = test.open("server:/own");
  const auto watch = path.watch([&](MessageView message) { own.add(text_of(message.body())); });
  WriteStream writes(test.open("server:/own"), 2);
  Traffic traffic{"coap_server",
                  writes,
                  published,
                  behind.seen(),
                  [&] { return test.info("server").state; },
                  [&](const std::string& name) { return test.metric("server", name); },
                  "coap_peer_lost_total"};

  go_through(GetParam(), relay, traffic);

  expect_nothing_lost(traffic, own);
  EXPECT_LT(beside.longest_pause(), 1s) << "another observer's line is its own";
}

}  // namespace
}  // namespace backplane::test
