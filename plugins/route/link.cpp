// SPDX-License-Identifier: Apache-2.0
#include "link.hpp"

namespace backplane::route {

Link::Link(Core& core, std::string address, std::chrono::nanoseconds retry_max,
           std::function<void()> on_ready, bool has_reference)
    : core_(core),
      address_(std::move(address)),
      on_ready_(std::move(on_ready)),
      has_reference_(has_reference),
      op_(core.host, this,
          [](bp_op* op) {
            Link& self = *static_cast<Link*>(op->user);
            self.core_.inside([&self, op] { self.opened(op->status); });
          }),
      reconnect_(
          core.host, [this] { core_.inside([this] { attempt(); }); },
          Reconnect::Options{
              .longest = retry_max,
              .clock = [&core] { return core.now(); },
              .report = [this](uint32_t, std::string_view detail) { trouble_ = detail; }}) {}

void Link::open() {
  if (state_ == State::kNew) {
    state_ = State::kWaiting;
    reconnect_.start();
  }
}

void Link::attempt() {
  if (state_ != State::kWaiting) {
    return;
  }
  is_attempt_ = true;
  if (ref_ != 0 || !has_reference_) {
    core_.state_changed = true;
    state_ = State::kReady;
    on_ready_();
    return;
  }
  state_ = State::kOpening;
  if (const bp_status status = op_.open(address_); status != BP_PENDING) {
    opened(status);
  }
}

void Link::opened(bp_status status) {
  core_.state_changed = true;
  state_ = State::kReady;
  if (status == BP_OK) {
    ref_ = op_->out.body.as.u;
  }
  if (is_closing_) {
    close();
    return;
  }
  if (status != BP_OK) {
    failed(op_.status(status), true);
    return;
  }
  is_unproven_ = true;
  trouble_code_ = BP_OK;
  on_ready_();
}

void Link::succeeded() {
  is_unproven_ = false;
  if (std::exchange(is_attempt_, false)) {
    reconnect_.up("");
    core_.state_changed = core_.state_changed || trouble_code_ != BP_OK;
    trouble_code_ = BP_OK;
  }
}

void Link::failed(const Status& why, bool reopen) {
  if (reopen) {
    drop_reference();
  }
  if (state_ != State::kReady) {
    return;  // it waits already, or is closed
  }
  core_.state_changed = true;
  trouble_code_ = why.code();
  state_ = State::kWaiting;
  reconnect_.failed(why.to_string());
}

void Link::close() {
  is_closing_ = true;
  reconnect_.stop();
  if (state_ == State::kOpening) {
    op_.cancel();
    return;  // opened() sees to the rest
  }
  state_ = State::kClosed;
  drop_reference();
}

void Link::drop_reference() noexcept {
  if (ref_ != 0) {
    core_.host.services().endpoint.close(core_.host.raw(), std::exchange(ref_, 0));
  }
}

}  // namespace backplane::route
