// SPDX-License-Identifier: Apache-2.0
#include "source.hpp"

namespace backplane::route {

Source::Source(Core& core, const SourceOptions& options, std::chrono::nanoseconds retry_max,
               std::function<void(MessageView, uint64_t)> taken)
    : core_(core),
      asked_(options.asked),
      taken_(std::move(taken)),
      lost_(core.host.counter("route_source_lost_total")),
      op_(core.host, this,
          [](bp_op* op) {
            Source& self = *static_cast<Source*>(op->user);
            self.core_.inside([&self, op] { self.ended(op->status); });
          }),
      link_(core, options.address, retry_max, [this] { watch(); }) {
  op_->verb = BP_V_WATCH;
  op_->sink = &kSink;
  op_->in = &asked_.view().raw();
}

void Source::watch() {
  if (is_stopping_) {
    return;
  }
  ++watch_;
  credit_ = room_.value_or(0);
  op_->target = link_.ref();
  const uint32_t can = core_.host.services().endpoint.verbs(core_.host.raw(), link_.ref());
  acknowledges_ = (can & BP_CAN_ACK) != 0;
  op_->flags = acknowledges_ ? BP_OP_ACK : 0;
  op_->credit =
      room_ ? static_cast<uint32_t>(std::min<uint64_t>(credit_, UINT32_MAX - 1)) : UINT32_MAX;
  is_watching_ = true;
  core_.state_changed = true;
  const bp_status status = op_.submit();
  if (status == BP_PENDING) {
    link_.succeeded();
  } else {
    is_watching_ = false;
    ended(status);
  }
}

void Source::ended(bp_status status) {
  if (std::exchange(is_watching_, false) && !is_stopping_) {
    lost_.add();
  }
  core_.state_changed = true;
  static_cast<void>(op_.take_owner());
  if (is_stopping_) {
    return;
  }
  Status why = op_.status(status);
  if (why.is_ok()) {
    why = Status(BP_UNAVAILABLE, "the stream ended");
  }
  link_.failed(why, true);
}

bp_status Source::next(bp_op* op, const bp_message* messages, uint32_t n) noexcept {
  Source& self = *static_cast<Source*>(op->user);
  const std::span batch(messages, n);
  self.core_.inside([&] { self.take(batch); },
                    [&]() -> std::function<void()> {
                      std::vector<OwnedMessage> kept;
                      for (const bp_message& message : batch) {
                        kept.emplace_back(MessageView(message));
                      }
                      return [&self, kept = std::move(kept)] {
                        for (const OwnedMessage& message : kept) {
                          self.take({&message.view().raw(), 1});
                        }
                      };
                    });
  return BP_OK;
}

void Source::take(std::span<const bp_message> messages) {
  for (const bp_message& message : messages) {
    credit_ -= std::min<uint64_t>(credit_, 1);
    taken_(message, watch_);
  }
}

void Source::settle(uint64_t watch, uint64_t seq) {
  if (is_watching_ && acknowledges_ && watch == watch_) {
    op_.ack(seq, BP_OK);
  }
}

void Source::set_room(std::optional<uint64_t> room) {
  room_ = room;
  // Not for each message: when half of the room has been used.
  if (is_watching_ && room_ && credit_ <= *room_ / 2 && credit_ < *room_) {
    const auto more = static_cast<uint32_t>(std::min<uint64_t>(*room_ - credit_, UINT32_MAX - 1));
    credit_ += more;
    op_.credit(more);
  }
}

void Source::stop() {
  if (!std::exchange(is_stopping_, true) && is_watching_) {
    op_.cancel();
  }
}

}  // namespace backplane::route
