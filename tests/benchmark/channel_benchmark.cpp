// SPDX-License-Identifier: Apache-2.0
// What does a message to another process and back take, and how many go one way in a second: by a
// channel, and as a request and its answer, beside iceoryx, and beside what the system gives? Both
// spin, or both sleep; the first 8 bytes are written and read.
#include "bench.hpp"
#include "support/child_process.hpp"

#include <memory>
#include <sched.h>
#include <sstream>
#include <stdexcept>
#include <sys/mman.h>

namespace backplane::benchmark {
namespace {

using namespace std::chrono_literals;
using test::ChildProcess;

struct Size {
  const char* name;
  std::uint64_t bytes;
};
constexpr Size kSizes[] = {{"16B", 16}, {"1KiB", 1024}, {"64KiB", 65536}, {"1MiB", 1048576}};

// Those that this process may use; the first and the last.
std::pair<int, int> two_cores() {
  cpu_set_t all;
  sched_getaffinity(0, sizeof all, &all);
  int first = -1;
  int last = -1;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &all)) continue;
    if (first < 0) first = core;
    last = core;
  }
  return {first, last};
}

// Both processes, for one figure. Who spins has a core; who sleep share one, so that no sleeping
// core has to be woken.
std::vector<double> run(const std::string& link, std::uint64_t size, const std::string& how) {
  const std::string name = "bp-bench-" + std::to_string(getpid());
  const auto [first_core, last_core] = two_cores();
  const auto process = [&](const char* role, int core) {
    return std::vector<std::string>{
        BP_BENCH_CHANNEL, link, role, name, std::to_string(size), how, std::to_string(core)};
  };
  shm_unlink(("/" + name).c_str());
  ChildProcess second(process("second", last_core));
  // A socket is there when somebody listens, which is before "ready".
  if (link != "unix_socket" && !second.wait_for_output("ready")) {
    throw std::runtime_error(link + ": " + second.err());
  }
  ChildProcess first(process("first", how == "sleep" ? last_core : first_core));
  if (first.wait(30s) != 0) throw std::runtime_error(link + ": " + first.err());
  second.signal(SIGKILL);
  second.wait();
  shm_unlink(("/" + name).c_str());
  std::vector<double> figures;
  std::istringstream out(first.out());
  for (double each = 0; out >> each;) figures.push_back(each);
  return figures;
}

std::vector<std::string> cases_of(const std::string& prefix, bool is_rate) {
  if (is_rate) return {prefix + "_rate"};
  return {prefix + "_p50", prefix + "_p99", prefix + "_p999"};
}

Experiment experiment(const std::string& subject, const Size& size, const std::string& how,
                      const std::vector<std::string>& baselines) {
  const bool is_rate = how == "lossless";
  const std::string prefix =
      is_rate ? std::string("one_way_") + size.name
              : (subject == "request" ? "call_" : "round_trip_") + how + "_" + size.name;
  const std::vector<std::string> cases = cases_of(prefix, is_rate);
  const auto prepare = [=] {
    std::shared_ptr<ChildProcess> daemon;
#ifdef BP_BENCH_ICEORYX
    daemon = std::make_shared<ChildProcess>(std::vector<std::string>{BP_BENCH_ROUDI});
    if (!daemon->wait_for_output("RouDi is ready")) throw std::runtime_error(daemon->err());
#endif
    const auto side = [=](const std::string& link) {
      const auto measure = [=, keep = daemon] {
        static_cast<void>(keep);
        std::vector<Metric> out;
        const std::vector<double> figures = run(link, size.bytes, how);
        for (std::size_t i = 0; i < cases.size(); ++i) out.push_back({cases[i], figures.at(i), {}});
        return out;
      };
      return Side{link == subject ? "" : link, measure};
    };
    std::vector<Side> sides{side(subject)};
    for (const std::string& each : baselines) sides.push_back(side(each));
    return sides;
  };
  return {subject, cases, prepare};
}

}  // namespace

std::vector<Experiment> channel_experiments() {
  std::vector<Experiment> out;
  const auto with_iceoryx = [](std::vector<std::string> baselines) {
#ifdef BP_BENCH_ICEORYX
    baselines.emplace_back("iceoryx");
#endif
    return baselines;
  };
  const bool has_two = two_cores().first != two_cores().second;
  for (const Size& size : kSizes) {
    if (has_two) out.push_back(experiment("channel", size, "spin", with_iceoryx({"spin"})));
    out.push_back(experiment("channel", size, "sleep", with_iceoryx({"futex", "unix_socket"})));
    if (has_two)
      out.push_back(experiment("channel", size, "lossless", with_iceoryx({"unix_socket"})));
  }
  for (const Size& size : {kSizes[0], kSizes[1]}) {
    if (has_two) out.push_back(experiment("request", size, "spin", {"spin", "channel"}));
    out.push_back(experiment("request", size, "sleep", {"futex", "unix_socket", "channel"}));
  }
  return out;
}

}  // namespace backplane::benchmark
