// SPDX-License-Identifier: Apache-2.0
// A host that is killed: how soon its instance serves again, and what the reads of another host's
// instance see of it.
#include "bench.hpp"
#include "plugin_kernel.hpp"
#include "support/processes.hpp"

#include <atomic>
#include <csignal>
#include <random>
#include <stdexcept>
#include <thread>

namespace backplane::benchmark {
namespace {

constexpr int kKills = 40;
constexpr std::int64_t kQuiet = 500'000'000;
constexpr std::int64_t kPatience = 10'000'000'000;

// The reads of the other instance, one after the other, while `disturb` runs.
template <class Disturb>
std::vector<Metric> reads_while(const std::string& prefix, Endpoint& other, Disturb disturb) {
  std::atomic<bool> ending = false;
  std::vector<std::int64_t> latencies;
  std::thread reader([&] {
    while (!ending) {
      const std::int64_t start = now_ns();
      if (other.read<double>().get()) latencies.push_back(now_ns() - start);
    }
  });
  disturb();
  ending = true;
  reader.join();
  return percentiles(prefix, latencies);
}

class Victims {
 public:
  std::vector<Metric> measure() {
    auto all = reads_while("other_read", other_, [] {
      const std::int64_t end = now_ns() + kQuiet;
      while (now_ns() < end) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    });
    std::vector<std::int64_t> down;
    const auto disturbed = reads_while("other_read_under_kills", other_, [&] {
      for (int i = 0; i < kKills; ++i) down.push_back(kill_it());
    });
    all.insert(all.end(), disturbed.begin(), disturbed.end());
    const auto again = percentiles("serve_again", down);
    all.insert(all.end(), again.begin(), again.end());
    return all;
  }

 private:
  // The time from the kill until a read is answered.
  std::int64_t kill_it() {
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % 20'000));
    const pid_t host = test::host_of("killed");
    if (host == 0) throw std::runtime_error("nothing to kill");
    const std::int64_t start = now_ns();
    ::kill(host, SIGKILL);
    while (!killed_.read<double>().within(std::chrono::nanoseconds(kPatience)).get()) {
      if (now_ns() - start > kPatience) throw std::runtime_error("it serves no more");
    }
    return now_ns() - start;
  }

  Kernel kernel_ = started_kernel(R"(
[instances.killed]
plugin = "bench"
isolation = "process"
isolated.crash_limit = { crashes = 1000, seconds = 1 }
[instances.other]
plugin = "bench"
isolation = "process"
)");
  Endpoint killed_ = kernel_.open("killed:value").value();
  Endpoint other_ = kernel_.open("other:value").value();
  std::minstd_rand random_{1};
};

}  // namespace

Experiment host_kill_experiment() {
  Experiment experiment{"host", {}, {}};
  for (const char* prefix : {"other_read", "other_read_under_kills", "serve_again"}) {
    for (const char* percentile : {"_p50", "_p99", "_p999"})
      experiment.cases.push_back(std::string(prefix) + percentile);
  }
  experiment.prepare = [] {
    return std::vector<Side>{
        {"", [victims = std::make_shared<Victims>()] { return victims->measure(); }}};
  };
  return experiment;
}

}  // namespace backplane::benchmark
