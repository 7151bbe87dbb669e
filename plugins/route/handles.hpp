// SPDX-License-Identifier: Apache-2.0
// Owners of what the host hands out.
#pragma once

#include <backplane/sdk/host.hpp>

namespace backplane::route {

/// An operation from op_new; given back by reset() or with this, when nothing pends. Stays where it
/// is, because the operation knows its parts.
class UniqueOp {
 public:
  /// Throws Error when memory is out. `user` and `error` are set for good.
  UniqueOp(const Host& host, void* user, bp_error& error, void (*done)(bp_op*))
      : host_(host), op_(host.services().endpoint.op_new(host.raw())) {
    if (op_ == nullptr) {
      throw Error(BP_RESOURCE_EXHAUSTED, "no memory for an operation");
    }
    op_->user = user;
    op_->error = &error;
    op_->done = done;
  }
  UniqueOp(const UniqueOp&) = delete;
  UniqueOp& operator=(const UniqueOp&) = delete;
  ~UniqueOp() { reset(); }

  void reset() noexcept {
    if (op_ != nullptr) {
      host_.services().endpoint.op_free(host_.raw(), std::exchange(op_, nullptr));
    }
  }
  operator bp_op*() const noexcept { return op_; }
  bp_op* operator->() const noexcept { return op_; }

 private:
  const Host& host_;
  bp_op* op_;
};

}  // namespace backplane::route
