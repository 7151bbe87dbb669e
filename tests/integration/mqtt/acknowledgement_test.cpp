// SPDX-License-Identifier: Apache-2.0
// Acknowledged watches: the broker hears of it when the watcher has said so, not before.
#include "integration/mqtt/fixture.hpp"
#include "support/tcp_relay.hpp"

#include <array>

namespace backplane::test {
namespace {

/// A watch that leaves the acknowledgement to the test, unless it is told to give it at once.
class AckedWatch {
 public:
  AckedWatch(MqttSystem& system, const std::string& path, bool at_once = false)
      : endpoint_(system.open(path)),
        subscription_(endpoint_
                          .watch([this, at_once](MessageView message) {
                            seen.add(message);
                            return at_once ? Status::ok() : Status::pending();
                          })
                          .value()) {}
  void ack(uint64_t seq, bp_status status = BP_OK) const { subscription_.ack(seq, status); }

  Seen seen;

 private:
  Endpoint endpoint_;
  Subscription subscription_;
};

class Acknowledgement : public testing::TestWithParam<int> {
 protected:
  std::string config(const std::string& more = {}) const {
    return "client_id = \"sut\"\nversion = " + std::to_string(GetParam()) + "\n" + more;
  }
  bool is_subscribed(const std::string& filter) const {
    return eventually([&] { return broker_.count_in_log(filter + " (QoS 1)") > 0; });
  }
  size_t pubacks() const { return broker_.count_in_log("Received PUBACK from sut-ack"); }

  Broker broker_;
  MqttPeer peer_{broker_.port()};
};
INSTANTIATE_TEST_SUITE_P(Mqtt, Acknowledgement, testing::Values(4, 5), version_name);

TEST_P(Acknowledgement, ReachesTheBrokerWhenTheWatcherGivesIt) {
  const auto system = MqttSystem::connected(broker_.url(), config());
  AckedWatch watch(*system, "jobs/+");
  ASSERT_TRUE(is_subscribed("jobs/+"));
  peer_.publish("jobs/1", "a");
  const auto entry = watch.seen.wait_for(1)[0];
  EXPECT_EQ(entry.topic, "jobs/1");
  EXPECT_NE(entry.seq, 0u);
  // What is sent on the connection later would come later: a second message proves that the first
  // was not acknowledged.
  peer_.publish("jobs/2", "b");
  const auto second = watch.seen.wait_for(2)[1];
  EXPECT_EQ(pubacks(), 0u);

  watch.ack(second.seq);
  EXPECT_EQ(pubacks(), 0u) << "released by window";
  watch.ack(entry.seq);

  EXPECT_TRUE(eventually([&] { return pubacks() == 2; }));
}

TEST_P(Acknowledgement, ThatIsGivenAtOnceHoldsNothingUp) {
  const auto system = MqttSystem::connected(broker_.url(), config());
  AckedWatch watch(*system, "jobs/+", true);
  ASSERT_TRUE(is_subscribed("jobs/+"));
  for (int i = 0; i < 200; ++i) {
    peer_.publish("jobs/1", std::to_string(i), i % 3);
  }
  // MQTT keeps the order of messages of one QoS (3.1.1 and 5, section 4.6), not across them.
  std::array<int, 3> next{0, 1, 2};
  for (const auto& entry : watch.seen.wait_for(200)) {
    const int number = std::stoi(std::string(entry.body));
    EXPECT_EQ(number, next[static_cast<size_t>(number) % 3]);
    next[static_cast<size_t>(number) % 3] += 3;
  }
}

TEST_P(Acknowledgement, ThatNeverCameLeavesTheMessageToTheNextRun) {
  {
    const auto system = MqttSystem::connected(broker_.url(), config());
    AckedWatch watch(*system, "jobs/+");
    ASSERT_TRUE(is_subscribed("jobs/+"));
    peer_.publish("jobs/1", "first");
    peer_.publish("jobs/2", "second");
    const auto entries = watch.seen.wait_for(2);
    watch.ack(entries[0].seq);
  }
  EXPECT_EQ(pubacks(), 0u);
  peer_.publish("jobs/3", "while away");

  const auto system = MqttSystem::connected(broker_.url(), config());
  AckedWatch watch(*system, "jobs/+", true);

  const auto entries = watch.seen.wait_for(3);
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].body, "first");
  EXPECT_EQ(entries[1].body, "second");
  EXPECT_EQ(entries[2].body, "while away");
  EXPECT_TRUE(eventually([&] { return pubacks() == 3; }));
}

TEST_P(Acknowledgement, ThatIsRefusedBringsTheMessageAgain) {
  const auto system = MqttSystem::connected(broker_.url(), config());
  AckedWatch watch(*system, "jobs/+");
  ASSERT_TRUE(is_subscribed("jobs/+"));
  peer_.publish("jobs/1", "a");
  watch.ack(watch.seen.wait_for(1)[0].seq, BP_UNAVAILABLE);

  const auto again = watch.seen.wait_for(2)[1];

  EXPECT_TRUE(again.redelivered);
  EXPECT_EQ(again.body, "a");
  EXPECT_EQ(pubacks(), 0u);
  watch.ack(again.seq);
  EXPECT_TRUE(eventually([&] { return pubacks() == 1; }));
}

TEST_P(Acknowledgement, SurvivesALostConnectionWithoutASecondDelivery) {
  TcpRelay relay(broker_.port());
  const auto system =
      MqttSystem::connected("mqtt://127.0.0.1:" + std::to_string(relay.port()), config());
  AckedWatch watch(*system, "jobs/+");
  ASSERT_TRUE(is_subscribed("jobs/+"));
  peer_.publish("jobs/1", "a");
  peer_.publish("jobs/2", "b");
  const auto entries = watch.seen.wait_for(2);

  relay.close();
  ASSERT_TRUE(system->becomes(BP_STATE_CONNECTING));
  watch.ack(entries.at(0).seq);
  relay.open();
  ASSERT_TRUE(eventually([&] { return system->metric("messages_received_again_total") == 2; }));
  EXPECT_LE(pubacks(), 1u) << "the second one is not settled";
  watch.ack(entries.at(1).seq);

  EXPECT_TRUE(eventually([&] { return pubacks() == 2; }));
  EXPECT_EQ(watch.seen.size(), 2u);
}

TEST_P(Acknowledgement, ThatTakesLongerThanTheKeepAliveAllowsPausesTheConnection) {
  const auto system = MqttSystem::connected(broker_.url(), config("keep_alive_s = 5"));
  AckedWatch watch(*system, "jobs/+");
  ASSERT_TRUE(is_subscribed("jobs/+"));
  peer_.publish("jobs/1", "slow");
  const auto entry = watch.seen.wait_for(1)[0];
  ASSERT_TRUE(eventually([&] {
    return broker_.log().find("Client sut-ack closed its connection") != std::string::npos ||
           broker_.log().find("Socket error on client sut-ack") != std::string::npos;
  })) << broker_.log();
  EXPECT_TRUE(system->becomes(BP_STATE_DEGRADED));
  EXPECT_NE(system->info().detail.find("not acknowledged"), std::string::npos)
      << system->info().detail;
  EXPECT_TRUE(system->open("copy").write("x").get().is_ok()) << "writes go on meanwhile";
  peer_.publish("jobs/2", "meanwhile");

  watch.ack(entry.seq);
  EXPECT_TRUE(system->becomes(BP_STATE_UP));

  EXPECT_EQ(watch.seen.wait_for(2)[1].body, "meanwhile");
  watch.ack(watch.seen.all()[1].seq);
  EXPECT_TRUE(eventually([&] { return pubacks() == 2; }));
  EXPECT_EQ(watch.seen.size(), 2u) << "nothing was delivered twice";
}

TEST_P(Acknowledgement, OfAllWatchersIsWaitedFor) {
  const auto system = MqttSystem::connected(broker_.url(), config());
  AckedWatch one(*system, "jobs/+");
  AckedWatch other(*system, "#");
  ASSERT_TRUE(is_subscribed("jobs/+"));
  ASSERT_TRUE(is_subscribed("#"));
  peer_.publish("jobs/1", "a");
  const auto first = one.seen.wait_for(1)[0];
  const auto second = other.seen.wait_for(1)[0];
  one.ack(first.seq);
  EXPECT_EQ(pubacks(), 0u);
  other.ack(second.seq);
  EXPECT_TRUE(eventually([&] { return pubacks() >= 1; }));
}

TEST_P(Acknowledgement, IsOwedToTheNextWatcherWhenTheFirstLeaves) {
  const auto system = MqttSystem::connected(broker_.url(), config());
  {
    AckedWatch watch(*system, "jobs/+");
    ASSERT_TRUE(is_subscribed("jobs/+"));
    peer_.publish("jobs/1", "a");
    watch.seen.wait_for(1);
  }
  peer_.publish("jobs/2", "b");

  AckedWatch next(*system, "jobs/+", true);

  next.seen.wait_for(2);
  EXPECT_TRUE(eventually([&] { return pubacks() == 2; }));
}

TEST_P(Acknowledgement, IsNotOwedForEverToNobody) {
  const auto system = MqttSystem::connected(broker_.url(), config("linger_s = 0.5"));
  {
    AckedWatch watch(*system, "jobs/+");
    ASSERT_TRUE(is_subscribed("jobs/+"));
    peer_.publish("jobs/1", "a");
    watch.seen.wait_for(1);
  }
  EXPECT_TRUE(eventually([&] { return pubacks() == 1; }));
  EXPECT_TRUE(
      eventually([&] { return broker_.count_in_log("Received UNSUBSCRIBE from sut-ack") == 1; }));
  EXPECT_EQ(system->metric("messages_dropped_total", "unwatched"), 1);
}

TEST_P(Acknowledgement, ThatOneOfTwoWatchersOwesIsNotAskedOfTheOther) {
  // Linger is over in an instant: had the next look offered it to the other one, none would be
  // dropped.
  const auto system = MqttSystem::connected(broker_.url(), config("linger_s = 0.1"));
  AckedWatch other(*system, "jobs/+");
  {
    AckedWatch one(*system, "jobs/+");
    ASSERT_TRUE(is_subscribed("jobs/+"));
    peer_.publish("jobs/1", "a");
    one.seen.wait_for(1);
    other.ack(other.seen.wait_for(1)[0].seq);
  }

  EXPECT_TRUE(
      eventually([&] { return system->metric("messages_dropped_total", "unwatched") == 1; }));
  EXPECT_EQ(other.seen.size(), 1u) << "it had been there already";
}

TEST_P(Acknowledgement, AndWritesToTheSameBrokerDoNotWaitForEachOther) {
  const auto system = MqttSystem::connected(broker_.url(), config());
  const Endpoint copy = system->open("copy");
  MqttPeer reader(broker_.port());
  reader.subscribe("copy", 1);
  const Endpoint source = system->open("jobs/+");
  Subscription* running = nullptr;
  std::mutex mutex;
  std::unique_lock guard(mutex);
  Subscription subscription = source
                                  .watch([&](MessageView message) {
                                    const uint64_t seq = message.seq();
                                    copy.write(message).then([&, seq](const Status& status) {
                                      const std::lock_guard lock(mutex);
                                      running->ack(seq, status.code());
                                    });
                                    return Status::pending();
                                  })
                                  .value();
  running = &subscription;
  guard.unlock();
  ASSERT_TRUE(is_subscribed("jobs/+"));
  for (int i = 0; i < 50; ++i) {
    peer_.publish("jobs/1", std::to_string(i));
  }
  reader.wait_for(50);
  EXPECT_TRUE(eventually([&] { return pubacks() == 50; }));
}

TEST(AcknowledgementWithoutASession, IsRefused) {
  const Broker broker;
  const auto system = MqttSystem::connected(broker.url(), "session_expiry_s = 0");
  const Endpoint topic = system->open("jobs/1");
  const auto subscription = topic.watch([](MessageView) { return Status::ok(); });
  const auto outcome = subscription ? subscription.value().wait_for(kPatience)
                                    : std::optional(subscription.status());
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->code(), BP_FAILED_PRECONDITION);
}

}  // namespace
}  // namespace backplane::test
