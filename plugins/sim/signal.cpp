// SPDX-License-Identifier: Apache-2.0
#include "signal.hpp"

#include <numbers>

namespace backplane::sim {
namespace {

Shape read_shape(std::string_view name) {
  return name == "sine" ? Shape::kSine : name == "ramp" ? Shape::kRamp : Shape::kRandomWalk;
}

/// FNV-1a: the same name gives the same walk on every machine.
uint64_t seed_of(std::string_view name) {
  uint64_t hash = 14'695'981'039'346'656'037u;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1'099'511'628'211u;
  }
  return hash;
}

}  // namespace

SignalOptions read_options(const Config& table) {
  SignalOptions out;
  out.to = table.find<std::string>("to").value_or("");
  out.name = table.find<std::string>("name").value_or(
      out.to.substr(out.to.find_last_of("/:") + 1));  // all of it when there is none
  if (out.name.empty()) {
    throw Error(BP_INVALID_ARGUMENT, "a signal needs a 'name', or a 'to' that does not end in '/'");
  }
  out.shape = read_shape(table.string("shape"));
  out.min = table.number("min");
  out.max = table.number("max");
  if (out.min > out.max) {
    throw Error(BP_INVALID_ARGUMENT, "signal '", out.name, "': 'min' (", out.min,
                ") is above 'max' (", out.max, ")");
  }
  out.period = table.seconds("period_s");
  out.interval = table.milliseconds("interval_ms");
  out.hold = table.seconds("hold_s");
  out.seed = table.integer<uint64_t>("seed");
  if (out.seed == 0) {
    out.seed = seed_of(out.name);
  }
  out.decimals = table.integer<int>("decimals");
  return out;
}

Signal::Signal(const SignalOptions& options)
    : options_(options),
      step_(static_cast<double>(options.interval.count()) /
            static_cast<double>(options.period.count())),
      value_((options.min + options.max) / 2),
      random_(options.seed) {}

double Signal::next() {
  const double range = options_.max - options_.min;
  if (!std::exchange(fresh_, false)) {
    phase_ += step_;
    phase_ -= std::floor(phase_);
    if (options_.shape == Shape::kRandomWalk) {
      // After a period's ticks the steps, equally likely up and down, have spread over the range.
      const double step = range * std::sqrt(3 * step_);
      value_ += step * (2 * std::generate_canonical<double, 53>(random_) - 1);
      // Mirrored at the bounds, so that it does not stick to them.
      value_ = value_ > options_.max   ? 2 * options_.max - value_
               : value_ < options_.min ? 2 * options_.min - value_
                                       : value_;
      value_ = std::clamp(value_, options_.min, options_.max);
    }
  }
  switch (options_.shape) {
    case Shape::kSine:
      return round(options_.min + range * (1 + std::sin(2 * std::numbers::pi * phase_)) / 2);
    case Shape::kRamp:
      return round(options_.min + range * phase_);
    case Shape::kRandomWalk:
      break;
  }
  return round(value_);
}

void Signal::go_on_from(double value) {
  const double range = options_.max - options_.min;
  value_ = std::clamp(value, options_.min, options_.max);
  const double share = range > 0 ? (value_ - options_.min) / range : 0;
  if (options_.shape == Shape::kSine) {
    phase_ = std::asin(2 * share - 1) / (2 * std::numbers::pi);
    phase_ -= std::floor(phase_);
  } else {
    phase_ = std::min(share, 1.0);
  }
}

double Signal::round(double value) const {
  const double scale = std::pow(10.0, options_.decimals);
  return std::clamp(std::round(value * scale) / scale, options_.min, options_.max);
}

}  // namespace backplane::sim
