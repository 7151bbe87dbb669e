// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/link/served.hpp"

#include <backplane/sdk/boundary.hpp>

namespace backplane::isolation {
namespace {

uint32_t add(uint32_t credit, uint32_t n) noexcept {
  return n > UINT32_MAX - credit ? UINT32_MAX : credit + n;
}

}  // namespace

Served::Served(std::shared_ptr<Peer> peer, uint64_t number_of_it)
    : number(number_of_it),
      peer_(std::move(peer)),
      op_(peer_->service().op_new(peer_->host_.raw())) {
  if (op_ == nullptr) {
    throw std::bad_alloc();
  }
  op_->user = this;
  op_->error = &error_;
  op_->done = &on_done;
  op_->sink = &kSink;
  op_->scratch = scratch_.data();
  op_->scratch_len = scratch_.size();
  peer_->serving_.fetch_add(1, std::memory_order_acq_rel);
}

Served::~Served() {
  peer_->service().op_free(peer_->host_.raw(), op_);
  for (const bp_ref ref : refs_) {
    peer_->close(ref);
  }
  in_.memory = Buffer();
  peer_->served_ended();
}

void Served::set_message(wire::Message::Reader in, Incoming& with) {
  in_ = read(in, with);
  refs_ = with.keep();
  op_->in = &in_.message;
}

void Served::submit(bp_ref target) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (early_cancel_) {
      return refuse(BP_CANCELLED, nullptr);
    }
    op_->credit = add(op_->credit, std::exchange(early_credit_, 0));
  }
  const std::shared_ptr<Served> alive = self_ = shared_from_this();
  op_->target = target;
  const bp_status status = peer_->service().submit(peer_->host_.raw(), op_);
  if (status != BP_PENDING) {
    return finish(status);
  }
  begin();
}

/// From here on the kernel knows it: what came too early follows.
void Served::begin() noexcept {
  bool cancelled = false;
  uint32_t credit = 0;
  {
    const std::lock_guard lock(mutex_);
    begun_ = true;
    cancelled = early_cancel_;
    credit = early_credit_;
  }
  if (credit != 0) {
    peer_->service().credit(peer_->host_.raw(), op_, credit);
  }
  if (cancelled) {
    peer_->service().cancel(peer_->host_.raw(), op_);
  }
}

void Served::credit(uint32_t n) noexcept {
  if (op_->sink == nullptr) {
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    if (!begun_) {
      early_credit_ = add(early_credit_, n);
      return;
    }
  }
  peer_->service().credit(peer_->host_.raw(), op_, n);
}

void Served::acknowledge(uint64_t seq, bp_status status) noexcept {
  const bool wanted = op_->verb == BP_V_WATCH && (op_->flags & BP_OP_ACK) != 0;
  if (wanted && delivered_ && status <= 0) {
    peer_->service().ack(peer_->host_.raw(), op_, seq, status);
  }
}

void Served::cancel() noexcept {
  {
    const std::lock_guard lock(mutex_);
    early_cancel_ = true;
    if (!begun_) {
      return;
    }
  }
  peer_->service().cancel(peer_->host_.raw(), op_);
}

void Served::open(std::string_view address) noexcept {
  const std::shared_ptr<Served> alive = self_ = shared_from_this();
  op_->done = &on_opened;
  op_->sink = nullptr;
  const bp_status status = peer_->service().open(peer_->host_.raw(), to_str(address), op_->in, op_);
  if (status != BP_PENDING) {
    return on_opened(op_);
  }
  begin();
}

void Served::refuse(bp_status status, const bp_error* error) noexcept {
  peer_->forget(number);
  peer_->answer_failure(number, status, error);
}

void Served::on_done(bp_op* op) { of(op).finish(op->status); }

void Served::on_opened(bp_op* op) {
  Served& served = of(op);
  const std::shared_ptr<Served> self = std::move(served.self_);
  served.peer_->forget(served.number);
  served.peer_->opened(served, op->status);
}

bp_status Served::on_next(bp_op* op, const bp_message* messages, uint32_t n) {
  Served& served = of(op);
  served.delivered_ = true;
  return boundary(nullptr, [&] { served.deliver({messages, n}); });
}

void Served::deliver(std::span<const bp_message> messages) {
  size_t words = 64;
  for (const bp_message& message : messages) {
    words += words_for(message);
  }
  if (words > kMostFrameBytes / sizeof(Word) - 64 && messages.size() > 1) {
    const size_t half = messages.size() / 2;
    deliver(messages.first(half));
    return deliver(messages.subspan(half));
  }
  FrameBuilder frame(words);
  Outgoing with(*peer_);
  auto deliver = frame.root().initDeliver();
  deliver.setOp(number);
  auto list = deliver.initMessages(static_cast<unsigned>(messages.size()));
  for (unsigned i = 0; i < list.size(); ++i) {
    write(list[i], messages[i], with);
  }
  peer_->channel_->send(frame.message(), with.descriptors());
  with.sent();
}

void Served::finish(bp_status status) noexcept {
  const std::shared_ptr<Served> self = std::move(self_);
  // Before the answer: the other side may ask with its number no more, but cancels cross.
  peer_->forget(number);
  bp_error failure{};
  const bp_status failed = boundary(&failure, [&] { answer(status); });
  if (failed < 0) {
    peer_->answer_failure(number, failed, &failure);
  }
  // A two-way stream is owned by who asked for it: by the other side, once it was shown.
  if ((op_->flags & BP_OP_DUPLEX) != 0 && status == BP_OK && op_->out.body.tag == BP_T_REF) {
    peer_->close(op_->out.body.as.u);
  }
  if (bp_buffer* const owner = std::exchange(op_->out.owner, nullptr); owner != nullptr) {
    owner->ops->release(owner);
  }
}

void Served::answer(bp_status status) {
  FrameBuilder frame(words_for(op_->out) + 64);
  Outgoing with(*peer_);
  auto complete = frame.root().initComplete();
  complete.setOp(number);
  write_failure(complete, status, &error_);
  write(complete.initMessage(), op_->out, with);
  peer_->channel_->send(frame.message(), with.descriptors());
  with.sent();
}

}  // namespace backplane::isolation
