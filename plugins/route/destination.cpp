// SPDX-License-Identifier: Apache-2.0
#include "destination.hpp"

#include "outbound.hpp"
#include "refusal.hpp"

namespace backplane::route {

Destination::Destination(Core& core, const RouteOptions& route, const DestinationOptions& options,
                         DeadLetter* dead_letter, std::function<void(Item&, bool)> done)
    : core_(core),
      route_(route),
      options_(options),
      dead_letter_(dead_letter),
      done_(std::move(done)),
      metrics_(core.host, options.address),
      queue_(options.queue),
      deadband_(options.steps.deadband, options.steps.heartbeat),
      window_(options.in_flight),
      codec_(core, route.retry_max),
      link_(
          core, options.address, route.retry_max, [this] { advance(); },
          !Targets::has_placeholder(options.address)) {
  if (Targets::has_placeholder(options.address)) {
    targets_.emplace(core.host, options.address, options.strip);
  }
  add_delivery();
}

void Destination::offer(Item& item) {
  tally_.arrive();
  metrics_.arrive();
  queue_.push(item, [this](Item& other, Reason reason) { drop(other, reason); });
  advance();
}

void Destination::refuse(Reason reason) noexcept {
  tally_.arrive();
  tally_.drop(reason);
}

size_t Destination::held() const noexcept {
  const auto is_unsettled = [](const Delivery* each) { return each->state != State::kSettled; };
  return queue_.size() +
         static_cast<size_t>(std::count_if(window_.begin(), window_.end(), is_unsettled));
}

const Link* Destination::missing() const noexcept {
  return link_.is_in_trouble() ? &link_ : codec_.awaited();
}

// ---- the window ----

void Destination::advance() {
  if (std::exchange(is_advancing_, true)) {
    return;  // the loop below will see what changed
  }
  for (;;) {
    if (resend_ && pending_ == 0 && link_.is_ready() && !is_stopping_) {
      resend();
    }
    retire();
    if (!can_take()) {
      break;
    }
    prepare(new_delivery(*queue_.pop()));
  }
  is_advancing_ = false;
}

bool Destination::can_take() {
  return can_send() && !preparing_ && !window_.full() && queue_.size() != 0 && has_delivery();
}

bool Destination::has_delivery() {
  if (free_.empty()) {
    try {
      add_delivery();
    } catch (const Error&) {
      return false;  // there is one, and it is under way: the message waits for it
    }
  }
  return true;
}

void Destination::add_delivery() {
  deliveries_.push_back(std::make_unique<Delivery>(core_.host, *this, [](bp_op* op) {
    Delivery& delivery = *static_cast<Delivery*>(op->user);
    Destination& self = delivery.destination;
    self.core_.inside([&self, &delivery] { self.operation_completed(delivery); });
  }));
  free_.push_back(deliveries_.back().get());
}

Delivery& Destination::new_delivery(Item& item) {
  Delivery& delivery = *free_.back();
  free_.pop_back();
  delivery.item = &item;
  delivery.state = State::kPreparing;
  window_.push_back(&delivery);
  return delivery;
}

void Destination::operation_completed(Delivery& delivery) {
  if (delivery.state == State::kBurying) {
    dead_letter_->completed(delivery, delivery.op->status);
  } else if (delivery.state == State::kOpening) {
    opened(delivery, delivery.op->status);
  } else {
    completed(delivery, delivery.op->status);
  }
  advance();
}

void Destination::retire() {
  while (!window_.empty()) {
    Delivery& delivery = *window_.front();
    if (delivery.state == State::kDone) {
      tally_.deliver();
      delivery.state = State::kSettled;
      done_(*std::exchange(delivery.item, nullptr), true);
    }
    if (delivery.state != State::kSettled) {
      return;
    }
    delivery.decoded = OwnedMessage();
    delivery.encoded = OwnedMessage();
    if (delivery.target != nullptr) {
      --std::exchange(delivery.target, nullptr)->deliveries;
    }
    free_.push_back(&delivery);
    window_.pop_front();
  }
}

void Destination::resend() {
  resend_ = false;
  bool is_behind = false;
  for (Delivery* const delivery : window_) {
    is_behind = is_behind || delivery->state == State::kRetry || delivery->state == State::kReady;
    if (is_behind && delivery->state == State::kDone) {
      delivery->state = State::kReady;  // once more, so that the newest is the last
    }
  }
  for (Delivery* const delivery : window_) {
    if (delivery->state != State::kRetry && delivery->state != State::kReady) {
      continue;
    }
    if (is_expired(*delivery->item)) {
      settle(*delivery, Reason::kExpired);
    } else {
      send(*delivery);
    }
    resend_ = resend_ || is_opening_;  // what is behind it waits, too
    if (resend_) {
      return;
    }
  }
}

// ---- the steps ----

void Destination::prepare(Delivery& delivery) {
  const MessageView message = delivery.item->message;
  const uint8_t tag = message.body().tag;
  if (is_expired(*delivery.item)) {
    settle(delivery, Reason::kExpired);
  } else if (delivery.item->hops >= route_.max_hops) {
    fail(delivery, Reason::kLoop,
         Status(BP_ABORTED, "it has passed ", delivery.item->hops, " routes; max_hops is ",
                route_.max_hops));
  } else if (tag == BP_T_REF || tag == BP_T_FD) {
    fail(delivery, Reason::kInvalid,
         Status(BP_INVALID_ARGUMENT, "a ", message.body().type_name(), " cannot be kept"));
  } else if (const Status found = find_target(delivery); found.is_error()) {
    fail(delivery, Reason::kInvalid, found);
  } else if (const auto beginning = begin(options_.steps, message); !beginning) {
    fail(delivery, Reason::kInvalid, beginning.status());
  } else if (beginning->verbatim) {
    delivery.value = message.body();
    delivery.keeps_body = true;
    ready(delivery);
  } else if (beginning->decode != 0) {
    call_codec(delivery, Codec::Direction::kDecode, beginning->decode, message.body());
  } else {
    use_value(delivery, beginning->value);
  }
}

void Destination::use_value(Delivery& delivery, ValueView value) {
  auto result = transform(options_.steps, value, delivery.text);
  if (!result) {
    fail(delivery, Reason::kInvalid, result.status());
  } else if (!deadband_.passes(*result, deadband_.needs_clock() ? core_.now() : 0,
                               delivery.item->path())) {
    settle(delivery, Reason::kDeadband);
  } else {
    encode(delivery, *result);
  }
}

void Destination::encode(Delivery& delivery, ValueView value) {
  delivery.keeps_body = false;
  delivery.content_type = {};
  if (options_.steps.encode == Encode::kText) {
    auto text = to_string_value(value, delivery.text);
    if (!text) {
      fail(delivery, Reason::kInvalid, text.status());
      return;
    }
    delivery.content_type = "text/plain";
    value = *text;
  } else if (const uint16_t format = encode_format(options_.steps); format != 0) {
    call_codec(delivery, Codec::Direction::kEncode, format, value);
    return;
  }
  delivery.value = value;
  ready(delivery);
}

void Destination::call_codec(Delivery& delivery, Codec::Direction direction, uint16_t format,
                             ValueView value) {
  preparing_ = true;
  codec_.call(direction, format, value, [this, &delivery, direction](Result<OwnedMessage> result) {
    codec_answered(delivery, direction, std::move(result));
  });
}

void Destination::codec_answered(Delivery& delivery, Codec::Direction direction,
                                 Result<OwnedMessage> result) {
  preparing_ = false;
  if (is_stopping_) {
    settle(delivery, Reason::kStopped, false);
  } else if (!result) {
    const bool is_decode = direction == Codec::Direction::kDecode;
    fail(delivery, Reason::kInvalid,
         Status(result.status()).with_context(is_decode ? "decode" : "encode"));
  } else if (direction == Codec::Direction::kDecode) {
    delivery.decoded = *std::move(result);
    use_value(delivery, delivery.decoded.body());
  } else {
    delivery.encoded = *std::move(result);
    delivery.value = delivery.encoded.body();
    delivery.content_type = media_type(encode_format(options_.steps));
    ready(delivery);
  }
  advance();
}

void Destination::ready(Delivery& delivery) {
  const Item& item = *delivery.item;
  HeaderSources sources{item.message,          options_.headers, delivery.keeps_body,
                        delivery.content_type, std::nullopt,     item.hops + 1};
  if (item.expiry_ns != 0) {
    sources.expiry_ns = std::max<int64_t>(0, item.arrived_ns + item.expiry_ns - core_.now());
  }
  if (delivery.keeps_body) {
    sources.content_type = {};
  }
  compose_headers(sources, delivery.headers);
  // No owner: it would have to own the headers too. Whoever keeps the message copies it.
  delivery.message = {delivery.value,
                      delivery.headers.data(),
                      static_cast<uint32_t>(delivery.headers.size()),
                      0,
                      nullptr,
                      item.message.view().raw().time_ns,
                      0,
                      0};
  send_in_turn(delivery);
}

// ---- sending ----

Status Destination::find_target(Delivery& delivery) {
  if (!targets_) {
    return Status::ok();
  }
  const auto target = targets_->at(delivery.item->path());
  if (!target) {
    return target.status();
  }
  delivery.target = *target;
  ++delivery.target->deliveries;
  return Status::ok();
}

std::string_view Destination::address(const Delivery& delivery) const noexcept {
  return delivery.target != nullptr ? delivery.target->address : options_.address;
}

void Destination::open_target(Delivery& delivery) {
  delivery.op->deadline_ns = expires_ns(*delivery.item);
  delivery.state = State::kOpening;
  is_opening_ = true;
  ++pending_;
  const bp_status status = delivery.op.open(delivery.target->address);
  if (status != BP_PENDING) {
    opened(delivery, status);
  }
}

void Destination::opened(Delivery& delivery, bp_status status) {
  is_opening_ = false;
  --pending_;
  if (status == BP_OK) {
    delivery.target->ref = delivery.op->out.body.as.u;
    delivery.target->is_unproven = true;
  }
  if (is_stopping_) {
    settle(delivery, Reason::kStopped, false);
    return;
  }
  if (status != BP_OK) {
    const Status why = delivery.op.status(status);
    if (judge(status, delivery.op.error()) == Verdict::kRetry) {
      delivery.state = State::kRetry;
      resend_ = true;
      link_.failed(why, false);
    } else {
      link_.succeeded();  // it is there, and says no
      fail(delivery, Reason::kNacked, why);
    }
    return;
  }
  send_in_turn(delivery);
}

void Destination::send_in_turn(Delivery& delivery) {
  delivery.state = State::kReady;
  if (can_send()) {
    send(delivery);
  } else {
    resend_ = true;
  }
}

void Destination::send(Delivery& delivery) {
  if (delivery.target != nullptr && delivery.target->ref == 0) {
    open_target(delivery);
    return;
  }
  UniqueOp& op = delivery.op;
  op->verb = options_.verb;
  op->target = delivery.target != nullptr ? delivery.target->ref : link_.ref();
  op->in = &delivery.message;
  op->deadline_ns = expires_ns(*delivery.item);
  delivery.state = State::kSent;
  ++pending_;
  const bp_status status = op.submit();
  if (status != BP_PENDING) {
    completed(delivery, status);
  }
}

void Destination::completed(Delivery& delivery, bp_status status) {
  --pending_;
  static_cast<void>(delivery.op.take_owner());
  Verdict verdict = judge(status, delivery.op.error());
  if (verdict == Verdict::kDone) {
    link_.succeeded();
    if (delivery.target != nullptr) {
      delivery.target->is_unproven = false;
    }
    delivery.state = State::kDone;
    return;
  }
  if (is_stopping_) {
    settle(delivery, Reason::kStopped, false);
    return;
  }
  const Status why = delivery.op.status(status);
  const bool is_unproven =
      delivery.target != nullptr ? delivery.target->is_unproven : link_.is_unproven();
  if (verdict == Verdict::kRefused) {
    link_.succeeded();  // it is there, and says no
  }
  if (verdict == Verdict::kStale && is_unproven) {
    verdict = Verdict::kRefused;
  }
  if (verdict == Verdict::kRefused) {
    fail(delivery, Reason::kNacked, why);
    return;
  }
  if (verdict == Verdict::kStale && delivery.target != nullptr) {
    targets_->close(*delivery.target);
  }
  delivery.state = State::kRetry;
  resend_ = true;
  link_.failed(why, verdict == Verdict::kStale);
}

// ---- the end of a message ----

void Destination::fail(Delivery& delivery, Reason reason, const Status& why) {
  deadband_.forget(delivery.item->path());
  if (dead_letter_ != nullptr) {
    dead_letter_->bury(delivery, address(delivery), reason, why.to_string());
    return;
  }
  core_.complain(concat("message dropped: ", reason_name(reason)), address(delivery), why);
  settle(delivery, reason);
}

void Destination::buried(Delivery& delivery, const Status& why) {
  if (why.is_ok()) {
    tally_.store();
    delivery.state = State::kSettled;
    done_(*std::exchange(delivery.item, nullptr), true);
  } else if (is_stopping_) {
    settle(delivery, Reason::kStopped, false);
  } else {
    settle(delivery, delivery.reason);
  }
  advance();
}

void Destination::settle(Delivery& delivery, Reason reason, bool is_accepted) {
  delivery.state = State::kSettled;
  if (reason != Reason::kDeadband) {
    deadband_.forget(delivery.item->path());  // what passed there has not arrived
  }
  drop(*std::exchange(delivery.item, nullptr), reason, is_accepted);
}

void Destination::drop(Item& item, Reason reason, bool is_accepted) {
  tally_.drop(reason);
  done_(item, is_accepted);
}

int64_t Destination::expires_ns(const Item& item) const noexcept {
  int64_t shortest = options_.expiry.count();
  if (item.expiry_ns != 0 && (shortest == 0 || item.expiry_ns < shortest)) {
    shortest = item.expiry_ns;
  }
  return shortest == 0 ? 0 : item.arrived_ns + shortest;
}

bool Destination::is_expired(const Item& item) const noexcept {
  const int64_t at = expires_ns(item);
  return at != 0 && core_.now() >= at;
}

void Destination::expire() {
  while (queue_.front() != nullptr && is_expired(*queue_.front())) {
    drop(*queue_.pop(), Reason::kExpired);
  }
  for (Delivery* const delivery : window_) {
    if (delivery->state == State::kRetry && is_expired(*delivery->item)) {
      settle(*delivery, Reason::kExpired);
    }
  }
  retire();
}

void Destination::end_turn() {
  if (!link_.is_ready() && !is_stopping_) {
    expire();
  }
  metrics_.show(tally_);
}

void Destination::stop() {
  is_stopping_ = true;
  while (Item* const item = queue_.pop()) {
    drop(*item, Reason::kStopped, false);
  }
  for (Delivery* const delivery : window_) {
    if (delivery->state == State::kReady || delivery->state == State::kRetry) {
      settle(*delivery, Reason::kStopped, false);
    } else if (delivery->state == State::kSent || delivery->state == State::kOpening) {
      delivery->op.cancel();
    }
  }
  codec_.stop();
  codec_.close();
  retire();
}

void Destination::close() {
  link_.close();
  if (targets_) {
    targets_->close();
  }
}

void Destination::release() noexcept {
  free_.clear();
  deliveries_.clear();
  codec_.release();
  link_.release();
}

}  // namespace backplane::route
