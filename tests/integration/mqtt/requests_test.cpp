// SPDX-License-Identifier: Apache-2.0
// Request and response of MQTT 5, both ways.
#include "integration/mqtt/fixture.hpp"

namespace backplane::test {
namespace {

class Requests : public testing::Test {
 protected:
  Broker broker_;
  std::unique_ptr<MqttSystem> system_ = MqttSystem::connected(broker_.url());
  MqttPeer peer_{broker_.port()};
};

TEST_F(Requests, AreAnsweredByAForeignResponder) {
  peer_.subscribe("add", 1);
  peer_.on_each([&](const MqttPeer::Message& request) {
    peer_.send(request.response_topic, "sum of " + request.payload, [&](mosquitto_property** list) {
      mosquitto_property_add_binary(list, MQTT_PROP_CORRELATION_DATA, request.correlation.data(),
                                    static_cast<uint16_t>(request.correlation.size()));
      mosquitto_property_add_string(list, MQTT_PROP_CONTENT_TYPE, "text/plain");
    });
  });
  const Endpoint add = system_->open("add");

  EXPECT_EQ(add.call<std::string>("1 2").value(), "sum of 1 2");
  EXPECT_EQ(add.call<std::string>("3 4").value(), "sum of 3 4");
}

TEST_F(Requests, MayBeAnsweredInAnyOrder) {
  std::mutex mutex;
  std::vector<MqttPeer::Message> waiting;
  peer_.subscribe("echo", 1);
  peer_.on_each([&](const MqttPeer::Message& request) {
    const std::lock_guard lock(mutex);
    waiting.push_back(request);
    if (waiting.size() < 3) {
      return;
    }
    for (auto at = waiting.rbegin(); at != waiting.rend(); ++at) {
      peer_.send(at->response_topic, at->payload, [&](mosquitto_property** list) {
        mosquitto_property_add_binary(list, MQTT_PROP_CORRELATION_DATA, at->correlation.data(),
                                      static_cast<uint16_t>(at->correlation.size()));
      });
    }
  });
  const Endpoint echo = system_->open("echo");
  std::atomic<int> right{0};
  std::atomic<int> done{0};
  for (int i = 0; i < 3; ++i) {
    echo.call(i).then([&, i](const Result<OwnedMessage>& answer) {
      const auto payload = answer ? answer.value().body().payload() : std::nullopt;
      right += payload && std::string(reinterpret_cast<const char*>(payload->data()),
                                      payload->size()) == std::to_string(i)
                   ? 1
                   : 0;
      ++done;
    });
  }
  ASSERT_TRUE(eventually([&] { return done == 3; }));
  EXPECT_EQ(right, 3);
}

TEST_F(Requests, WithoutAResponderEndAtTheirDeadline) {
  const auto answer = system_->open("nobody").call("x").within(200ms).get();
  EXPECT_EQ(answer.status().code(), BP_DEADLINE_EXCEEDED);
}

TEST_F(Requests, WithoutADeadlineEndAtTheConfiguredTime) {
  const auto system =
      MqttSystem::connected(broker_.url(), "call_timeout_s = 0.2\nclient_id = \"other\"");
  const auto answer = system->open("nobody").call("x").get();
  EXPECT_EQ(answer.status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_NE(answer.status().message().find("call_timeout_s"), std::string_view::npos)
      << answer.status().to_string();
}

TEST_F(Requests, WithADeadlineOfTheirOwnWaitThatLong) {
  const auto system =
      MqttSystem::connected(broker_.url(), "call_timeout_s = 0.1\nclient_id = \"other\"");
  const auto start = std::chrono::steady_clock::now();
  const auto answer = system->open("nobody").call("x").within(500ms).get();
  EXPECT_EQ(answer.status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 500ms);
}

TEST_F(Requests, NeedMqtt5) {
  const auto system = MqttSystem::connected(broker_.url(), "version = 4\nclient_id = \"other\"");
  EXPECT_EQ(system->open("a").call("x").get().status().code(), BP_UNIMPLEMENTED);
}

TEST_F(Requests, OfAForeignClientReachAHandler) {
  Endpoint topic = system_->open("double/+");
  const auto served = topic.serve([](ServedOp request) -> Status {
    if (request.path() != "double/it") {
      return Status(BP_NOT_FOUND, "no such method");
    }
    const auto payload = request.in().body().payload();
    const std::string text(reinterpret_cast<const char*>(payload->data()), payload->size());
    return request.reply(std::stoi(text) * 2);
  });
  ASSERT_TRUE(served);
  ASSERT_TRUE(eventually([&] { return broker_.count_in_log("double/+ (QoS 1)") == 1; }));
  peer_.subscribe("answers", 1);
  const auto ask = [&](const std::string& method) {
    peer_.publish("double/" + method, "21", 1, false, [](mosquitto_property** list) {
      mosquitto_property_add_string(list, MQTT_PROP_RESPONSE_TOPIC, "answers");
      mosquitto_property_add_binary(list, MQTT_PROP_CORRELATION_DATA, "c7", 2);
    });
  };

  ask("it");
  const auto answer = peer_.wait_for(1)[0];
  EXPECT_EQ(answer.payload, "42");
  EXPECT_EQ(answer.correlation, "c7");

  ask("that");
  const auto failure = peer_.wait_for(2)[1];
  EXPECT_EQ(failure.user.find("status")->second, "NOT_FOUND");
  EXPECT_EQ(failure.user.find("error")->second, "no such method");
  EXPECT_EQ(system_->metric("requests_failed_total"), 1);
}

TEST_F(Requests, ThatAHandlerForgetsMakeRoomForOthersInTime) {
  const auto system = MqttSystem::connected(
      broker_.url(), "max_requests = 1\ncall_timeout_s = 0.2\nclient_id = \"other\"");
  Endpoint topic = system->open("slow");
  std::vector<Deferred> forgotten;
  const auto served = topic.serve([&](ServedOp request) -> Status {
    forgotten.push_back(request.defer());
    return Status::pending();
  });
  ASSERT_TRUE(served);
  ASSERT_TRUE(eventually([&] { return broker_.count_in_log("slow (QoS 1)") == 1; }));
  peer_.subscribe("answers", 1);
  for (size_t i = 1; i <= 2; ++i) {
    peer_.publish("slow", "x", 1, false, [](mosquitto_property** list) {
      mosquitto_property_add_string(list, MQTT_PROP_RESPONSE_TOPIC, "answers");
    });
    const auto answers = peer_.wait_for(i);
    ASSERT_EQ(answers.size(), i);
    ASSERT_EQ(answers.back().user.count("status"), 1u);
    EXPECT_EQ(answers.back().user.find("status")->second, "DEADLINE_EXCEEDED");
  }
  EXPECT_EQ(system->metric("requests_dropped_total"), 0);
}

TEST_F(Requests, FromOneInstanceReachAHandlerOfAnother) {
  const auto server = MqttSystem::connected(broker_.url(), "client_id = \"server\"");
  Endpoint served_topic = server->open("echo");
  const auto served = served_topic.serve(
      [](ServedOp request) -> Status { return request.reply(request.in().body()); });
  ASSERT_TRUE(served);
  ASSERT_TRUE(eventually([&] { return broker_.count_in_log("echo (QoS 1)") == 1; }));

  EXPECT_EQ(system_->open("echo").call<std::string>("hello").value(), "hello");
}

}  // namespace
}  // namespace backplane::test
