// SPDX-License-Identifier: Apache-2.0
// What does MQTT cost through the kernel and the plugin, against libmosquitto and Paho C? The
// broker is a real mosquitto in a process of its own, as for every client.
#include "bench.hpp"
#include "mqtt_side.hpp"
#include "one_core.hpp"
#include "support/broker.hpp"

#include <algorithm>

namespace backplane::benchmark {
namespace {

struct Question {
  std::string prefix;  // of its cases
  MqttOptions options;
  unsigned messages;  // in one repetition
};

// Keeps `outstanding` messages on their way until all have gone through: have been acknowledged by
// the broker (QoS 1) and, on a connection that subscribes, have come back.
class Exchange final : public MqttWork {
 public:
  Exchange(const Question& question, MqttSide& side) : question_(question), side_(side) {
    latencies_.reserve(question.messages);
  }

  void begin() override {
    allocated_ = allocations();
    begin_ns_ = now_ns();
    go_on();
  }
  void published() override {
    ++published_;
    go_on();
  }
  void received() override {
    ++received_;
    go_on();
  }
  [[nodiscard]] bool is_over() const override { return end_ns_ != 0; }

  std::vector<Metric> metrics() {
    std::vector<Metric> out;
    if (question_.options.outstanding == 1) {
      out = percentiles(question_.prefix, latencies_);
    } else {
      out = {{question_.prefix + "_rate",
              question_.messages * 1e9 / static_cast<double>(end_ns_ - begin_ns_),
              {}}};
    }
    for (Metric& metric : out)
      metric.allocations_per_op = static_cast<double>(allocated_) / question_.messages;
    return out;
  }

 private:
  unsigned through() const {
    const unsigned published = question_.options.qos == 0 ? started_ : published_;
    return question_.options.subscribes ? std::min(published, received_) : published;
  }
  void go_on() {
    if (latencies_.size() < through()) latencies_.push_back(now_ns() - started_ns_);
    if (through() == question_.messages) {
      end_ns_ = now_ns();
      allocated_ = allocations() - allocated_;
    }
    while (started_ < question_.messages && started_ - through() < question_.options.outstanding) {
      ++started_;
      started_ns_ = now_ns();
      side_.publish();
    }
  }

  const Question& question_;
  MqttSide& side_;
  unsigned started_ = 0;
  unsigned published_ = 0;
  unsigned received_ = 0;
  std::int64_t started_ns_ = 0;
  std::int64_t begin_ns_ = 0;
  std::int64_t end_ns_ = 0;
  std::uint64_t allocated_ = 0;
  std::vector<std::int64_t> latencies_;  // with one outstanding
};

struct Bed {
  OneCore core;
  // No bound of the broker is to drop or hold back what is measured.
  test::Broker broker{{.config = "max_inflight_messages 0", .log_type = "none"}};
};

Measure measure(const Question& question, std::shared_ptr<Bed> bed,
                std::unique_ptr<MqttSide> made) {
  std::shared_ptr<MqttSide> side = std::move(made);
  return [question, bed, side] {
    Exchange exchange(question, *side);
    side->run(exchange);
    return exchange.metrics();
  };
}

Experiment experiment(const Question& question) {
  Experiment out;
  out.name = "mqtt";
  out.repetitions = 11;
  if (question.options.outstanding == 1) {
    out.cases = {question.prefix + "_p50", question.prefix + "_p99", question.prefix + "_p999"};
  } else {
    out.cases = {question.prefix + "_rate"};
  }
  out.prepare = [question] {
    auto bed = std::make_shared<Bed>();
    Question asked = question;
    asked.options.port = bed->broker.port();
    return std::vector<Side>{
        {"", measure(asked, bed, mqtt_plugin(asked.options))},
        {"libmosquitto_raw", measure(asked, bed, libmosquitto_raw(asked.options))},
        {"paho_raw", measure(asked, bed, paho_raw(asked.options))}};
  };
  return out;
}

}  // namespace

std::vector<Experiment> mqtt_experiments() {
  constexpr std::size_t kKiB = 1024;
  return {
      experiment({"publish_qos1", {.qos = 1}, 4'000}),
      experiment({"publish_qos1_64KiB", {.qos = 1, .payload = 64 * kKiB}, 2'000}),
      experiment({"publish_qos1_outstanding64", {.qos = 1, .outstanding = 64}, 20'000}),
      experiment({"round_trip_qos0", {.qos = 0, .subscribes = true}, 4'000}),
      experiment({"round_trip_qos1", {.qos = 1, .subscribes = true}, 4'000}),
      experiment({"receive_qos0", {.qos = 0, .outstanding = 256, .subscribes = true}, 20'000}),
  };
}

}  // namespace backplane::benchmark
