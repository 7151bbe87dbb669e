// SPDX-License-Identifier: Apache-2.0
// Signal: a deterministic sequence of numbers, one a tick. It knows no clock: tick n is at n times
// the interval.
#pragma once

#include <backplane/sdk/config.hpp>

#include <random>

namespace backplane::sim {

enum class Shape : uint8_t { kSine, kRamp, kRandomWalk };

struct SignalOptions {
  std::string name;
  std::string to;  // an address; empty: only read and watched here
  Shape shape = Shape::kSine;
  double min = 0;
  double max = 100;
  std::chrono::nanoseconds period{};
  std::chrono::nanoseconds interval{};
  std::chrono::nanoseconds hold{};
  uint64_t seed = 0;
  int decimals = 3;
};

/// From a table of `signals`. Throws Error when min is above max, or neither name nor target is
/// given. Without a name the last part of the target is it: "temperature" of
/// "sensors:/line1/temperature".
SignalOptions read_options(const Config& table);

/// Not thread-safe.
class Signal {
 public:
  explicit Signal(const SignalOptions& options);

  /// The value of the next tick: within min and max, rounded to the decimals. A sine begins in the
  /// middle and rises; a ramp goes from min to max, then begins again; a random walk begins in the
  /// middle and would cross its range about once a period.
  double next();
  /// The sequence goes on from this value (a sine rising), cut to min and max.
  void go_on_from(double value);

 private:
  double round(double value) const;

  const SignalOptions options_;
  const double step_;  // of the phase, in periods a tick
  double phase_ = 0;   // of sine and ramp, in [0, 1)
  double value_;       // of the random walk
  bool fresh_ = true;  // the next tick shows the state as it is
  std::mt19937_64 random_;
};

}  // namespace backplane::sim
