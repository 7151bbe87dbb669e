// SPDX-License-Identifier: Apache-2.0
// One MQTT connection of a benchmark: the plugin's, libmosquitto's or Paho's. All do the same work
// with the same options: MQTT 5, TCP_NODELAY, one connection, which publishes to one topic and
// perhaps subscribes to it, and an application that goes on where the library tells it something.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace backplane::benchmark {

// What is done on a connection. Everything is called on one thread, that of the connection.
class MqttWork {
 public:
  virtual ~MqttWork() = default;
  virtual void begin() = 0;
  virtual void published() = 0;  // one more: the broker has acknowledged it; not with QoS 0
  virtual void received() = 0;   // one more
  [[nodiscard]] virtual bool is_over() const = 0;
};

class MqttSide {
 public:
  virtual ~MqttSide() = default;
  // Returns when the work is over; throws when it does not come to its end.
  virtual void run(MqttWork& work) = 0;
  // For the work, while it runs.
  virtual void publish() = 0;
};

struct MqttOptions {
  std::uint16_t port = 0;
  int qos = 1;
  std::size_t payload = 16;
  unsigned outstanding = 1;  // publications, at most
  bool subscribes = false;
};

constexpr int kMqttKeepAliveSeconds = 600;  // longer than a run: no PINGREQ among the figures
constexpr int kMqttPatienceSeconds = 20;

std::unique_ptr<MqttSide> mqtt_plugin(const MqttOptions& options);
std::unique_ptr<MqttSide> libmosquitto_raw(const MqttOptions& options);
std::unique_ptr<MqttSide> paho_raw(const MqttOptions& options);

}  // namespace backplane::benchmark
