// SPDX-License-Identifier: Apache-2.0
// Design notes. Everything that begins, begins in tick(), on the loop; completions only note their
// outcome under the lock, so that a target that answers inline does not lead into another call.
// Nothing is called while the lock is held. stop() runs on the loop too, so that what it cancels
// has begun.
#include "driver.hpp"

namespace backplane::sim {
namespace {
constexpr std::chrono::seconds kWriteTimeout(10);

HubOptions hub_options() {
  HubOptions out;
  out.replay_last = true;
  return out;
}
}  // namespace

Driver::Driver(const Host& host, InFlight& in_flight, const SignalOptions& options,
               std::function<void()> changed, Clock clock)
    : host_(host),
      options_(options),
      changed_(std::move(changed)),
      clock_(std::move(clock)),
      writes_(host.counter("writes_total", {{"signal", options.name}})),
      failures_(host.counter("write_failures_total", {{"signal", options.name}})),
      skipped_(host.counter("ticks_skipped_total", {{"signal", options.name}})),
      holds_(host.counter("holds_total", {{"signal", options.name}})),
      hub_(host, hub_options()),
      state_(Signal(options)),
      open_(host, in_flight,
            [this](const Status& status, const bp_message& out) { opened(status, out); }),
      write_(host, in_flight, [this](const Status& status, const bp_message&) { written(status); }),
      watch_(
          host, in_flight, [this](const Status& status, const bp_message&) { watch_ended(status); },
          [this](MessageView message) { told(message); }),
      timer_(host, [this] { tick(); }) {}

Driver::~Driver() {
  if (const bp_ref target = state_.lock()->target; target != 0) {
    host_.services().endpoint.close(host_.raw(), target);
  }
}

void Driver::start() {
  state_.lock()->next_tick = clock_();
  tick();
}

void Driver::drain() {
  state_.lock()->ended = true;
  timer_.cancel();
  open_.cancel();
  watch_.cancel();
}

void Driver::stop() {
  drain();
  write_.cancel();
}

Status Driver::status() { return state_.lock()->status; }

std::optional<bp_value> Driver::last() {
  auto state = state_.lock();
  return state->has_value ? std::optional(state->value.body) : std::nullopt;
}

void Driver::tick() {
  const int64_t now = clock_();
  bool held = false;
  bool open = false;
  {
    auto state = state_.lock();
    if (state->ended) {
      return;
    }
    // On the grid of the interval; ticks that were missed are not made up for.
    const int64_t interval = options_.interval.count();
    state->next_tick += interval * std::max<int64_t>(1, (now - state->next_tick) / interval + 1);
    held = now < state->held_until;
    open = !options_.to.empty() && state->target == 0;
    if (!held && state->outside) {
      state->signal.go_on_from(*std::exchange(state->outside, std::nullopt));
    }
  }
  arm();
  if (open) {
    open_.open(options_.to);
  } else if (write_.busy()) {
    skipped_.add();
  } else {
    watch_target();
    if (!held) {
      write_next();
    }
  }
}

void Driver::opened(const Status& status, const bp_message& out) {
  if (status.is_error()) {
    settle(Status(status).with_context("open '", options_.to, "'"));
    return;
  }
  {
    auto state = state_.lock();
    state->target = out.body.as.u;
    state->next_tick = clock_();
  }
  arm();
}

void Driver::watch_target() {
  bp_ref target = 0;
  {
    auto state = state_.lock();
    target = state->watchable ? state->target : 0;
  }
  if (target != 0) {
    watch_.start(BP_V_WATCH, target, nullptr);
  }
}

void Driver::watch_ended(const Status& status) {
  const bool never = status.code() == BP_UNIMPLEMENTED || status.code() == BP_PERMISSION_DENIED;
  if (never) {
    state_.lock()->watchable = false;
    host_.log().info("cannot watch the target: an outside write will not be held",
                     {{"target", options_.to}, {"reason", status.message()}});
  }
}

void Driver::write_next() {
  const bp_message* message = nullptr;
  bp_ref target = 0;
  {
    auto state = state_.lock();
    const double value = state->signal.next();
    state->echoes.wrote(value);
    state->value.body = options_.decimals == 0 ? ValueView(std::llround(value)) : ValueView(value);
    state->has_value = true;
    message = &state->value;  // changes only when no write is under way
    target = state->target;
  }
  hub_.publish(*message);
  if (target == 0) {
    settle(Status::ok());
    return;
  }
  write_.start(BP_V_WRITE, target, message,
               monotonic_ns() + std::chrono::nanoseconds(kWriteTimeout).count());
}

void Driver::written(const Status& status) {
  if (status.is_error()) {
    failures_.add();
    settle(Status(status).with_context("write '", options_.to, "'"));
    if (status.code() == BP_FAILED_PRECONDITION) {  // closed: the next tick opens it again
      const bp_ref stale = std::exchange(state_.lock()->target, 0);
      host_.services().endpoint.close(host_.raw(), stale);
    }
    return;
  }
  writes_.add();
  settle(Status::ok());
}

void Driver::told(MessageView message) {
  if (message.is_initial()) {
    return;
  }
  const auto number = to_number(message.body());
  bool begins = false;
  {
    auto state = state_.lock();
    if (number && state->echoes.is_own(*number)) {
      return;
    }
    const int64_t now = clock_();
    begins = now >= state->held_until;
    state->held_until = now + options_.hold.count();
    if (number) {
      state->outside = number;
    }
  }
  if (begins) {
    holds_.add();
    host_.log().info("somebody else has written: silent for a while",
                     {{"target", options_.to}, {"value", message.body().to_text(64)}});
  }
}

void Driver::settle(const Status& status) {
  {
    auto state = state_.lock();
    const bool same =
        state->status.code() == status.code() && state->status.message() == status.message();
    state->status = status;
    if (same) {
      return;
    }
  }
  changed_();
}

void Driver::arm() {
  const int64_t next = state_.lock()->next_tick;
  if (const Status status = timer_.at(next); status.is_error()) {
    settle(Status(status).with_context("the next tick cannot be set"));
  }
}

}  // namespace backplane::sim
