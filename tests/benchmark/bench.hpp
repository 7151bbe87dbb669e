// SPDX-License-Identifier: Apache-2.0
// Experiments: the subject and its baselines, measured in turn in one run, and the rows they print.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace backplane::benchmark {

// One figure of one repetition.
struct Metric {
  std::string name;  // the case: ends in _p50 _p99 _p999 or _ns (in ns), or in _rate (in 1/s)
  double value = 0;
  std::optional<double> allocations_per_op;
};

using Measure = std::function<std::vector<Metric>()>;  // one repetition, all its figures

struct Side {
  std::string name;  // a baseline's name; of the subject: empty
  Measure measure;
};

// The subject first. What the measures capture is made by `prepare` and lives as long as they do.
struct Experiment {
  std::string name;                // dispatch, mqtt, coap, route, startup ...
  std::vector<std::string> cases;  // the figures that its sides give, for the filter
  std::function<std::vector<Side>()> prepare;
  int repetitions = 5;
  // So often all is made anew, other processes too: how each happens to lie in memory, and so in
  // the processor's caches, makes some faster than others for as long as they live.
  int preparations = 1;
};

// Each file of benchmarks defines one of these.
std::vector<Experiment> dispatch_experiments();
std::vector<Experiment> channel_experiments();
std::vector<Experiment> coap_experiments();
std::vector<Experiment> mqtt_experiments();
std::vector<Experiment> opcua_experiments();
std::vector<Experiment> route_experiments();
std::vector<Experiment> host_experiments();
Experiment host_kill_experiment();  // one of them
std::vector<Experiment> shared_memory_experiments();
std::vector<Experiment> startup_experiments();

// Percentiles of latencies in ns, which are sorted here: <prefix>_p50, _p99, _p999.
std::vector<Metric> percentiles(const std::string& prefix, std::vector<std::int64_t>& latencies_ns);

// Calls of malloc, calloc, realloc and aligned_alloc by this thread so far.
std::uint64_t allocations() noexcept;

std::int64_t now_ns() noexcept;

}  // namespace backplane::benchmark
