// SPDX-License-Identifier: Apache-2.0
// Publishing, subscribing, retained messages, properties.
#include "integration/mqtt/fixture.hpp"

namespace backplane::test {
namespace {

class Messages : public testing::TestWithParam<int> {
 protected:
  int version() const { return GetParam(); }
  std::string config() const { return "version = " + std::to_string(version()); }

  Broker broker_;
  std::unique_ptr<MqttSystem> system_ = MqttSystem::connected(broker_.url(), config());
  MqttPeer peer_{broker_.port(), version()};
};
INSTANTIATE_TEST_SUITE_P(Mqtt, Messages, testing::Values(4, 5), version_name);

TEST_P(Messages, WrittenAtEachQualityOfServiceReachAForeignSubscriber) {
  peer_.subscribe("plant/#", 2);
  const Endpoint topic = system_->open("plant/line1");
  for (uint32_t qos = 0; qos < 3; ++qos) {
    EXPECT_TRUE(topic.write(42.5, {{BP_H_QOS, qos}}).get().is_ok()) << qos;
  }

  const auto messages = peer_.wait_for(3);

  for (int qos = 0; qos < 3; ++qos) {
    EXPECT_EQ(messages[static_cast<size_t>(qos)].qos, qos);
    EXPECT_EQ(messages[static_cast<size_t>(qos)].payload, "42.5");
    EXPECT_EQ(messages[static_cast<size_t>(qos)].topic, "plant/line1");
  }
  EXPECT_EQ(system_->metric("messages_published_total"), 3);
}

TEST_P(Messages, FromAForeignPublisherReachAWatchAtEachQualityOfService) {
  Seen seen;
  const Endpoint topic = system_->open("plant/line1");
  const Subscription subscription = watch(topic, seen, {{BP_H_QOS, 2}});
  ASSERT_TRUE(eventually([&] { return broker_.count_in_log("plant/line1 (QoS 2)") == 1; }));
  for (int qos = 0; qos < 3; ++qos) {
    peer_.publish("plant/line1", "v" + std::to_string(qos), qos);
  }

  const auto entries = seen.wait_for(3);

  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(entries[i].body, "v" + std::to_string(i));
    EXPECT_EQ(entries[i].qos, i);
    EXPECT_EQ(entries[i].seq, i + 1);
    EXPECT_EQ(entries[i].tag, BP_T_BYTES);
    EXPECT_FALSE(entries[i].initial);
  }
}

TEST_P(Messages, OfAWildcardTellTheirConcretePath) {
  Seen seen;
  const Endpoint filter = system_->open("plant/+/temperature");
  const Subscription subscription = watch(filter, seen);
  ASSERT_TRUE(eventually([&] { return broker_.count_in_log("plant/+/temperature (QoS 1)") == 1; }));
  peer_.publish("plant/line1/temperature", "1");
  peer_.publish("plant/line2/temperature", "2");
  peer_.publish("plant/line2/pressure", "3");
  peer_.publish("plant/line3/temperature", "4");

  const auto entries = seen.wait_for(3);

  EXPECT_EQ(entries[0].topic, "plant/line1/temperature");
  EXPECT_EQ(entries[1].topic, "plant/line2/temperature");
  EXPECT_EQ(entries[2].topic, "plant/line3/temperature");
}

TEST_P(Messages, ReachEachWatcherOfOverlappingFiltersOnce) {
  Seen all, line, one;
  const Endpoint endpoints[] = {system_->open("a/#"), system_->open("a/+"), system_->open("a/b")};
  const Subscription subscriptions[] = {watch(endpoints[0], all), watch(endpoints[1], line),
                                        watch(endpoints[2], one)};
  ASSERT_TRUE(eventually([&] { return broker_.count_in_log("Sending SUBACK") == 3; }));
  peer_.publish("a/b", "first");
  peer_.publish("a/c", "second");
  peer_.publish("a/b", "last");

  all.wait_for(3);
  line.wait_for(3);
  one.wait_for(2);

  EXPECT_EQ(all.size(), 3u);
  EXPECT_EQ(line.size(), 3u);
  EXPECT_EQ(one.size(), 2u);
}

TEST_P(Messages, ThatAreRetainedGoToTheNewWatcherAlone) {
  peer_.publish("state", "on", 1, true);
  Seen first, second;
  const Endpoint topic = system_->open("state");
  const Subscription one = watch(topic, first);
  EXPECT_TRUE(first.wait_for(1)[0].initial);

  const Subscription two = watch(topic, second);
  EXPECT_TRUE(second.wait_for(1)[0].initial);
  peer_.publish("state", "off");

  EXPECT_EQ(first.wait_for(2)[1].body, "off");
  EXPECT_EQ(second.wait_for(2)[1].body, "off");
  EXPECT_FALSE(second.all()[1].initial);
  EXPECT_EQ(first.size(), 2u);
}

TEST_P(Messages, AreReadAsRetained) {
  const Endpoint topic = system_->open("state/line1");
  EXPECT_TRUE(topic.write("on", {{BP_H_RETAIN, true}}).get().is_ok());

  const auto value = topic.read().get();

  ASSERT_TRUE(value) << value.status().to_string();
  const auto payload = value->body().payload().value();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(payload.data()), payload.size()), "on");
  EXPECT_EQ(value->view().header<bool>(BP_H_RETAIN), true);
}

TEST_P(Messages, ThatAreNotThereAreNotFound) {
  const auto system = MqttSystem::connected(
      broker_.url(), config() + "\nread_timeout_s = 0.2\nclient_id = \"other\"");
  const auto value = system->open("nothing/here").read().get();
  EXPECT_EQ(value.status().code(), BP_NOT_FOUND) << value.status().to_string();
}

TEST_P(Messages, StopWhenTheWatchEnds) {
  Seen seen;
  const Endpoint topic = system_->open("a");
  {
    const Subscription subscription = watch(topic, seen);
    ASSERT_TRUE(eventually([&] { return broker_.count_in_log("Sending SUBACK") == 1; }));
  }
  EXPECT_TRUE(eventually([&] { return broker_.count_in_log("Received UNSUBSCRIBE") == 1; }));
}

TEST_P(Messages, AreFoundByBrowsing) {
  peer_.publish("plant/a", "1", 1, true);
  peer_.publish("plant/b/c", "1", 1, true);
  peer_.publish("other", "1", 1, true);
  const auto system = MqttSystem::connected(
      broker_.url(), config() + "\nbrowse_time_s = 0.5\nclient_id = \"other\"");

  const auto entries = system->open("plant").browse().get();

  ASSERT_TRUE(entries) << entries.status().to_string();
  std::vector<std::string> topics;
  for (const OwnedMessage& entry : *entries) {
    topics.push_back(*entry.view().header<std::string>(BP_H_PATH));
  }
  std::sort(topics.begin(), topics.end());
  EXPECT_EQ(topics, (std::vector<std::string>{"plant/a", "plant/b/c"}));
}

TEST_P(Messages, AreBrowsedAgainWhileABrowseThatWasGivenUpIsStillDue) {
  peer_.publish("plant/a", "1", 1, true);
  const auto system = MqttSystem::connected(
      broker_.url(), config() + "\nbrowse_time_s = 0.5\nclient_id = \"other\"");
  const Endpoint plant = system->open("plant");
  // Each gives its operation back, and the next one gets it.
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(plant.browse().within(50ms).get().status().code(), BP_DEADLINE_EXCEEDED);
  }

  const auto start = std::chrono::steady_clock::now();
  const auto entries = plant.browse().get();

  ASSERT_TRUE(entries) << entries.status().to_string();
  EXPECT_EQ(entries->size(), 1u);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 500ms) << "ended by another one's time";
}

TEST_P(Messages, LargerThanTheBoundAreCountedAndNotDelivered) {
  const auto system = MqttSystem::connected(
      broker_.url(), config() + "\nmax_payload = 1000\nclient_id = \"other\"");
  Seen seen;
  const Endpoint topic = system->open("big");
  const Subscription subscription = watch(topic, seen);
  ASSERT_TRUE(eventually([&] { return broker_.count_in_log("big (QoS 1)") == 1; }));
  peer_.publish("big", std::string(1001, 'x'));
  peer_.publish("big", std::string(1000, 'y'));

  EXPECT_EQ(seen.wait_for(1)[0].body, std::string(1000, 'y'));
  EXPECT_EQ(seen.size(), 1u);
  EXPECT_EQ(system->metric("messages_dropped_total", "too_large"), 1);
}

TEST_P(Messages, OfManyAreWrittenInOrderThroughASmallWindow) {
  const auto system =
      MqttSystem::connected(broker_.url(), config() + "\nmax_in_flight = 3\nclient_id = \"other\"");
  peer_.subscribe("count", 1);
  const Endpoint topic = system->open("count");
  std::atomic<int> done{0};
  for (int i = 0; i < 200; ++i) {
    topic.write(i).then([&](const Status& status) { done += status.is_ok() ? 1 : 1000; });
  }

  const auto messages = peer_.wait_for(200);

  for (size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(messages[i].payload, std::to_string(i));
  }
  EXPECT_TRUE(eventually([&] { return done == 200; }));
}

TEST_P(Messages, AreRefusedOnTopicsThatAreNone) {
  EXPECT_EQ(system_->kernel().open("cloud:a/#/b").get().status().code(), BP_INVALID_ARGUMENT);
  EXPECT_NE(system_->open("a/+").write(1).get().code(), BP_OK) << "a filter cannot be written";
  EXPECT_EQ(system_->open("a").write(1, {{BP_H_QOS, 3}}).get().code(), BP_INVALID_ARGUMENT);
}

TEST(MqttProperties, TravelBothWays) {
  const Broker broker;
  const auto system = MqttSystem::connected(broker.url());
  MqttPeer peer(broker.port());
  peer.subscribe("out/#", 1);
  EXPECT_TRUE(system->open("out/a")
                  .write("{}", {{"unit", "Cel"}, {BP_H_CONTENT_TYPE, "application/json"}})
                  .get()
                  .is_ok());
  const auto sent = peer.wait_for(1)[0];
  EXPECT_EQ(sent.content_type, "application/json");
  EXPECT_EQ(sent.user.find("unit")->second, "Cel");

  Seen seen;
  const Endpoint in = system->open("in/a");
  const Subscription subscription = watch(in, seen);
  ASSERT_TRUE(eventually([&] { return broker.count_in_log("in/a (QoS 1)") == 1; }));
  peer.publish("in/a", "21.5", 1, false, [](mosquitto_property** list) {
    mosquitto_property_add_string(list, MQTT_PROP_CONTENT_TYPE, "application/json");
    mosquitto_property_add_string_pair(list, MQTT_PROP_USER_PROPERTY, "unit", "bar");
  });
  const auto received = seen.wait_for(1)[0];
  EXPECT_EQ(received.tag, BP_T_ENCODED);
  EXPECT_EQ(received.content_type, "application/json");
  EXPECT_EQ(received.unit, "bar");
}

TEST(MqttProperties, ThatMqtt311CannotCarryAreCounted) {
  const Broker broker;
  const auto system = MqttSystem::connected(broker.url(), "version = 4");
  EXPECT_TRUE(system->open("a").write("x", {{"unit", "Cel"}}).get().is_ok());
  EXPECT_EQ(system->metric("headers_dropped_total"), 1);
}

TEST(MqttWill, IsPublishedWhenTheConnectionIsTakenAway) {
  const Broker broker;
  MqttPeer peer(broker.port());
  peer.subscribe("state/#", 1);
  const auto system =
      MqttSystem::connected(broker.url(),
                            "client_id = \"victim\"\nsession_expiry_s = 0\nwill = { topic = "
                            "\"state/line1\", payload = \"gone\", content_type = \"text/plain\" }");

  const MqttPeer thief(broker.port(), 5, "victim");

  const auto will = peer.wait_for(1)[0];
  EXPECT_EQ(will.topic, "state/line1");
  EXPECT_EQ(will.payload, "gone");
  EXPECT_EQ(will.content_type, "text/plain");
}

TEST(MqttRoute, CopiesABranchOfTopicsToAnother) {
  const Broker broker;
  MqttPeer peer(broker.port());
  peer.subscribe("plant/#", 1);
  const auto system = MqttSystem::connected(broker.url(), R"(
[[routes]]
name = "branch"
from = "cloud:site/line1/#"
to = { address = "cloud:plant/{path}", strip = "site/line1/" }
)");
  ASSERT_TRUE(eventually([&] { return broker.count_in_log("site/line1/# (QoS 1)") == 1; }));
  for (int i = 0; i < 3; ++i) {
    peer.publish("site/line1/press/temperature", "2" + std::to_string(i));
    peer.publish("site/line1/state", "s" + std::to_string(i));
  }

  const auto messages = peer.wait_for(6);

  for (size_t i = 0; i < 6; i += 2) {
    EXPECT_EQ(messages[i].topic, "plant/press/temperature");
    EXPECT_EQ(messages[i].payload, "2" + std::to_string(i / 2));
    EXPECT_EQ(messages[i + 1].topic, "plant/state");
    EXPECT_EQ(messages[i + 1].payload, "s" + std::to_string(i / 2));
  }
}

}  // namespace
}  // namespace backplane::test
