// SPDX-License-Identifier: Apache-2.0
// backplane-bench: runs the experiments that a pattern names and prints a row for each figure and
// baseline.
#include "bench.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <regex>

namespace backplane::benchmark {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// All repetitions of one figure of one side.
struct Series {
  std::vector<double> values;
  std::vector<double> allocations;
};
using SideResult = std::map<std::string, Series>;

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void add(SideResult& result, const std::vector<Metric>& metrics) {
  for (const Metric& metric : metrics) {
    Series& series = result[metric.name];
    series.values.push_back(metric.value);
    if (metric.allocations_per_op) series.allocations.push_back(*metric.allocations_per_op);
  }
}

nlohmann::ordered_json row(const std::string& name, const std::string& figure, const Series& series,
                           const std::string& baseline, const Series* baseline_series) {
  const bool rate = ends_with(figure, "_rate");
  const bool bytes = ends_with(figure, "_bytes");
  const double value = median(series.values);
  nlohmann::ordered_json out;
  out["name"] = name;
  out["case"] = figure;
  out["value"] = value;
  out["unit"] = rate ? "1/s" : bytes ? "B" : "ns";
  out["better"] = rate ? "higher" : "lower";
  out["baseline"] = nullptr;
  out["baseline_value"] = nullptr;
  out["ratio"] = nullptr;
  if (baseline_series != nullptr) {
    const double baseline_value = median(baseline_series->values);
    out["baseline"] = baseline;
    out["baseline_value"] = baseline_value;
    if (baseline_value != 0) out["ratio"] = value / baseline_value;
  }
  out["allocations_per_op"] = nullptr;
  if (!series.allocations.empty()) out["allocations_per_op"] = median(series.allocations);
  out["repetitions"] = series.values.size();
  return out;
}

void print_table_row(const nlohmann::ordered_json& out) {
  const auto number = [](const nlohmann::ordered_json& value) {
    if (value.is_null()) return std::string("-");
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value.get<double>());
    return std::string(text);
  };
  std::printf("%-16s %-32s %12s %-4s %-18s %12s %8s %8s\n", out["name"].get<std::string>().c_str(),
              out["case"].get<std::string>().c_str(), number(out["value"]).c_str(),
              out["unit"].get<std::string>().c_str(),
              out["baseline"].is_null() ? "-" : out["baseline"].get<std::string>().c_str(),
              number(out["baseline_value"]).c_str(), number(out["ratio"]).c_str(),
              number(out["allocations_per_op"]).c_str());
}

void run(const Experiment& experiment, const std::regex& filter, bool json) {
  const auto wanted = [&](const std::string& figure) {
    return std::regex_search(experiment.name + "/" + figure, filter);
  };
  if (std::none_of(experiment.cases.begin(), experiment.cases.end(), wanted)) return;
  std::vector<std::string> names;
  std::vector<SideResult> results;
  for (int preparation = 0; preparation < experiment.preparations; ++preparation) {
    const std::vector<Side> sides = experiment.prepare();
    results.resize(sides.size());
    names.clear();
    for (const Side& side : sides) {
      names.push_back(side.name);
      side.measure();  // warm: caches, connections, lazily bound symbols
    }
    for (int repetition = 0; repetition < experiment.repetitions; ++repetition) {
      for (std::size_t i = 0; i < sides.size(); ++i) add(results[i], sides[i].measure());
    }
  }
  for (const auto& [figure, series] : results[0]) {
    if (!wanted(figure)) continue;
    bool compared = false;
    const auto print = [&](const nlohmann::ordered_json& out) {
      if (json) {
        std::cout << out.dump() << std::endl;
      } else {
        print_table_row(out);
      }
    };
    for (std::size_t i = 1; i < names.size(); ++i) {
      const auto baseline = results[i].find(figure);
      if (baseline == results[i].end()) continue;
      print(row(experiment.name, figure, series, names[i], &baseline->second));
      compared = true;
    }
    if (!compared) print(row(experiment.name, figure, series, "", nullptr));
  }
}

}  // namespace

std::vector<Metric> percentiles(const std::string& prefix,
                                std::vector<std::int64_t>& latencies_ns) {
  std::sort(latencies_ns.begin(), latencies_ns.end());
  const auto at = [&](double share) {
    const auto index =
        static_cast<std::size_t>(share * static_cast<double>(latencies_ns.size() - 1));
    return static_cast<double>(latencies_ns[index]);
  };
  return {{prefix + "_p50", at(0.5), {}},
          {prefix + "_p99", at(0.99), {}},
          {prefix + "_p999", at(0.999), {}}};
}

std::int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace backplane::benchmark

int main(int argc, char** argv) {
  using namespace backplane::benchmark;
  CLI::App app("Measures Backplane beside the raw library or system call that does the same work.");
  bool json = false;
  std::string filter;
  app.add_flag("--json", json, "one JSON object a line");
  app.add_option("--filter", filter, "a regular expression, searched in name/case");
  CLI11_PARSE(app, argc, argv);
  try {
    const std::regex pattern(filter);
    if (!json) {
      std::printf("%-16s %-32s %12s %-4s %-18s %12s %8s %8s\n", "name", "case", "value", "unit",
                  "baseline", "its value", "ratio", "allocs");
    }
    for (const auto& part : {
             dispatch_experiments,
             coap_experiments,
             mqtt_experiments,
#ifdef BP_BENCH_OPCUA
             opcua_experiments,
#endif
             route_experiments,
             host_experiments,
             shared_memory_experiments,
             channel_experiments,
             startup_experiments,
         }) {
      for (const Experiment& experiment : part()) run(experiment, pattern, json);
    }
  } catch (const std::exception& error) {
    std::cerr << "backplane-bench: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
