// SPDX-License-Identifier: Apache-2.0
// backplane-bench-channel LINK first|second NAME SIZE spin|sleep|lossless CORE: one of two
// processes. The second echoes what it gets, or sends as many as it is asked for; the first prints
// what that took, in ns: p50, p99, p999, and messages a second.
#include "message_link.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <map>
#include <sched.h>
#include <stdexcept>
#include <vector>

namespace {

using namespace backplane::benchmark;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMany = std::uint64_t{1} << 32U;  // and more: as many as are above it
constexpr auto kTime = std::chrono::milliseconds(400);    // for each figure
constexpr std::size_t kMost = 200'000;
constexpr int kAttempts = 100;  // to be connected

void pin(int core) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  sched_setaffinity(0, sizeof one, &one);
}

std::unique_ptr<MessageLink> made(const std::string& link, const LinkOptions& options) {
  const std::map<std::string, std::unique_ptr<MessageLink> (*)(const LinkOptions&)> links = {
      {"channel", channel_link},         {"spin", spin_link},
      {"request", request_link},         {"futex", futex_link},
      {"unix_socket", unix_socket_link},
#ifdef BP_BENCH_ICEORYX
      {"iceoryx", iceoryx_link},
#endif
  };
  return links.at(link)(options);
}

[[noreturn]] void answer(MessageLink& link) {
  for (;;) {
    const std::optional<std::uint64_t> number = link.receive();
    if (!number) continue;
    if (*number < kMany) {
      link.send(*number);
    } else {
      for (std::uint64_t i = 1; i <= *number - kMany; ++i) link.send(i);
    }
  }
}

std::uint64_t next(MessageLink& link) {
  for (int i = 0; i < kAttempts; ++i) {
    if (const std::optional<std::uint64_t> number = link.receive()) return *number;
  }
  throw std::runtime_error("no answer");
}

// Passes over what came late.
void expect(MessageLink& link, std::uint64_t number) {
  for (int i = 0; i < kAttempts; ++i) {
    if (next(link) == number) return;
  }
  throw std::runtime_error("another answer");
}

void connect(MessageLink& link) {
  for (int i = 0; i < kAttempts; ++i) {
    link.send(0);
    if (link.receive()) return;
  }
  throw std::runtime_error("nobody answers");
}

void measure_round_trips(MessageLink& link) {
  std::vector<std::int64_t> times;
  times.reserve(kMost);
  const Clock::time_point end = Clock::now() + kTime;
  Clock::time_point before = Clock::now();
  for (std::uint64_t i = 1; times.size() < kMost && before < end; ++i) {
    link.send(i);
    expect(link, i);
    const Clock::time_point now = Clock::now();
    times.push_back((now - before).count());
    before = now;
  }
  std::sort(times.begin(), times.end());
  const auto at = [&](double part) {
    return static_cast<long long>(
        times[static_cast<std::size_t>(part * static_cast<double>(times.size() - 1))]);
  };
  std::printf("%lld %lld %lld\n", at(0.5), at(0.99), at(0.999));
}

// All of them, in order: the first is the begin.
double rate_of(MessageLink& link, std::uint64_t n) {
  link.send(kMany + n);
  expect(link, 1);
  const Clock::time_point begin = Clock::now();
  for (std::uint64_t i = 2; i <= n; ++i) {
    if (next(link) != i) throw std::runtime_error("a message was lost");
  }
  return static_cast<double>(n - 1) / std::chrono::duration<double>(Clock::now() - begin).count();
}

void measure_rate(MessageLink& link) {
  const double estimate = rate_of(link, 1000);
  const double n = estimate * std::chrono::duration<double>(kTime).count();
  std::printf("%.0f\n", rate_of(link, static_cast<std::uint64_t>(std::clamp(n, 1000.0, 4e6))));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const std::string role = argv[2];
  const std::string how = argv[5];
  LinkOptions options;
  options.name = argv[3];
  options.is_first = role == "first";
  options.size = std::stoull(argv[4]);
  options.spins = how != "sleep";
  options.is_lossless = how == "lossless";
  pin(std::stoi(argv[6]));
  try {
    const std::unique_ptr<MessageLink> link = made(argv[1], options);
    if (!options.is_first) {
      std::puts("ready");
      std::fflush(stdout);
      answer(*link);
    }
    connect(*link);
    options.is_lossless ? measure_rate(*link) : measure_round_trips(*link);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "%s: %s\n", argv[1], problem.what());
    return 1;
  }
}
