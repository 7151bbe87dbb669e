// SPDX-License-Identifier: Apache-2.0
// What does a route cost? From CoAP to MQTT as a program of its own, and through an OPC UA server
// as in a plant, against a forwarder that was written by hand on the raw libraries; and in process,
// against two endpoints joined by hand.
#include "bench.hpp"
#include "one_core.hpp"
#include "plugin_kernel.hpp"
#include "sensor.hpp"
#include "support/broker.hpp"
#include "support/free_port.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

namespace backplane::benchmark {
namespace {

// ---- CoAP to MQTT ----

// A gateway as a child, and the world around it.
struct Bed {
  Bed(std::shared_ptr<OneCore> all, std::shared_ptr<test::Broker> used, std::uint16_t coap_port,
      const std::vector<std::string>& command, const std::string& ready)
      : core(std::move(all)), broker(std::move(used)), gateway(command) {
    const bool is_ready = gateway.wait_until(
        [&] { return (gateway.out() + gateway.err()).find(ready) != std::string::npos; });
    if (!is_ready) throw std::runtime_error("route: " + command[0] + ": " + gateway.err());
    world = std::make_unique<SensorAndSubscriber>(coap_port, broker->port());
  }

  std::shared_ptr<OneCore> core;
  std::shared_ptr<test::Broker> broker;
  test::ChildProcess gateway;
  std::unique_ptr<SensorAndSubscriber> world;
};

Measure measure(std::shared_ptr<Bed> bed, const std::string& prefix, unsigned messages,
                unsigned outstanding) {
  return [bed, prefix, messages, outstanding] {
    SensorAndSubscriber::Result result = bed->world->run(messages, outstanding);
    std::vector<Metric> out = percentiles(prefix, result.latencies_ns);
    if (outstanding > 1)
      out.push_back(
          {prefix + "_rate", messages * 1e9 / static_cast<double>(result.duration_ns), {}});
    return out;
  };
}

/// Directly, or as a plant does it: through a variable of an OPC UA server.
Experiment coap_to_mqtt(const std::string& prefix, unsigned messages, unsigned outstanding,
                        bool is_plant) {
  Experiment experiment;
  experiment.name = "route";
  experiment.cases = {prefix + "_p50", prefix + "_p99", prefix + "_p999"};
  if (outstanding > 1) experiment.cases.push_back(prefix + "_rate");
  experiment.repetitions = 11;
  experiment.prepare = [prefix, messages, outstanding, is_plant] {
    const auto new_broker = [] {
      return std::make_shared<test::Broker>(
          test::BrokerOptions{.config = "max_inflight_messages 0", .log_type = "none"});
    };
    const auto core = std::make_shared<OneCore>();
    const auto broker = new_broker();
    const std::uint16_t port = test::free_port_base();
    std::string text = concat(R"([instances.sensors]
plugin = "coap"
resources = [{ path = "/value" }]
listen = "coap://127.0.0.1:)",
                              port, R"("
[instances.cloud]
plugin = "mqtt"
keep_alive_s = 600
url = ")",
                              broker->url(), "\"\n");
    if (is_plant) {
      text += concat(R"([instances.main]
plugin = "opcua"
security_mode = "none"
nodes = [{ id = "ns=1;s=Value", type = "ByteString" }]
listen = "opc.tcp://127.0.0.1:)",
                     test::free_port_base(), R"("
[[routes]]
from = "sensors:/value"
to = "main:ns=1;s=Value"
[[routes]]
from = "main:ns=1;s=Value"
to = "cloud:bench/value"
)");
    } else {
      text += R"([[routes]]
from = "sensors:/value"
to = "cloud:bench/value"
)";
    }
    const auto manifest = broker->folder().write("system.toml", text);
    const std::vector<std::string> route = {concat(BP_BUILD_FOLDER, "/bin/backplane"), "run",
                                            "--log-format", "text", manifest.string()};
    auto subject = std::make_shared<Bed>(core, broker, port, route, "ready");
    const auto other_broker = new_broker();
    const std::uint16_t other_port = test::free_port_base();
    std::vector<std::string> forwarder = {BP_BENCH_FORWARDER, std::to_string(other_port),
                                          std::to_string(other_broker->port())};
    if (is_plant) forwarder.push_back(std::to_string(test::free_port_base()));
    auto raw = std::make_shared<Bed>(core, other_broker, other_port, forwarder, "ready");
    return std::vector<Side>{{"", measure(std::move(subject), prefix, messages, outstanding)},
                             {is_plant ? "open62541_raw" : "libcoap_raw",
                              measure(std::move(raw), prefix, messages, outstanding)}};
  };
  return experiment;
}

// ---- in process ----

constexpr const char* kCase = "in_process_rate";
constexpr int kMessages = 200'000;

// Feeds messages one at a time to whoever watches `bench:later`.
Measure feed(std::shared_ptr<Kernel> kernel, std::shared_ptr<void> join) {
  return [kernel, join] {
    const Endpoint feed = kernel->open("bench:feed").value();
    const bp_endpoint_service& service = kernel->host().services().endpoint;
    const OwnedMessage one{MessageView(MessageBuilder(ValueView(std::uint64_t{1})).view())};
    bp_op* const op = service.op_new(kernel->host().raw());
    op->verb = BP_V_WRITE;
    op->in = &one.view().raw();
    op->target = feed.ref();
    const std::uint64_t allocated = allocations();
    const std::int64_t begin = now_ns();
    for (int i = 0; i < kMessages; ++i) {
      if (service.submit(kernel->host().raw(), op) != BP_OK)
        throw std::runtime_error("route: a message was not taken");
    }
    const std::int64_t end = now_ns();
    const std::uint64_t allocated_after = allocations();
    service.op_free(kernel->host().raw(), op);
    return std::vector<Metric>{{kCase, kMessages * 1e9 / static_cast<double>(end - begin),
                                static_cast<double>(allocated_after - allocated) / kMessages}};
  };
}

// The same without the plugin: a watch with acknowledgement whose messages are written.
class ByHand {
 public:
  explicit ByHand(const Kernel& kernel)
      : host_(kernel.host()),
        service_(host_.services().endpoint),
        target_(kernel.open("bench:value").value()),
        source_(kernel.open("bench:later").value()),
        write_(service_.op_new(host_.raw())),
        watch_(service_.op_new(host_.raw())) {
    write_->verb = BP_V_WRITE;
    write_->target = target_.ref();
    watch_->verb = BP_V_WATCH;
    watch_->flags = BP_OP_ACK;
    watch_->credit = UINT32_MAX;
    watch_->target = source_.ref();
    watch_->sink = &kSink;
    watch_->user = this;
    watch_->done = [](bp_op* op) { static_cast<ByHand*>(op->user)->ended_ = true; };
    if (service_.submit(host_.raw(), watch_) != BP_PENDING)
      throw std::runtime_error("route: bench:later is not watched");
  }
  ~ByHand() {
    service_.cancel(host_.raw(), watch_);
    while (!ended_) std::this_thread::yield();
    service_.op_free(host_.raw(), watch_);
    service_.op_free(host_.raw(), write_);
  }
  ByHand(const ByHand&) = delete;
  ByHand& operator=(const ByHand&) = delete;

 private:
  static bp_status next(bp_op* op, const bp_message* messages, std::uint32_t n) {
    auto& self = *static_cast<ByHand*>(op->user);
    for (std::uint32_t i = 0; i < n; ++i) {
      self.write_->in = &messages[i];
      const bp_status status = self.service_.submit(self.host_.raw(), self.write_);
      self.service_.ack(self.host_.raw(), op, messages[i].seq, status);
    }
    return BP_OK;
  }
  static constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, next};

  const Host& host_;
  const bp_endpoint_service& service_;
  const Endpoint target_;
  const Endpoint source_;
  bp_op* const write_;
  bp_op* const watch_;
  std::atomic<bool> ended_{false};
};

void wait_until_up(const Kernel& kernel) {
  const std::int64_t end = now_ns() + 10'000'000'000;
  const auto is_up = [](const InstanceInfo& instance) {
    return instance.plugin != "route" || instance.state == BP_STATE_UP;
  };
  for (;;) {
    const std::vector<InstanceInfo> instances = kernel.instances();
    if (std::all_of(instances.begin(), instances.end(), is_up)) return;
    if (now_ns() > end) throw std::runtime_error("route: it does not come up");
    std::this_thread::yield();
  }
}

Experiment in_process() {
  Experiment experiment;
  experiment.name = "route";
  experiment.cases = {kCase};
  experiment.repetitions = 9;
  experiment.prepare = [] {
    const std::string bench = "[instances.bench]\nplugin = \"bench\"\n";
    auto routed = std::make_shared<Kernel>(
        started_kernel(bench + "[[routes]]\nfrom = \"bench:later\"\nto = \"bench:value\"\n"));
    wait_until_up(*routed);
    auto joined = std::make_shared<Kernel>(started_kernel(bench));
    auto by_hand = std::make_shared<ByHand>(*joined);
    return std::vector<Side>{{"", feed(std::move(routed), nullptr)},
                             {"direct_call", feed(std::move(joined), std::move(by_hand))}};
  };
  return experiment;
}

}  // namespace

std::vector<Experiment> route_experiments() {
  return {
      coap_to_mqtt("coap_to_mqtt", 2'000, 1, false),
      coap_to_mqtt("coap_to_mqtt_outstanding16", 5'000, 16, false),
#ifdef BP_BENCH_OPCUA
      coap_to_mqtt("plant", 2'000, 1, true),
      coap_to_mqtt("plant_outstanding16", 5'000, 16, true),
#endif
      in_process(),
  };
}

}  // namespace backplane::benchmark
