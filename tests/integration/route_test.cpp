// SPDX-License-Identifier: Apache-2.0
// Routes through the kernel, between endpoints that do what the test says; codecs are the real
// ones.
#include "backplane/sdk/kernel.hpp"
#include "backplane/sdk/plugin.hpp"
#include "support/eventually.hpp"
#include "unit/plugins/route/scripted_endpoints.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <poll.h>
#include <thread>

namespace backplane::test {
namespace {

using namespace std::chrono_literals;

/// The endpoints of the one instance of the plugin `world`, which is linked into this test.
class World final : public Plugin {
 public:
  World(const bp_host* host, const Config&) : Plugin(host) { current = this; }
  ~World() override { current = nullptr; }

  Status open(std::string_view path, MessageView, OpenOp op) override {
    if (path == "a" && a_is_absent) return Status(BP_NOT_FOUND, "no ", path, " yet");
    if (path == "source") return op.give(source.object());
    if (path == "a") return op.give(a.object());
    if (path == "b") return op.give(b.object());
    if (path == "plant/x/value") return op.give(a.object());
    if (path == "plant/y/value") return op.give(b.object());
    if (path == "dead") return op.give(dead.object());
    if (path == "ping") return op.give(ping.object());
    if (path == "pong") return op.give(pong.object());
    return Status(BP_NOT_FOUND, "no ", path);
  }

  static inline World* current = nullptr;
  static inline std::atomic<bool> a_is_absent{false};

  ScriptedSource source{host()};
  ScriptedSource ping{host()};
  ScriptedDestination pong{host()};
  ScriptedDestination a{host()};
  ScriptedDestination b{host()};
  ScriptedDestination dead{host()};
};

}  // namespace
}  // namespace backplane::test

BACKPLANE_PLUGIN(backplane::test::World, "world", "1.0.0", 0, BP_S_ENDPOINT, BP_S_EXECUTOR);

namespace backplane::test {
namespace {

constexpr std::string_view kWorldManifest = R"(
manifest_version = 1
id = "world"
version = "1.0.0"
description = "Does what a test says"
license = "Apache-2.0"
status = "draft"
security_posture = "local"
multi_instance = false
[services]
needed = ["bp.endpoint/1", "bp.executor/1"]
[config]
type = "object"
additionalProperties = false
)";

/// Looks again and again until the condition holds.
class RouteThroughTheKernel : public testing::Test {
 protected:
  RouteThroughTheKernel() { World::a_is_absent = false; }

  /// The mistakes of a system manifest with this text and an instance `world`.
  std::vector<std::string> mistakes_of(std::string_view routes) {
    std::vector<std::string> out;
    make_kernel();
    const std::string text = concat("[instances.world]\nplugin = \"world\"\n", routes);
    const Status status = kernel_->load_text(
        "test", text, [&](const Diagnostic& each) { out.push_back(each.message); });
    EXPECT_EQ(status.is_error(), !out.empty()) << status.to_string();
    return out;
  }
  void start(std::string_view routes) {
    ASSERT_THAT(mistakes_of(routes), testing::IsEmpty());
    const Status started = kernel_->start();
    ASSERT_TRUE(started.is_ok()) << started.to_string();
  }
  void start_and_watch(std::string_view routes) {
    start(routes);
    ASSERT_TRUE(eventually([&] { return world().source.is_watched(); }));
  }
  void stop() {
    const Status stopped = kernel_->stop();
    EXPECT_TRUE(stopped.is_ok()) << stopped.to_string();
  }
  World& world() { return *World::current; }

  /// Of all routes together.
  int64_t metric(const std::string& name, const std::string& destination,
                 const std::string& reason = {}) {
    int64_t sum = 0;
    for (const MetricInfo& each : kernel_->metrics()) {
      const bool is_it = each.name == name && has(each, "destination", destination) &&
                         (reason.empty() || has(each, "reason", reason));
      sum += is_it ? each.value : 0;
    }
    return sum;
  }
  /// Counted at the end of a turn, in which the source is acknowledged before.
  void expect_metric(int64_t value, const std::string& name, const std::string& destination,
                     const std::string& reason = {}) {
    EXPECT_TRUE(eventually([&] { return metric(name, destination, reason) == value; }))
        << name << " of " << destination << " is " << metric(name, destination, reason);
  }
  void expect_balance(const std::string& destination) {
    const auto ended = [&] {
      return metric("route_out_total", destination) + metric("route_stored_total", destination) +
             metric("route_dropped_total", destination) + metric("route_in_flight", destination);
    };
    EXPECT_TRUE(eventually([&] { return metric("route_in_total", destination) == ended(); }))
        << destination << ": in " << metric("route_in_total", destination) << ", ended " << ended();
  }
  InstanceInfo instance(const std::string& name) {
    for (const InstanceInfo& each : kernel_->instances()) {
      if (each.name == name) return each;
    }
    return {};
  }

  std::optional<Kernel> kernel_;

 private:
  static bool has(const MetricInfo& metric, const std::string& label, const std::string& value) {
    for (const auto& [key, is] : metric.labels) {
      if (key == label && is == value) return true;
    }
    return false;
  }
  void make_kernel() {
    KernelOptions options;
    options.plugin_folders = BP_TEST_BUILD_DIR "/plugins";
    options.manifest_folders = BP_TEST_BUILD_DIR "/plugin_manifests";
    options.flags = BP_KERNEL_CHECKED;
    options.log = [](const LogRecord&) {};
    kernel_.emplace(Kernel::create(options).value());
    const Status added = kernel_->add_plugin(&bp_plugin_entry_1, kWorldManifest);
    ASSERT_TRUE(added.is_ok()) << added.to_string();
  }
};

ValueView bytes(std::string_view text) { return ValueView::bytes(text.data(), text.size()); }
std::string text_of(const OwnedMessage& message) {
  const auto payload = message.body().payload();
  return payload ? std::string(reinterpret_cast<const char*>(payload->data()), payload->size())
                 : message.body().to_text();
}

// ---- configuration ----

TEST_F(RouteThroughTheKernel, TakesADestinationAsTextAsTableAndAsListOfBoth) {
  for (
      const char* to :
      {R"("world:a")", R"({ address = "world:a", qos = 1 })", R"(["world:a"])",
       R"(["world:a", { address = "world:b", verb = "call", scale = 2, headers = { unit = "Cel", n = 1 } }])"}) {
    EXPECT_THAT(mistakes_of(concat("[[routes]]\nfrom = \"world:source\"\nto = ", to, "\n")),
                testing::IsEmpty())
        << to;
  }
}

TEST_F(RouteThroughTheKernel, AsksItsSourceForWhatItsTableSays) {
  start_and_watch(R"(
[[routes]]
from = { address = "world:source", accept = "application/json", qos = 1, options = { deadband = 0.5, nodes = ["x"] } }
to = "world:a"
)");
  const OwnedMessage asked = world().source.asked();
  EXPECT_EQ(asked.view().header<std::string>(BP_H_CONTENT_TYPE), "application/json");
  EXPECT_EQ(asked.view().header<int>(BP_H_QOS), 1);
  const auto options = asked.view().header(BP_H_OPTIONS);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->find("deadband")->get<double>(), 0.5);
  EXPECT_EQ(options->find("nodes")->at(0), ValueView("x"));
}

TEST_F(RouteThroughTheKernel, RefusesEveryMistakeBeforeAnythingStarts) {
  struct Mistake {
    const char* route;
    const char* told;
  };
  const Mistake kMistakes[] = {
      {"to = \"world:a\"", "from"},
      {"from = \"world:source\"", "to"},
      {"from = { accept = \"x\" }\nto = \"world:a\"", "address"},
      {"from = { address = \"nowhere:a\" }\nto = \"world:a\"", "nowhere"},
      {"from = { address = \"world:source\", option = 1 }\nto = \"world:a\"", "options"},
      {"from = { address = \"world:source\", qos = 3 }\nto = \"world:a\"", "qos"},
      {"from = \"world:source\"\nto = []", "to"},
      {"from = \"world:source\"\nto = \"nowhere:a\"", "nowhere"},
      {"from = \"world:source\"\nto = \"world:a\"\ndead_letter = \"nowhere:a\"", "nowhere"},
      {"from = \"world:source\"\nto = \"world:a\"\nselct = \"/a\"", "select"},
      {"from = \"world:source\"\nto = \"world:a\"\nselect = \"a\"", "select"},
      {"from = \"world:source\"\nto = \"world:a\"\npolicy = \"drop\"", "drop_oldest"},
      {"from = \"world:source\"\nto = \"world:a\"\nqueue = 0", "queue"},
      {"from = \"world:source\"\nto = \"world:a\"\nheartbeat_s = 5", "deadband"},
      {"from = \"world:source\"\nto = { address = \"world:a\", heartbeat_s = 5 }", "deadband"},
      {"from = \"world:source\"\nto = { address = \"world:a\", verb = \"read\" }", "call"},
      {"from = \"world:source\"\nto = { adress = \"world:a\" }", "address"},
      {"from = \"world:source\"\nto = { address = \"world:a\", qos = 3 }", "qos"},
      {"from = \"world:source\"\nto = \"world:a\"\nconvert = \"float\"", "number"},
      {"from = \"world:source\"\nto = \"{path}:a\"", "no address"},
      {"from = \"world:source\"\nto = \"mqtt://{path}/a\"", "leaves open where it leads to"},
      {"from = \"world:source\"\nto = { address = \"world:a\", strip = \"x\" }",
       "with strip, an address with {path}"},
  };
  for (const Mistake& each : kMistakes) {
    const auto mistakes = mistakes_of(concat("[[routes]]\n", each.route, "\n"));
    ASSERT_EQ(mistakes.size(), 1u) << each.route << testing::PrintToString(mistakes);
    EXPECT_THAT(mistakes[0], testing::HasSubstr(each.told)) << each.route;
  }
}

TEST_F(RouteThroughTheKernel, HasNoEndpointsOfItsOwn) {
  start("[[routes]]\nname = \"r\"\nfrom = \"world:source\"\nto = \"world:a\"\n");
  EXPECT_EQ(kernel_->open("r:x").get().status().code(), BP_NOT_FOUND);
}

// ---- the way of a message ----

TEST_F(RouteThroughTheKernel, CarriesAMessageAndItsAcknowledgement) {
  start_and_watch("[[routes]]\nname = \"r\"\nfrom = \"world:source\"\nto = \"world:a\"\n");
  EXPECT_TRUE(world().source.wants_ack());
  ASSERT_TRUE(eventually([&] { return world().source.publish(21.5, 1); }));
  ASSERT_TRUE(eventually([&] { return world().source.acked().size() == 1; }));
  EXPECT_EQ(world().a.received()[0].as<double>().value(), 21.5);
  expect_metric(1, "route_out_total", "world:a");
  expect_balance("world:a");
  EXPECT_TRUE(eventually([&] { return instance("r").state == BP_STATE_UP; }))
      << instance("r").detail;
}

TEST_F(RouteThroughTheKernel, PutsThePathOfAMessageIntoTheAddress) {
  start_and_watch(R"([[routes]]
name = "r"
from = "world:source"
to = [
  { address = "world:plant/{path}/value", strip = "site/", verb = "call" },
]
dead_letter = "world:dead"
)");
  const auto publish = [&](int value, std::string_view path) {
    MessageBuilder message(value);
    message.seq(static_cast<uint64_t>(value)).header(BP_H_PATH, path);
    EXPECT_TRUE(world().source.publish(message));
  };
  publish(1, "site/x");
  publish(2, "site/y");
  publish(3, "site/z");
  publish(4, "site/x");
  expect_metric(3, "route_out_total", "world:plant/{path}/value");
  EXPECT_EQ(world().a.values(), (std::vector{1, 4}));
  EXPECT_EQ(world().b.values(), (std::vector{2}));
  ASSERT_TRUE(eventually([&] { return world().dead.count() == 1; }));
  EXPECT_THAT(text_of(world().dead.received()[0]),
              testing::HasSubstr(R"("to":"world:plant/z/value")"));
  expect_balance("world:plant/{path}/value");
  stop();
}

TEST_F(RouteThroughTheKernel, SelectsFromJsonScalesAndWritesJsonAndCbor) {
  start_and_watch(R"(
[[routes]]
from = "world:source"
to = [{ address = "world:a", encode = "json" }, { address = "world:b", encode = "cbor", convert = "integer" }]
select = "/sensors/1/t"
scale = 0.1
offset = 1
)");
  ASSERT_TRUE(world().source.publish(bytes(R"({"sensors": [{}, {"t": 215}]})"), 1));
  ASSERT_TRUE(eventually([&] { return world().source.acked().size() == 1; }));
  EXPECT_EQ(text_of(world().a.received()[0]), "22.5");
  EXPECT_EQ(world().a.received()[0].view().header<std::string>(BP_H_CONTENT_TYPE),
            "application/json");
  EXPECT_EQ(text_of(world().b.received()[0]), "\x17") << "23, rounded from 22.5";
  EXPECT_EQ(world().b.received()[0].body().aux, BP_FORMAT_CBOR);
}

TEST_F(RouteThroughTheKernel, BuriesWhatIsNoJson) {
  start_and_watch(R"(
[[routes]]
name = "r"
from = "world:source"
to = "world:a"
scale = 2
dead_letter = "world:dead"
)");
  ASSERT_TRUE(world().source.publish(bytes("{\"broken\""), 1));
  ASSERT_TRUE(world().source.publish(bytes("4"), 2));
  ASSERT_TRUE(eventually([&] { return world().source.acked().size() == 2; }));
  EXPECT_EQ(world().a.received()[0].as<double>().value(), 8);
  const auto record = nlohmann::json::parse(text_of(world().dead.received()[0]));
  EXPECT_EQ(record["route"], "r");
  EXPECT_EQ(record["reason"], "invalid");
  EXPECT_EQ(record["payload"], "{\"broken\"");
  // Counted when the acknowledgement is on its way: a moment later than that is seen.
  expect_metric(1, "route_stored_total", "world:a");
  expect_balance("world:a");
}

TEST_F(RouteThroughTheKernel, CallsWithTheHeadersOfItsConfiguration) {
  start_and_watch(R"(
[[routes]]
from = "world:source"
to = { address = "world:a", verb = "call", qos = 1, retain = true, method = "POST", constant = "tick", headers = { unit = "Cel", n = 5 } }
)");
  ASSERT_TRUE(world().source.publish(1, 1));
  ASSERT_TRUE(eventually([&] { return world().a.count() == 1; }));
  EXPECT_EQ(world().a.verbs()[0], BP_V_CALL);
  const OwnedMessage message = world().a.received()[0];
  EXPECT_EQ(message.as<std::string>().value(), "tick");
  EXPECT_EQ(message.view().header<int>(BP_H_QOS), 1);
  EXPECT_EQ(message.view().header<bool>(BP_H_RETAIN), true);
  EXPECT_EQ(message.view().header<std::string>(BP_H_METHOD), "POST");
  EXPECT_EQ(message.view().header<std::string>("unit"), "Cel");
  EXPECT_EQ(message.view().header<std::string>("n"), "5");
}

TEST_F(RouteThroughTheKernel, PassesThroughAnotherRouteAndEndsALoop) {
  start(R"(
[[routes]]
from = "world:source"
to = "world:pong"
[[routes]]
name = "back"
from = "world:ping"
to = "world:pong"
max_hops = 5
)");
  ASSERT_TRUE(eventually([&] { return world().source.is_watched() && world().ping.is_watched(); }));
  std::atomic<uint64_t> seq{0};
  world().pong.answer = [&](Op op) {  // what is written to pong comes out of ping
    MessageBuilder message(op.in().body());
    message.headers(op.in().headers()).seq(++seq);
    world().ping.publish(message);
    return Status::ok();
  };
  ASSERT_TRUE(world().source.publish(7, 1));
  // The first route, then `back` until it has passed five.
  ASSERT_TRUE(eventually([&] { return world().ping.acked().size() == 5; }));
  EXPECT_EQ(world().pong.count(), 5u);
  expect_metric(1, "route_dropped_total", "world:pong", "loop");
}

// ---- faults ----

TEST_F(RouteThroughTheKernel, WaitsForADestinationThatAppearsLater) {
  World::a_is_absent = true;
  start_and_watch(
      "[[routes]]\nname = \"r\"\nfrom = \"world:source\"\nto = \"world:a\"\nretry_max_s = 0.1\n");
  ASSERT_TRUE(world().source.publish(1, 1));
  ASSERT_TRUE(eventually([&] { return instance("r").state == BP_STATE_DEGRADED; }));
  EXPECT_THAT(instance("r").detail, testing::HasSubstr("no a yet"));
  World::a_is_absent = false;
  ASSERT_TRUE(eventually([&] { return world().source.acked().size() == 1; }));
  EXPECT_TRUE(eventually([&] { return instance("r").state == BP_STATE_UP; }));
}

TEST_F(RouteThroughTheKernel, LosesNothingWhileADestinationFailsAtRandomAndTheSourceEnds) {
  start_and_watch(R"(
[[routes]]
from = "world:source"
to = ["world:a", "world:b"]
retry_max_s = 0.1
in_flight = 4
queue = 16
)");
  // Shared, because the route writes until the kernel stops, after this body.
  const auto turn = std::make_shared<std::atomic<unsigned>>(0);
  const auto fail_often = [turn](Op) {
    return ++*turn % 17 == 0 ? Status(BP_UNAVAILABLE, "at random") : Status::ok();
  };
  world().a.answer = fail_often;
  world().b.answer = fail_often;
  constexpr uint64_t kMessages = 300;
  for (uint64_t i = 1; i <= kMessages; ++i) {
    ASSERT_TRUE(eventually([&] { return world().source.publish(static_cast<int64_t>(i), i); }))
        << i;
  }
  ASSERT_TRUE(eventually([&] { return world().source.acked().size() == kMessages; }, 60s));
  EXPECT_EQ(world().a.values().back(), static_cast<int>(kMessages));
  expect_metric(kMessages, "route_out_total", "world:b");
  expect_balance("world:a");
  expect_balance("world:b");
  const int watches = world().source.watches();
  world().source.end(Status(BP_UNAVAILABLE, "gone"));
  ASSERT_TRUE(eventually([&] { return world().source.watches() == watches + 1; }));
  EXPECT_TRUE(eventually([&] { return world().source.publish(0, kMessages + 1); }));
}

TEST_F(RouteThroughTheKernel, CarriesAllInOrderWhenSourceAndDestinationHaveThreadsOfTheirOwn) {
  start_and_watch(
      "[[routes]]\nfrom = \"world:source\"\nto = \"world:a\"\nqueue = 64\nin_flight = 8\n");
  world().a.keep_all();
  constexpr uint64_t kMessages = 5000;
  std::atomic<bool> done{false};
  std::thread acknowledging([&] {
    while (!done) {
      if (world().a.kept() == 0) {
        std::this_thread::yield();
      } else {
        world().a.complete(0, Status::ok());
      }
    }
  });
  for (uint64_t i = 1; i <= kMessages; ++i) {
    EXPECT_TRUE(eventually([&] { return world().source.publish(static_cast<int64_t>(i), i); }))
        << i;
  }
  EXPECT_TRUE(eventually([&] { return world().source.acked().size() == kMessages; }));
  done = true;
  acknowledging.join();
  const std::vector<int> values = world().a.values();
  ASSERT_EQ(values.size(), kMessages);
  EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
  expect_balance("world:a");
}

// ---- the end ----

TEST_F(RouteThroughTheKernel, FinishesWhatIsUnderWayWhenTheKernelStops) {
  start_and_watch("[[routes]]\nfrom = \"world:source\"\nto = \"world:a\"\nin_flight = 1\n");
  World& there = world();
  there.a.keep_all();
  for (uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(there.source.publish(static_cast<int64_t>(i), i));
  ASSERT_TRUE(eventually([&] { return there.a.kept() == 1; }));
  std::map<uint64_t, int> acked;
  std::thread acknowledging([&] {
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(eventually([&] { return there.a.kept() == 1; }));
      if (i == 2) acked = there.source.acked();
      there.a.complete(0, Status::ok());
    }
  });
  stop();
  acknowledging.join();
  EXPECT_EQ(acked.size(), 2u);
  EXPECT_EQ(metric("route_out_total", "world:a"), 3);
  EXPECT_EQ(metric("route_in_flight", "world:a"), 0);
}

TEST_F(RouteThroughTheKernel, LeavesToTheSourceWhatItCannotFinishInTime) {
  start(R"(
[system]
name = "t"
stop_timeout_s = 0.2
[[routes]]
name = "r"
from = "world:source"
to = "world:a"
)");
  ASSERT_TRUE(eventually([&] { return world().source.is_watched(); }));
  world().a.keep_all();
  for (uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(world().source.publish(static_cast<int64_t>(i), i));
  stop();
  EXPECT_EQ(metric("route_dropped_total", "world:a", "stopped"), 3);
  EXPECT_EQ(metric("route_in_flight", "world:a"), 0);
  expect_balance("world:a");
}

}  // namespace
}  // namespace backplane::test
