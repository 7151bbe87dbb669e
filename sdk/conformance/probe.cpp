// SPDX-License-Identifier: Apache-2.0
#include "probe.hpp"

#include <time.h>

namespace backplane::conformance {

Probe::Probe(const Host& host, uint16_t verb, bp_ref target, uint16_t flags)
    : host_(host), op_(service().op_new(host.raw())) {
  require(op_ != nullptr, "no memory for an operation");
  op_->verb = verb;
  op_->flags = flags;
  op_->target = target;
  op_->error = &error_;
  static constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, &Probe::next};
  op_->sink = &kSink;
  op_->credit = UINT32_MAX;
  op_->user = this;
  op_->done = &Probe::done;
}

Probe::~Probe() {
  release_result();
  service().op_free(host_.raw(), op_);
}

void Probe::EndOrLeak::operator()(Probe* probe) const noexcept {
  if (!probe->has_ended()) {
    probe->cancel();
  }
  if (probe->ends_within(patience())) {
    delete probe;
  }
}

void Probe::release_result() noexcept {
  if (bp_buffer* owner = std::exchange(op_->out.owner, nullptr)) {
    owner->ops->release(owner);
  }
}

void Probe::send(MessageView message) {
  in_ = OwnedMessage(message);
  op_->in = &in_.view().raw();
}

void Probe::deadline_in(std::chrono::nanoseconds time) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  op_->deadline_ns = now.tv_sec * 1'000'000'000 + now.tv_nsec + time.count();
}

bp_status Probe::submit() {
  release_result();
  {
    const std::lock_guard lock(mutex_);
    ended_ = false;
    error_ = {};
  }
  const bp_status status = service().submit(host_.raw(), op_);
  const std::lock_guard lock(mutex_);
  if (status == BP_PENDING) {
    ++pended_;
  } else {
    ended_ = true;
    status_ = status;
  }
  return status;
}

bool Probe::has_ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

bool Probe::ends_within(std::chrono::nanoseconds time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [&] { return ended_; });
}

Status Probe::outcome() {
  require(ends_within(patience()), "an operation does not end");
  const std::lock_guard lock(mutex_);
  require(wrong_.empty(), wrong_);
  return Status::from(status_, error_);
}

size_t Probe::count() const {
  const std::lock_guard lock(mutex_);
  return messages_.size();
}

std::vector<OwnedMessage> Probe::messages() const {
  const std::lock_guard lock(mutex_);
  return messages_;
}

bool Probe::has_messages(size_t n, std::chrono::nanoseconds time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [&] { return messages_.size() >= n; });
}

bp_status Probe::next(bp_op* op, const bp_message* messages, uint32_t n) {
  Probe& self = of(op);
  {
    const std::lock_guard lock(self.mutex_);
    if (self.ended_) {
      self.wrong_ = "a message comes after the end";
    }
    if (std::exchange(self.delivering_, true)) {
      self.wrong_ = "two deliveries to one operation at once";
    }
  }
  Status status;
  for (uint32_t i = 0; i < n && !status.is_error(); ++i) {
    {
      const std::lock_guard lock(self.mutex_);
      self.messages_.emplace_back(MessageView(messages[i]));
      self.changed_.notify_all();
    }
    if (self.on_message_) {
      status = self.on_message_(self, messages[i]);
    }
  }
  const std::lock_guard lock(self.mutex_);
  self.delivering_ = false;
  return status.code();
}

void Probe::done(bp_op* op) {
  Probe& self = of(op);
  ++self.completions_;
  if (self.on_done_) {
    self.on_done_(self);
  }
  const std::lock_guard lock(self.mutex_);
  if (std::exchange(self.ended_, true)) {
    self.wrong_ = "an operation completes twice";
  }
  self.status_ = op->status;
  self.changed_.notify_all();
}

}  // namespace backplane::conformance
