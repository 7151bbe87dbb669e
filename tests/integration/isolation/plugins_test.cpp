// SPDX-License-Identifier: Apache-2.0
// The bundled plugins, each in a process of its own, do what they do in one.
#include "integration/isolation/fixture.hpp"
#include "support/free_port.hpp"

#include <csignal>

namespace backplane::test {
namespace {

class BundledPlugins : public IsolatedInstances {
 protected:
  /// The last number that an address has shown.
  class Last {
   public:
    explicit Last(const Endpoint& endpoint)
        : watch_(endpoint
                     .watch([this](MessageView message) {
                       value_ = message.as<double>().value_or(-1);
                       ++count_;
                     })
                     .value()) {}
    double value() const { return value_; }
    int count() const { return count_; }

   private:
    std::atomic<double> value_{-1};
    std::atomic<int> count_{0};
    Subscription watch_;
  };
};

TEST_F(BundledPlugins, ASimulatedSignalGoesThroughARouteToACoapResource) {
  ASSERT_TRUE(start(R"(
[instances.sensors]
plugin = "coap"
isolation = "process"
listen = "coap://127.0.0.1:0"
resources = [{ path = "/a", initial = -1.0 }, { path = "/b", initial = -1.0 }]
[instances.signals]
plugin = "sim"
isolation = "process"
[[instances.signals.signals]]
to = "sensors:/a"
shape = "ramp"
max = 1000
period_s = 100
interval_ms = 20
[[routes]]
isolation = "process"
from = "sensors:/a"
to = "sensors:/b"
)")
                  .is_ok())
      << log();
  const Endpoint b = open("sensors:/b");
  const Last last(b);
  EXPECT_TRUE(eventually([&] { return last.value() > 0; })) << log();
  EXPECT_GT(b.read<double>().within(10s).value(), 0);
  EXPECT_TRUE(kernel_->stop().is_ok());
}

TEST_F(BundledPlugins, ARouteGoesOnAfterItsSourceHasCrashed) {
  ASSERT_TRUE(start(R"(
[instances.sensors]
plugin = "coap"
listen = "coap://127.0.0.1:0"
resources = [{ path = "/b", initial = -1.0 }]
[instances.it]
plugin = "sim"
isolation = "process"
[[instances.it.signals]]
name = "ramp"
shape = "ramp"
max = 1000
period_s = 100
interval_ms = 20
[[routes]]
from = "it:ramp"
to = "sensors:/b"
)")
                  .is_ok())
      << log();
  const Endpoint b = open("sensors:/b");
  const Last last(b);
  ASSERT_TRUE(eventually([&] { return last.count() > 3; })) << log();
  const std::set<pid_t> hosts = children();
  ASSERT_EQ(hosts.size(), 1u);
  ASSERT_EQ(kill(*hosts.begin(), SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return logged("SIGKILL"); }));
  const int before = last.count();
  EXPECT_TRUE(eventually([&] { return last.count() > before + 3; })) << log();
  EXPECT_TRUE(kernel_->stop().is_ok());
}

TEST_F(BundledPlugins, FormatsDecodes) {
  ASSERT_TRUE(start(R"(
[instances.formats]
plugin = "formats"
isolation = "process"
)")
                  .is_ok())
      << log();
  const Endpoint json = open("formats:json/decode");
  const OwnedMessage decoded =
      json.call(ValueView::encoded(std::as_bytes(std::span("[1,2]", 5)), BP_FORMAT_JSON))
          .within(10s)
          .value();
  EXPECT_EQ(decoded.body().to_text(), "[1,2]");
}

TEST_F(BundledPlugins, ProcessRunsItsCommandAndTakesItAlongWhenItsHostIsKilled) {
  ASSERT_TRUE(start(R"(
[instances.it]
plugin = "process"
isolation = "process"
command = ["sleep", "1000"]
)")
                  .is_ok())
      << log();
  const Endpoint state = open("it:");
  const auto pid = [&] {
    const auto map = state.read().within(10s).get();
    return map ? map->body().find("pid").value_or(ValueView(0)).get<pid_t>().value_or(0) : 0;
  };
  const pid_t sleeper = pid();
  ASSERT_GT(sleeper, 0);
  const std::set<pid_t> hosts = children();
  ASSERT_EQ(hosts.size(), 1u);
  ASSERT_EQ(kill(*hosts.begin(), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return kill(sleeper, 0) != 0; })) << "its command outlived it";
  EXPECT_TRUE(eventually([&] { return pid() > 0 && pid() != sleeper; })) << log();
  EXPECT_TRUE(kernel_->stop().is_ok());
}

TEST_F(BundledPlugins, MqttPublishesAndSubscribes) {
  const uint16_t port = free_port_base();
  ASSERT_TRUE(start(concat(R"(
[instances.broker]
plugin = "process"
command = ["mosquitto", "-p", ")",
                           port, R"("]
ready = { tcp = "127.0.0.1:)",
                           port, R"(" }
[instances.it]
plugin = "mqtt"
isolation = "process"
url = "mqtt://127.0.0.1:)",
                           port, R"("
after = ["broker"]
)"))
                  .is_ok())
      << log();
  const Endpoint topic = open("it:plant/a");
  std::atomic<bool> came = false;
  const Subscription watch =
      topic
          .watch([&](MessageView message) {
            came = message.body().payload() && message.body().payload()->size() == 2;
          })
          .value();
  EXPECT_TRUE(eventually([&] {
    return topic.write("42", {{BP_H_QOS, 1}}).within(5s).get().is_ok() && came;
  })) << log();
  EXPECT_TRUE(kernel_->stop().is_ok());
}

}  // namespace
}  // namespace backplane::test
