// SPDX-License-Identifier: Apache-2.0
// Where every message of a destination is: in = out + stored + dropped + in flight, at any moment.
// The reasons for which one may be dropped are all here.
#pragma once

#include <backplane/sdk/host.hpp>

#include <array>

namespace backplane::route {

enum class Reason : uint8_t {
  kDeadband,  // it did not differ enough from the last one
  kOverflow,  // the queue was full, policy drop_oldest or latest
  kLatest,    // a newer one took its place, policy latest
  kLoop,      // it had passed too many routes
  kInvalid,   // a step failed
  kNacked,    // the destination refused it for good
  kExpired,   // it was not worth delivering any more
  kStopped,   // the route stopped first; the source was not told that it is done
};
inline constexpr size_t kReasons = 8;
std::string_view reason_name(Reason reason) noexcept;

/// Plain numbers. One thread at a time.
struct Tally {
  uint64_t in = 0;
  uint64_t out = 0;
  uint64_t stored = 0;
  std::array<uint64_t, kReasons> dropped{};
  uint64_t in_flight = 0;

  void arrive() noexcept { ++in, ++in_flight; }
  void deliver() noexcept { ++out, --in_flight; }
  void store() noexcept { ++stored, --in_flight; }
  void drop(Reason reason) noexcept { ++dropped[static_cast<size_t>(reason)], --in_flight; }

  uint64_t dropped_in_all() const noexcept;
  bool is_balanced() const noexcept { return in == out + stored + dropped_in_all() + in_flight; }
};

/// Shows a Tally as metrics: arrivals before they are sent, the rest what changed at a time.
class TallyMetrics {
 public:
  TallyMetrics(const Host& host, std::string_view destination);
  /// At once: who has seen a message at the destination finds it counted.
  void arrive() noexcept { in_.add(), ++shown_.in; }
  void show(const Tally& tally) noexcept;

 private:
  Tally shown_;
  Counter in_;
  Counter out_;
  Counter stored_;
  std::array<Counter, kReasons> dropped_;
  Gauge in_flight_;
};

}  // namespace backplane::route
