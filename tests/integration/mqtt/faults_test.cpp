// SPDX-License-Identifier: Apache-2.0
// Brokers that are absent, killed, restarted or silent; bounds; the end with work under way. Lines
// that break between are in tests/integration/faults.
#include "integration/faults/streams.hpp"
#include "integration/mqtt/fixture.hpp"
#include "support/tcp_relay.hpp"

#include <future>

namespace backplane::test {
namespace {

/// A server that answers whatever comes with the same bytes.
class CannedServer {
 public:
  explicit CannedServer(std::string answer) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(listener_, 8);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answer = std::move(answer)] {
      for (int fd = accept(listener_, nullptr, nullptr); fd >= 0;
           fd = accept(listener_, nullptr, nullptr)) {
        char request[512];
        if (recv(fd, request, sizeof request, 0) > 0) {
          send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
        }
        close(fd);
      }
    });
  }
  ~CannedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  std::string url() const { return "mqtt://127.0.0.1:" + std::to_string(port_); }

 private:
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

class Faults : public testing::TestWithParam<int> {
 protected:
  std::string config() const { return "version = " + std::to_string(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Mqtt, Faults, testing::Values(4, 5), version_name);

TEST_P(Faults, ABrokerThatIsAbsentAtTheStartIsWaitedFor) {
  Broker broker({.start = false});
  MqttSystem system(broker.url(), config());
  Seen seen;
  const Endpoint topic = system.open("a");
  const Subscription subscription = watch(topic, seen);
  std::promise<Status> written;
  topic.write("early").then([&](const Status& status) { written.set_value(status); });
  EXPECT_TRUE(eventually([&] {
    return system.info().detail.find("next try") != std::string::npos;
  })) << system.info().detail;
  EXPECT_EQ(system.info().state, BP_STATE_CONNECTING);

  broker.start();

  auto future = written.get_future();
  ASSERT_EQ(future.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(future.get().is_ok());
  EXPECT_TRUE(system.becomes(BP_STATE_UP));
  EXPECT_EQ(seen.wait_for(1)[0].body, "early");
}

TEST_P(Faults, SubscriptionsComeBackWithTheBroker) {
  Broker broker;
  const auto system = MqttSystem::connected(broker.url(), config());
  Seen seen;
  const Endpoint filter = system->open("a/+");
  const Subscription subscription = watch(filter, seen);
  ASSERT_TRUE(eventually([&] { return broker.count_in_log("a/+ (QoS 1)") == 1; }));

  broker.kill();
  broker.start();
  ASSERT_TRUE(eventually([&] { return broker.count_in_log("a/+ (QoS 1)") >= 2; }));
  MqttPeer(broker.port()).publish("a/b", "after");

  EXPECT_EQ(seen.wait_for(1)[0].body, "after");
}

/// Kills a broker that is written to, brings it back after a time, and compares.
void lose_nothing(int version, const std::string& config, int rounds,
                  std::chrono::milliseconds away) {
  for (int round = 0; round < rounds; ++round) {
    Broker broker({.config = "max_inflight_messages 0"});
    TcpRelay relay(broker.port());
    const auto system =
        MqttSystem::connected("mqtt://127.0.0.1:" + std::to_string(relay.port()), config);
    Numbers arrived;
    MqttPeer peer(broker.port(), version);
    peer.on_each([&](const MqttPeer::Message& message) { arrived.add(message.payload); });
    peer.subscribe("count", 0);
    WriteStream writes(system->open("count"), 50, 0ms);
    ASSERT_TRUE(eventually([&] { return writes.last_accepted() > 100; }));

    broker.kill();
    relay.close();
    EXPECT_TRUE(system->becomes(BP_STATE_CONNECTING));
    EXPECT_FALSE(system->becomes(BP_STATE_UP, away)) << "connected to nobody";
    broker.start();
    // A broker keeps nothing for a subscriber that it does not know: the peer comes first.
    ASSERT_TRUE(eventually([&] { return broker.count_in_log("count (QoS 0)") == 2; }));
    const int before = writes.last_accepted();
    relay.open();
    ASSERT_TRUE(eventually([&] { return writes.last_accepted() > before + 100; }));

    writes.stop();

    const auto accepted = writes.accepted();
    EXPECT_TRUE(eventually([&] { return arrived.missing(accepted).empty(); }))
        << "round " << round << " lost " << arrived.missing(accepted).size() << ", first "
        << arrived.missing(accepted).front();
    EXPECT_EQ(arrived.garbled(), 0u);
    EXPECT_EQ(writes.refused(), 0u) << writes.refusal();
  }
}

TEST_P(Faults, ABrokerThatIsKilledWhileWritingLosesNothingThatWasAccepted) {
  lose_nothing(GetParam(), config(), is_long_test() ? 20 : 1, 0ms);
}

TEST_P(Faults, ABrokerThatIsGoneForTenSecondsLosesNothingThatWasAccepted) {
  if (!is_long_test()) {
    GTEST_SKIP() << "takes 20 s: set BP_TEST_LONG";
  }
  lose_nothing(GetParam(), config(), 2, 10s);
}

TEST_P(Faults, WritesThatFindNoRoomAreRefused) {
  Broker broker({.start = false});
  MqttSystem system(broker.url(), config() + "\noffline_queue = 3");
  const Endpoint topic = system.open("a");
  std::atomic<int> done{0};
  for (int i = 0; i < 3; ++i) {
    topic.write(i).then([&](const Status& status) { done += status.is_ok() ? 1 : 100; });
  }

  const Status refused = topic.write(4).get();

  EXPECT_EQ(refused.code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_TRUE(refused.retry());
  EXPECT_NE(refused.message().find("offline_queue"), std::string_view::npos);
  EXPECT_EQ(system.metric("writes_waiting"), 3);
  broker.start();
  EXPECT_TRUE(eventually([&] { return done == 3; }));
}

TEST_P(Faults, AWriteThatWaitsEndsAtItsDeadline) {
  const Broker broker({.start = false});
  MqttSystem system(broker.url(), config());
  const Status status = system.open("a").write(1).within(100ms).get();
  EXPECT_EQ(status.code(), BP_DEADLINE_EXCEEDED) << status.to_string();
  EXPECT_EQ(system.metric("writes_waiting"), 0);
}

TEST_P(Faults, AReadWithoutAConnectionIsUnavailable) {
  const Broker broker({.start = false});
  MqttSystem system(broker.url(), config() + "\nread_timeout_s = 0.1");
  EXPECT_EQ(system.open("a").read().get().status().code(), BP_UNAVAILABLE);
}

TEST_P(Faults, AStopEndsWhatIsUnderWay) {
  const Broker broker({.start = false});
  auto system = std::make_unique<MqttSystem>(broker.url(), config());
  Seen seen;
  std::optional<Endpoint> topic = system->open("a");
  std::optional<Subscription> subscription = watch(*topic, seen);
  std::promise<Status> written, read;
  topic->write(1).then([&](const Status& status) { written.set_value(status); });
  topic->read().then([&](const Result<OwnedMessage>& answer) { read.set_value(answer.status()); });

  EXPECT_TRUE(system->kernel().stop().is_ok());

  EXPECT_TRUE(written.get_future().get().is_error());
  EXPECT_TRUE(read.get_future().get().is_error());
  EXPECT_TRUE(subscription->wait_for(kPatience).has_value());
}

TEST_P(Faults, AStopLetsAcceptedWritesFinish) {
  Broker broker;
  auto system = MqttSystem::connected(broker.url(), config());
  MqttPeer peer(broker.port(), GetParam());
  peer.subscribe("a", 1);
  const Endpoint topic = system->open("a");
  std::atomic<int> good{0};
  for (int i = 0; i < 100; ++i) {
    topic.write(i).then([&](const Status& status) { good += status.is_ok() ? 1 : 0; });
  }
  EXPECT_TRUE(system->kernel().stop().is_ok());
  EXPECT_EQ(good, 100);
  EXPECT_EQ(peer.wait_for(100).size(), 100u);
}

TEST_P(Faults, ABrokerThatFallsSilentIsNoticed) {
  if (!is_long_test()) {
    GTEST_SKIP() << "takes two keep-alives of 5 s: set BP_TEST_LONG";
  }
  Broker broker;
  const auto system = MqttSystem::connected(broker.url(), config() + "\nkeep_alive_s = 5");
  broker.signal(SIGSTOP);
  EXPECT_TRUE(eventually([&] { return system->info().state != BP_STATE_UP; }, 13s));
  broker.signal(SIGCONT);
  EXPECT_TRUE(system->becomes(BP_STATE_UP));
}

TEST(Fault, ABrokerWithoutMqtt5IsNamedWithWhatToDo) {
  const CannedServer server(
      std::string("\x20\x02\x00\x01", 4));  // CONNACK of 3.1.1: unacceptable protocol version
  MqttSystem system(server.url());
  const Status status = system.open("a").write(1).within(kPatience).get();
  EXPECT_EQ(status.code(), BP_UNIMPLEMENTED) << status.to_string();
  EXPECT_NE(status.message().find("set version = 4"), std::string_view::npos) << status.to_string();
  EXPECT_TRUE(system.becomes(BP_STATE_DOWN));
}

TEST(Fault, AServerThatDoesNotSpeakMqttIsNeverCalledConnected) {
  const CannedServer server("HTTP/1.1 400 Bad Request\r\n\r\n");
  MqttSystem system(server.url());
  EXPECT_EQ(system.open("a").write(1).within(500ms).get().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_NE(system.info().state, BP_STATE_UP);
}

TEST(Fault, AnUnfinishedQos2PublicationIsPublishedAfreshWhenTheBrokerHasForgotten) {
  Broker broker;
  const auto system = MqttSystem::connected(broker.url());
  const Endpoint topic = system->open("count");
  std::atomic<int> good{0};
  for (int i = 0; i < 500; ++i) {
    topic.write(i, {{BP_H_QOS, 2}}).then([&](const Status& status) {
      good += status.is_ok() ? 1 : 0;
    });
  }
  broker.kill();
  broker.start();
  ASSERT_TRUE(eventually([&] { return good == 500; })) << good;
  EXPECT_TRUE(system->becomes(BP_STATE_UP));
}

TEST(Fault, TwoAddressesOfANameAreTriedInTurn) {
  const Broker broker;  // listens on 127.0.0.1 alone
  const auto system = MqttSystem::connected("mqtt://localhost:" + std::to_string(broker.port()));
  EXPECT_TRUE(system->open("a").write(1).get().is_ok());
}

}  // namespace
}  // namespace backplane::test
