// SPDX-License-Identifier: Apache-2.0
// One route: a source, its destinations, and between them the items, until all have done with each.
#pragma once

#include "destination.hpp"
#include "source.hpp"

namespace backplane::route {

class Route {
 public:
  /// `clock` is monotonic. Opens nothing yet.
  Route(const Host& host, RouteOptions options, Core::Clock clock = &monotonic_ns);

  // ---- the life of an instance: [control] ----
  void start();
  /// PENDING; completes when nothing is under way any more, and the source is not watched.
  Status drain(Op op);
  /// PENDING; completes when nothing pends and all references are closed.
  Status stop(Op op);
  /// [any]
  void cancel(Op op) noexcept;

  // ---- for tests, while nothing runs ----
  const Destination& destination(size_t i) const { return *destinations_[i]; }

 private:
  enum class Phase : uint8_t { kRunning, kDraining, kStopping, kClosing, kClosed };

  void take(MessageView message, uint64_t watch);
  void done(Item& item, bool is_accepted);
  void end_turn();
  std::optional<uint64_t> room() const;
  void continue_drain();
  void continue_stop();
  void report();

  const RouteOptions options_;
  Core core_;
  ItemPool items_;
  std::unique_ptr<DeadLetter> dead_letter_;
  std::vector<std::unique_ptr<Destination>> destinations_;
  std::unique_ptr<Source> source_;
  bool needs_clock_ = false;  // of every message
  Phase phase_ = Phase::kRunning;
  size_t largest_ = 0;  // item seen, in bytes
  bp_op* drain_op_ = nullptr;
  bp_op* stop_op_ = nullptr;
  uint32_t reported_ = BP_STATE_IDLE;
  std::string reported_detail_;
};

}  // namespace backplane::route
