// SPDX-License-Identifier: Apache-2.0
#include "route.hpp"

#include <algorithm>

namespace backplane::route {

namespace {

/// The credit of a source that blocks, until a message has shown how large they are.
constexpr uint64_t kFirstCredit = 8;

bool is_for_good(bp_status status) noexcept {
  return status == BP_INVALID_ARGUMENT || status == BP_PERMISSION_DENIED ||
         status == BP_UNIMPLEMENTED || status == BP_UNAUTHENTICATED;
}

}  // namespace

Route::Route(const Host& host, RouteOptions options, Core::Clock clock)
    : options_(std::move(options)), core_(host, std::move(clock)) {
  core_.at_end = [this] { end_turn(); };
  if (!options_.dead_letter.empty()) {
    dead_letter_ = std::make_unique<DeadLetter>(
        core_, options_,
        [](Delivery& delivery, const Status& why) { delivery.destination.buried(delivery, why); });
  }
  for (const DestinationOptions& each : options_.to) {
    destinations_.push_back(std::make_unique<Destination>(
        core_, options_, each, dead_letter_.get(),
        [this](Item& item, bool is_accepted) { done(item, is_accepted); }));
    needs_clock_ = needs_clock_ || each.expiry.count() > 0;
  }
  source_ = std::make_unique<Source>(
      core_, options_.from, options_.retry_max,
      [this](MessageView message, uint64_t watch) { take(message, watch); });
}

void Route::start() {
  core_.inside([this] {
    for (const auto& destination : destinations_) {
      destination->open();
    }
    if (dead_letter_) {
      dead_letter_->open();
    }
    source_->set_room(room());
    source_->open();
  });
}

// ---- a message ----

void Route::take(MessageView message, uint64_t watch) {
  const bool is_empty = message.body().is_null() && (message.is_last() || message.is_initial());
  if (is_empty) {
    source_->settle(watch, message.seq());
    return;
  }
  if (phase_ != Phase::kRunning) {
    if (!source_->acknowledges()) {  // else the source still has it
      for (const auto& destination : destinations_) {
        destination->refuse(Reason::kStopped);
      }
    }
    return;
  }
  if (message.is_redelivered() && source_->acknowledges() && items_.has(watch, message.seq())) {
    return;
  }
  Item* item = nullptr;
  try {
    item = &items_.take(message);
  } catch (const Error& error) {
    core_.complain("message dropped: it cannot be kept", options_.from.address, error.status());
    for (const auto& destination : destinations_) {
      destination->refuse(Reason::kInvalid);
    }
    source_->settle(watch, message.seq());
    return;
  }
  item->watch = watch;
  item->destinations = destinations_.size();
  if (needs_clock_ || item->expiry_ns != 0) {
    item->arrived_ns = core_.now();
  }
  largest_ = std::max(largest_, item->bytes);
  for (const auto& destination : destinations_) {
    destination->offer(*item);
  }
}

void Route::done(Item& item, bool is_accepted) {
  item.is_accepted = item.is_accepted && is_accepted;
  if (--item.destinations != 0) {
    return;
  }
  if (item.is_accepted) {
    source_->settle(item.watch, item.message.view().seq());
  }
  items_.give_back(item);
}

std::optional<uint64_t> Route::room() const {
  std::optional<uint64_t> least;
  for (const auto& destination : destinations_) {
    if (!destination->queue().limits_source()) {
      continue;
    }
    const uint64_t here = largest_ == 0
                              ? std::min<uint64_t>(kFirstCredit, destination->queue().capacity())
                              : destination->queue().room(largest_);
    least = least ? std::min(*least, here) : here;
  }
  return least;
}

void Route::end_turn() {
  for (const auto& destination : destinations_) {
    destination->end_turn();
  }
  if (phase_ == Phase::kRunning) {
    source_->set_room(room());
  }
  if (drain_op_ != nullptr) {
    continue_drain();
  }
  if (stop_op_ != nullptr) {
    continue_stop();
  }
  if (std::exchange(core_.state_changed, false) && phase_ == Phase::kRunning) {
    report();
  }
}

// ---- the end ----

/// When all that was taken is acknowledged, the watch ends: what the source has beyond that waits
/// for nobody.
void Route::continue_drain() {
  if (std::all_of(destinations_.begin(), destinations_.end(),
                  [](const auto& each) { return each->tally().in_flight == 0; })) {
    source_->stop();
  }
  if (source_->has_stopped()) {
    core_.finished = std::exchange(drain_op_, nullptr);
  }
}

Status Route::drain(Op op) {
  core_.inside([this, op] {
    phase_ = Phase::kDraining;
    drain_op_ = op;
  });
  return Status::pending();
}

void Route::cancel(Op op) noexcept {
  core_.inside([this, op] {
    if (drain_op_ == op) {
      source_->stop();
    }
  });
}

Status Route::stop(Op op) {
  core_.inside([this, op] {
    phase_ = Phase::kStopping;
    stop_op_ = op;
    for (const auto& destination : destinations_) {
      destination->stop();
    }
    if (dead_letter_) {
      dead_letter_->stop();
    }
  });
  return Status::pending();
}

/// First the destinations, so that what they still acknowledge is acknowledged at the source; then
/// the source; then the references.
void Route::continue_stop() {
  const auto all = [this](auto holds) {
    return std::all_of(destinations_.begin(), destinations_.end(),
                       [&](const auto& each) { return holds(*each); });
  };
  if (phase_ == Phase::kStopping &&
      all([](const Destination& each) { return each.is_at_rest(); })) {
    phase_ = Phase::kClosing;
    source_->stop();
  }
  if (phase_ == Phase::kClosing && source_->has_stopped()) {
    phase_ = Phase::kClosed;
    source_->close();
    for (const auto& destination : destinations_) {
      destination->close();
    }
    if (dead_letter_) {
      dead_letter_->close();
    }
  }
  const bool is_closed = phase_ == Phase::kClosed && source_->is_closed() &&
                         all([](const Destination& each) { return each.is_closed(); }) &&
                         (!dead_letter_ || dead_letter_->link().is_idle());
  if (is_closed) {
    source_->release();
    for (const auto& destination : destinations_) {
      destination->release();
    }
    if (dead_letter_) {
      dead_letter_->release();
    }
    core_.finished = std::exchange(stop_op_, nullptr);
  }
}

// ---- the state ----

void Route::report() {
  uint32_t state = BP_STATE_UP;
  std::string detail;
  const auto tell = [&](std::string_view what, const Link& link) {
    if (!detail.empty()) {
      detail += "; ";
    }
    detail += concat(what, " ", link.address(), ": ");
    detail += link.trouble();
  };
  for (const auto& destination : destinations_) {
    if (const Link* missing = destination->missing()) {
      state = BP_STATE_DEGRADED;
      tell("destination", *missing);
    }
  }
  if (dead_letter_ && !dead_letter_->link().is_ready()) {
    state = BP_STATE_DEGRADED;
    tell("dead letter", dead_letter_->link());
  }
  if (!source_->is_watching()) {
    state = is_for_good(source_->link().trouble_code()) ? BP_STATE_DOWN : BP_STATE_CONNECTING;
    tell("source", source_->link());
  }
  if (detail.empty()) {
    detail = concat("watching ", options_.from.address,
                    source_->acknowledges() ? "" : ", without acknowledgement");
  }
  if (state != reported_ || detail != reported_detail_) {
    core_.host.report(state, detail);
    reported_ = state;
    reported_detail_ = std::move(detail);
  }
}

}  // namespace backplane::route
