// SPDX-License-Identifier: Apache-2.0
#include "accounting.hpp"

#include <numeric>

namespace backplane::route {

std::string_view reason_name(Reason reason) noexcept {
  static constexpr std::array<std::string_view, kReasons> kNames = {
      "deadband", "overflow", "latest", "loop", "invalid", "nacked", "expired", "stopped"};
  return kNames[static_cast<size_t>(reason)];
}

uint64_t Tally::dropped_in_all() const noexcept {
  return std::accumulate(dropped.begin(), dropped.end(), uint64_t{0});
}

TallyMetrics::TallyMetrics(const Host& host, std::string_view destination)
    : in_(host.counter("route_in_total", {{"destination", destination}})),
      out_(host.counter("route_out_total", {{"destination", destination}})),
      stored_(host.counter("route_stored_total", {{"destination", destination}})),
      in_flight_(host.gauge("route_in_flight", {{"destination", destination}})) {
  for (size_t i = 0; i < kReasons; ++i) {
    dropped_[i] = host.counter(
        "route_dropped_total",
        {{"destination", destination}, {"reason", reason_name(static_cast<Reason>(i))}});
  }
}

void TallyMetrics::show(const Tally& tally) noexcept {
  const auto add = [](const Counter& counter, uint64_t now, uint64_t& before) {
    if (now != before) {
      counter.add(now - before);
      before = now;
    }
  };
  add(in_, tally.in, shown_.in);
  add(out_, tally.out, shown_.out);
  add(stored_, tally.stored, shown_.stored);
  for (size_t i = 0; i < kReasons; ++i) {
    add(dropped_[i], tally.dropped[i], shown_.dropped[i]);
  }
  if (tally.in_flight != shown_.in_flight) {
    in_flight_.set(static_cast<int64_t>(tally.in_flight));
    shown_.in_flight = tally.in_flight;
  }
}

}  // namespace backplane::route
