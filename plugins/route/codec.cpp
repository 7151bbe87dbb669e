// SPDX-License-Identifier: Apache-2.0
#include "codec.hpp"

#include "refusal.hpp"
#include <backplane/sdk/message.hpp>

namespace backplane::route {

Codec::Codec(Core& core, std::chrono::nanoseconds retry_max)
    : core_(core), retry_max_(retry_max), op_(core.host, this, [](bp_op* op) {
        Codec& self = *static_cast<Codec*>(op->user);
        self.core_.inside([&self, op] { self.completed(op->status); });
      }) {
  op_->verb = BP_V_CALL;
  op_->in = &message_;
}

Link& Codec::link(Direction direction, uint16_t format) {
  const bool is_json = format == BP_FORMAT_JSON;
  const bool is_decode = direction == Direction::kDecode;
  std::unique_ptr<Link>& link = links_[(is_json ? 0 : 2) + (is_decode ? 0 : 1)];
  if (!link) {
    link = std::make_unique<Link>(
        core_, concat("format://", is_json ? "json" : "cbor", is_decode ? "/decode" : "/encode"),
        retry_max_, [this] { submit(); });
  }
  return *link;
}

void Codec::call(Direction direction, uint16_t format, ValueView value, Answer answer) {
  message_ = {value, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0};
  answer_ = std::move(answer);
  current_ = &link(direction, format);
  current_->open();
  submit();
}

void Codec::submit() {
  if (current_ == nullptr || pends_ || !current_->is_ready() || is_stopping_) {
    return;
  }
  op_->target = current_->ref();
  pends_ = true;
  const bp_status status = op_.submit();
  if (status != BP_PENDING) {
    completed(status);
  }
}

void Codec::completed(bp_status status) {
  pends_ = false;
  OwnedMessage out = OwnedMessage::take(op_->out);
  op_->out.owner = nullptr;
  const Status outcome = op_.status(status);
  if (is_stopping_) {
    answer(Status(BP_CANCELLED));
    return;
  }
  // A codec works on the value alone: what it refuses it will always refuse, RESOURCE_EXHAUSTED
  // included.
  const Verdict verdict = judge(status, op_.error());
  const bool is_gone = (verdict == Verdict::kStale && !current_->is_unproven()) ||
                       status == BP_UNAVAILABLE || status == BP_CANCELLED;
  if (is_gone) {
    current_->failed(outcome, true);
    return;
  }
  current_->succeeded();
  answer(status == BP_OK ? Result<OwnedMessage>(std::move(out)) : Result<OwnedMessage>(outcome));
}

void Codec::answer(Result<OwnedMessage> result) {
  current_ = nullptr;
  // The answer may be the next call.
  std::exchange(answer_, nullptr)(std::move(result));
}

void Codec::stop() {
  is_stopping_ = true;
  if (pends_) {
    op_.cancel();
  } else if (current_ != nullptr) {
    answer(Status(BP_CANCELLED));
  }
}

void Codec::close() {
  for (const auto& link : links_) {
    if (link) {
      link->close();
    }
  }
}

void Codec::release() noexcept {
  op_.reset();
  for (const auto& link : links_) {
    if (link) {
      link->release();
    }
  }
}

bool Codec::is_idle() const noexcept {
  if (pends_) {
    return false;
  }
  for (const auto& link : links_) {
    if (link && !link->is_idle()) {
      return false;
    }
  }
  return true;
}

const Link* Codec::awaited() const noexcept {
  return current_ != nullptr && !current_->is_ready() ? current_ : nullptr;
}

}  // namespace backplane::route
