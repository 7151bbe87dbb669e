// SPDX-License-Identifier: Apache-2.0
// Hosts that are killed at random instants, under load: what that costs the others, and what is
// lost.
#include "integration/isolation/fixture.hpp"
#include "support/broker.hpp"
#include "support/long_test.hpp"
#include "support/mqtt_peer.hpp"

#include <algorithm>
#include <csignal>
#include <random>
#include <thread>

namespace backplane::test {
namespace {

using Clock = std::chrono::steady_clock;

/// Reads as fast as it can, and keeps how long each took.
class Reader {
 public:
  explicit Reader(Endpoint endpoint) : endpoint_(std::move(endpoint)), thread_([this] { run(); }) {}
  ~Reader() {
    ending_ = true;
    thread_.join();
  }
  /// What was measured since the last time; in microseconds, sorted.
  std::vector<double> take() {
    const std::lock_guard lock(mutex_);
    std::sort(took_.begin(), took_.end());
    return std::exchange(took_, {});
  }
  int failed() const { return failed_; }

 private:
  void run() {
    while (!ending_) {
      const auto before = Clock::now();
      if (!endpoint_.read().within(10s).get()) {
        ++failed_;
      }
      const std::lock_guard lock(mutex_);
      took_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - before).count());
    }
  }
  const Endpoint endpoint_;
  std::mutex mutex_;
  std::vector<double> took_;  // guarded by mutex_
  std::atomic<int> failed_ = 0;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

/// Writes the numbers from 1 on, a thousand a second.
class Writer {
 public:
  explicit Writer(Endpoint endpoint) : endpoint_(std::move(endpoint)), thread_([this] { run(); }) {}
  ~Writer() { stop(); }
  /// What was accepted.
  std::set<std::string> stop() {
    ending_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
    return accepted_;
  }

 private:
  void run() {
    for (auto next = Clock::now(); !ending_; next += 1ms) {
      const int number = ++number_;
      if (endpoint_.write(number).within(10s).get().is_ok()) {
        accepted_.insert(std::to_string(number));
      }
      std::this_thread::sleep_until(next);
    }
  }
  const Endpoint endpoint_;
  int number_ = 0;
  std::set<std::string> accepted_;  // of the thread, while it runs
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double percentile(const std::vector<double>& sorted, size_t percent) {
  return sorted.empty() ? 0 : sorted[std::min(sorted.size() - 1, sorted.size() * percent / 100)];
}

class AKill : public IsolatedInstances {
 protected:
  static size_t rounds() { return is_long_test() ? 200 : 4; }

  /// Of a route, over its destinations.
  int64_t count(std::string_view route, std::string_view name) {
    int64_t sum = 0;
    for (const MetricInfo& each : kernel_->metrics()) {
      sum += each.instance == route && each.name == name ? each.value : 0;
    }
    return sum;
  }
  bool is_settled(std::string_view route) {
    return count(route, "route_in_total") == count(route, "route_out_total") +
                                                 count(route, "route_stored_total") +
                                                 count(route, "route_dropped_total");
  }
};

/// What the peer got of a topic.
std::set<std::string> received(MqttPeer& peer, std::string_view topic) {
  std::set<std::string> out;
  for (const auto& message : peer.messages()) {
    if (message.topic == topic) out.insert(message.payload);
  }
  return out;
}

TEST_F(AKill, AtARandomInstantUnderLoadTakesNothingFromTheOthers) {
  const Broker broker;
  const std::string cloud = concat("plugin = \"mqtt\"\nisolation = \"process\"\nurl = \"",
                                   broker.url(), "\"\nreconnect_min_s = 0.01\n");
  ASSERT_TRUE(start(concat(R"(
[instances.line]
plugin = "coap"
listen = "coap://127.0.0.1:0"
resources = [{ path = "/n", initial = 0 }]
[instances.fine]
plugin = "crashing"
isolation = "process"
[instances.other]
)",
                           cloud, "[instances.killed]\n", cloud,
                           "isolated.crash_limit = { crashes = 1000, seconds = 1 }\n", R"(
[[routes]]
name = "to_other"
from = "line:/n"
to = "other:other"
[[routes]]
name = "to_killed"
from = "line:/n"
to = "killed:killed"
retry_max_s = 0.1
)"))
                  .is_ok());
  MqttPeer peer(broker.port());
  peer.subscribe("#", 1);

  // The load: numbers through both routes, and reads of an instance in a host of its own.
  Writer writer(open("line:/n"));
  Reader reader(open("fine:fine"));
  ASSERT_TRUE(eventually([&] { return count("to_other", "route_out_total") > 500; })) << log();
  const auto quiet = reader.take();

  const Endpoint served = open("killed:served");
  std::minstd_rand random(1);
  std::vector<double> down;  // ms from a kill until the instance serves again
  for (size_t round = 0; round < rounds(); ++round) {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 50'000));
    pid_t host = 0;
    ASSERT_TRUE(eventually([&] { return (host = host_of("killed")) != 0; }));
    const auto killed_at = Clock::now();
    ASSERT_EQ(kill(host, SIGKILL), 0);
    ASSERT_TRUE(eventually([&] { return served.write("again").within(10s).get().is_ok(); }))
        << log() << waits_of(host_of("killed"));
    down.push_back(milliseconds(Clock::now() - killed_at));
  }

  const auto under_kills = reader.take();
  const std::set<std::string> numbers = writer.stop();
  for (const std::string route : {"to_other", "to_killed"}) {
    EXPECT_TRUE(eventually([&] { return is_settled(route); })) << route << "\n" << log();
    EXPECT_EQ(count(route, "route_dropped_total"), 0) << route;
    // The broker has them all; it may still be giving them to the peer.
    EXPECT_TRUE(eventually([&] {
      const std::set<std::string> got = received(peer, route.substr(3));
      return std::includes(got.begin(), got.end(), numbers.begin(), numbers.end());
    })) << route;
  }
  EXPECT_EQ(reader.failed(), 0);
  EXPECT_EQ(times_logged("killed: its process was ended by SIGKILL"), rounds()) << log();
  EXPECT_TRUE(kernel_->stop().is_ok());

  std::sort(down.begin(), down.end());
  std::printf(
      "kills: %zu under load of %zu messages; serves again in %.0f ms p50, %.0f ms p99; "
      "another host's read %.0f us p50, %.0f us p99 (%.0f and %.0f before)\n",
      rounds(), numbers.size(), percentile(down, 50), percentile(down, 99),
      percentile(under_kills, 50), percentile(under_kills, 99), percentile(quiet, 50),
      percentile(quiet, 99));
}

}  // namespace
}  // namespace backplane::test
