// SPDX-License-Identifier: Apache-2.0
// A foreign MQTT client: libmosquitto as it comes, with its own thread. What the plugin is compared
// with.
#pragma once

#include <gtest/gtest.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace backplane::test {

class MqttPeer {
 public:
  struct Message {
    std::string topic, payload, content_type, response_topic, correlation;
    int qos = 0;
    bool retain = false;
    std::multimap<std::string, std::string> user;
  };
  static constexpr std::chrono::seconds kPatience{20};

  explicit MqttPeer(uint16_t port, int version = 5, const char* client_id = nullptr,
                    bool clean = true) {
    mosquitto_lib_init();
    client_ = mosquitto_new(client_id, clean, this);
    mosquitto_int_option(client_, MOSQ_OPT_PROTOCOL_VERSION,
                         version == 5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
    mosquitto_int_option(client_, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_reconnect_delay_set(client_, 1, 1, false);
    mosquitto_connect_callback_set(client_, [](mosquitto*, void* user, int rc) {
      auto& self = *static_cast<MqttPeer*>(user);
      std::unique_lock lock(self.mutex_);
      self.connected_ = rc == 0;
      const auto filters = self.filters_;
      self.changed_.notify_all();
      lock.unlock();
      for (const auto& [filter, qos] : filters) {
        mosquitto_subscribe(self.client_, nullptr, filter.c_str(), qos);
      }
    });
    mosquitto_disconnect_callback_set(client_, [](mosquitto*, void* user, int) {
      static_cast<MqttPeer*>(user)->note([](auto& self) { self.connected_ = false; });
    });
    mosquitto_subscribe_callback_set(client_, [](mosquitto*, void* user, int, int, const int*) {
      static_cast<MqttPeer*>(user)->note([](auto& self) { ++self.subscribed_; });
    });
    mosquitto_publish_callback_set(client_, [](mosquitto*, void* user, int) {
      static_cast<MqttPeer*>(user)->note([](auto& self) { ++self.published_; });
    });
    mosquitto_message_v5_callback_set(
        client_, [](mosquitto*, void* user, const mosquitto_message* message,
                    const mosquitto_property* properties) {
          static_cast<MqttPeer*>(user)->on_message(*message, properties);
        });
    EXPECT_EQ(mosquitto_connect(client_, "127.0.0.1", port, 60), MOSQ_ERR_SUCCESS);
    mosquitto_loop_start(client_);
    EXPECT_TRUE(wait([](auto& self) { return self.connected_; })) << "the peer was not accepted";
  }
  MqttPeer(const MqttPeer&) = delete;
  MqttPeer& operator=(const MqttPeer&) = delete;
  ~MqttPeer() {
    mosquitto_disconnect(client_);
    mosquitto_loop_stop(client_, true);
    mosquitto_destroy(client_);
    mosquitto_lib_cleanup();
  }

  /// Returns when the broker has confirmed it.
  void subscribe(const std::string& filter, int qos = 0) {
    const size_t before = get([](auto& self) { return self.subscribed_; });
    note([&](auto& self) { self.filters_.emplace_back(filter, qos); });
    mosquitto_subscribe(client_, nullptr, filter.c_str(), qos);
    EXPECT_TRUE(wait([&](auto& self) { return self.subscribed_ > before; }))
        << "no SUBACK for " << filter;
  }
  /// Returns when the broker has it.
  void publish(const std::string& topic, const std::string& payload, int qos = 1,
               bool retain = false,
               const std::function<void(mosquitto_property**)>& properties = {}) {
    const size_t before = get([](auto& self) { return self.published_; });
    mosquitto_property* list = nullptr;
    if (properties) {
      properties(&list);
    }
    EXPECT_EQ(
        mosquitto_publish_v5(client_, nullptr, topic.c_str(), static_cast<int>(payload.size()),
                             payload.data(), qos, retain, list),
        MOSQ_ERR_SUCCESS);
    mosquitto_property_free_all(&list);
    EXPECT_TRUE(wait([&](auto& self) { return self.published_ > before; }))
        << "the broker did not take " << topic;
  }
  /// Answers each message; runs on the peer's thread.
  void on_each(std::function<void(const Message&)> answer) {
    note([&](auto& self) { self.answer_ = std::move(answer); });
  }
  /// From the peer's own thread, inside on_each.
  void send(const std::string& topic, const std::string& payload,
            const std::function<void(mosquitto_property**)>& properties) {
    mosquitto_property* list = nullptr;
    properties(&list);
    mosquitto_publish_v5(client_, nullptr, topic.c_str(), static_cast<int>(payload.size()),
                         payload.data(), 1, false, list);
    mosquitto_property_free_all(&list);
  }

  std::vector<Message> messages() {
    return get([](auto& self) { return self.messages_; });
  }
  /// The first n messages; a failure of the test if they do not come.
  std::vector<Message> wait_for(size_t n) {
    EXPECT_TRUE(wait([&](auto& self) { return self.messages_.size() >= n; }))
        << "expected " << n << " messages, got " << messages().size();
    return messages();
  }
  bool wait(const std::function<bool(MqttPeer&)>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return condition(*this); });
  }
  bool is_connected() {
    return get([](auto& self) { return self.connected_; });
  }

 private:
  template <class Change>
  void note(Change change) {
    const std::lock_guard lock(mutex_);
    change(*this);
    changed_.notify_all();
  }
  template <class Get>
  std::invoke_result_t<Get&, MqttPeer&> get(Get read) {
    const std::lock_guard lock(mutex_);
    return read(*this);
  }
  static std::string text(const mosquitto_property* properties, int id) {
    char* value = nullptr;
    mosquitto_property_read_string(properties, id, &value, false);
    std::string out = value != nullptr ? value : "";
    std::free(value);
    return out;
  }
  void on_message(const mosquitto_message& raw, const mosquitto_property* properties) {
    Message message;
    message.topic = raw.topic;
    message.payload.assign(static_cast<const char*>(raw.payload),
                           static_cast<size_t>(raw.payloadlen));
    message.qos = raw.qos;
    message.retain = raw.retain;
    message.content_type = text(properties, MQTT_PROP_CONTENT_TYPE);
    message.response_topic = text(properties, MQTT_PROP_RESPONSE_TOPIC);
    void* data = nullptr;
    uint16_t size = 0;
    if (mosquitto_property_read_binary(properties, MQTT_PROP_CORRELATION_DATA, &data, &size,
                                       false) != nullptr) {
      message.correlation.assign(static_cast<const char*>(data), size);
    }
    std::free(data);
    char* name = nullptr;
    char* value = nullptr;
    for (const auto* at = mosquitto_property_read_string_pair(properties, MQTT_PROP_USER_PROPERTY,
                                                              &name, &value, false);
         at != nullptr; at = mosquitto_property_read_string_pair(at, MQTT_PROP_USER_PROPERTY, &name,
                                                                 &value, true)) {
      message.user.emplace(name, value);
      std::free(name);
      std::free(value);
      name = value = nullptr;
    }
    std::function<void(const Message&)> answer;
    note([&](auto& self) {
      self.messages_.push_back(message);
      answer = self.answer_;
    });
    if (answer) {
      answer(message);
    }
  }

  mosquitto* client_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  // ---- guarded by mutex_ ----
  bool connected_ = false;
  size_t subscribed_ = 0;
  size_t published_ = 0;
  std::vector<std::pair<std::string, int>> filters_;
  std::vector<Message> messages_;
  std::function<void(const Message&)> answer_;
};

}  // namespace backplane::test
