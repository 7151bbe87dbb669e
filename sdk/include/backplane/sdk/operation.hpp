// SPDX-License-Identifier: Apache-2.0
// Op: an operation as an endpoint sees it: what was asked, and how it is answered.
#pragma once

#include "message.hpp"
#include <backplane/operation.h>

namespace backplane {

/// A pointer to a bp_op with manners; copied freely, owns nothing. Valid from submit until the
/// endpoint has returned a final status or called Host::complete.
class Op {
 public:
  Op() noexcept = default;
  Op(bp_op* op) noexcept : op_(op) {}
  operator bp_op*() const noexcept { return op_; }
  bp_op* operator->() const noexcept { return op_; }

  uint16_t verb() const noexcept { return op_->verb; }
  /// The request; stays valid until completion.
  MessageView in() const noexcept { return op_->in; }
  bool wants_ack() const noexcept { return (op_->flags & BP_OP_ACK) != 0; }
  bool is_duplex() const noexcept { return (op_->flags & BP_OP_DUPLEX) != 0; }

  /// Sets the answer and returns OK, for `return op.reply(21.5);`. A scalar goes by value, more is
  /// copied into the caller's scratch, or into a new buffer when that is too short or absent. A
  /// counted message is shared, not copied. A descriptor stays yours: the caller gets a duplicate.
  Status reply(ValueView body) const {
    return reply(MessageView(bp_message{body, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0}));
  }
  Status reply(MessageView message) const {
    if (message.raw().owner != nullptr) {
      return reply(OwnedMessage(message));
    }
    const detail::TreeSize size = detail::tree_size(message.raw());
    if (size.bytes > op_->scratch_len || size.descriptors > 0) {
      return reply(OwnedMessage(message));
    }
    op_->out = message.raw();
    detail::TreeCopy tree(static_cast<std::byte*>(op_->scratch));
    op_->out.body = tree.copy(message.body());
    op_->out.headers = message.headers().empty() ? nullptr : tree.pairs(message.headers()).data();
    return Status::ok();
  }
  Status reply(OwnedMessage message) const {
    op_->out = std::move(message).release();
    return Status::ok();
  }

 private:
  bp_op* op_ = nullptr;
};

}  // namespace backplane
