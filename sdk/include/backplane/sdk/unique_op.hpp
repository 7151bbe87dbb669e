// SPDX-License-Identifier: Apache-2.0
// UniqueOp: an operation of one's own on somebody else's endpoint.
#pragma once

#include "buffer.hpp"
#include "host.hpp"

namespace backplane {

/// Taken from the host with its place for an error, used again and again, one use at a time; given
/// back by reset() or with this, when nothing pends. Stays where it is: the operation knows its
/// parts. Before each use set through `->` what is asked for:
///
///     op_->verb = BP_V_WRITE;
///     op_->target = target;
///     op_->in = &message_;
///     if (const bp_status status = op_.submit(); status != BP_PENDING) finished(status);
class UniqueOp {
 public:
  /// `done` runs for each use that was PENDING, on any thread, with `user` as the operation's
  /// `user`. `host` outlives it. Throws Error when memory is out.
  UniqueOp(const Host& host, void* user, void (*done)(bp_op*))
      : host_(host), op_(service().op_new(host.raw())) {
    if (op_ == nullptr) {
      throw Error(BP_RESOURCE_EXHAUSTED, "no memory for an operation");
    }
    op_->user = user;
    op_->error = &error_;
    op_->done = done;
  }
  UniqueOp(const UniqueOp&) = delete;
  UniqueOp& operator=(const UniqueOp&) = delete;
  ~UniqueOp() { reset(); }

  bp_op* operator->() const noexcept { return op_; }

  /// PENDING: `done` will run. Else this is the outcome.
  bp_status submit() noexcept {
    error_.code = BP_OK;
    return service().submit(host_.raw(), op_);
  }
  bp_status open(std::string_view address) noexcept {
    error_.code = BP_OK;
    return service().open(host_.raw(), to_str(address), nullptr, op_);
  }
  void cancel() noexcept { service().cancel(host_.raw(), op_); }
  void credit(uint32_t n) noexcept { service().credit(host_.raw(), op_, n); }
  void ack(uint64_t seq, bp_status status) noexcept {
    service().ack(host_.raw(), op_, seq, status);
  }

  /// The outcome with its text, of the code that submit(), open() or `done` told.
  Status status(bp_status code) const { return Status::from(code, error_); }
  const bp_error& error() const noexcept { return error_; }
  /// What keeps the answer's memory; it is the caller's now.
  Buffer take_owner() noexcept { return Buffer::adopt(std::exchange(op_->out.owner, nullptr)); }

  /// Gives the operation back for good.
  void reset() noexcept {
    if (op_ != nullptr) {
      service().op_free(host_.raw(), std::exchange(op_, nullptr));
    }
  }

 private:
  const bp_endpoint_service& service() const noexcept { return host_.services().endpoint; }

  const Host& host_;
  bp_error error_{};
  bp_op* op_;
};

}  // namespace backplane
