// SPDX-License-Identifier: Apache-2.0
#include "observation.hpp"

#include "client.hpp"
#include "error_map.hpp"

namespace backplane::coap {
namespace {

constexpr auto kFirstWait = std::chrono::milliseconds(200);
constexpr auto kLongestWait = std::chrono::seconds(5);

/// Waits for the answer to a deregistration, and forgets it.
class Farewell final : public Receiver {
 public:
  explicit Farewell(Client& client) : client_(client) {}
  void response(const coap_pdu_t*) override { client_.forget(*this); }
  void lost(const Status&) override { client_.forget(*this); }
  void resend() override { client_.forget(*this); }

 private:
  Client& client_;
};

}  // namespace

/// The blocks after the first one of a notification: a request of its own (RFC 7959, 2.6).
class Observation::Rest final : public Exchange {
 public:
  Rest(Client& client, std::shared_ptr<const Target> target, std::weak_ptr<Observation> of)
      : Exchange(client, std::move(target), COAP_REQUEST_CODE_GET), of_(std::move(of)) {}
  Status start(const coap_pdu_t* first, const coap_block_t& block) {
    Assembly begun;
    static_cast<void>(begun.add(block, payload_of(first), client_.options().max_body));
    continue_after(std::move(begun), block.szx, option_bytes(first, COAP_OPTION_ETAG));
    return send();
  }
  void drop() noexcept { of_.reset(); }

 private:
  void finished(const Status& status, const coap_pdu_t* pdu, Bytes body) override {
    const auto observation = of_.lock();
    if (!observation) {
      return;
    }
    observation->rest_.reset();
    if (status.is_ok() && COAP_RESPONSE_CLASS(coap_pdu_get_code(pdu)) == 2) {
      observation->value(pdu, body);
    } else {
      client_.count_lost_notification();
    }
  }
  std::weak_ptr<Observation> of_;
};

Observation::Observation(Client& client, std::shared_ptr<const Target> target)
    : client_(client),
      target_(std::move(target)),
      hub_(client.host(),
           [] {
             HubOptions options;
             options.replay_last = true;
             return options;
           }()),
      timer_(client.host(), [this] { timer_fired(); }) {}

void Observation::begin() {
  if (!stopped_ && (state_ == State::kIdle || state_ == State::kWaiting)) {
    is_refresh_ = false;
    send_registration();
  }
}

void Observation::send_registration() {
  state_ = State::kRegistering;
  if (!client_.is_ready()) {
    state_ = State::kWaiting;  // the client begins it when it has one
    return;
  }
  Pdu pdu(client_.new_request(*this, COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET));
  bool fits = pdu && add_uint_option(pdu.get(), COAP_OPTION_OBSERVE, COAP_OBSERVE_ESTABLISH);
  for (const std::string& segment : target_->segments) {
    fits = fits && add_option(pdu.get(), COAP_OPTION_URI_PATH, segment);
  }
  for (const std::string& query : target_->queries) {
    fits = fits && add_option(pdu.get(), COAP_OPTION_URI_QUERY, query);
  }
  if (!fits || client_.send(*this, std::move(pdu)).is_error()) {
    lost(Status(BP_RESOURCE_EXHAUSTED, "the registration could not be sent"));
  }
}

void Observation::response(const coap_pdu_t* pdu) {
  is_waiting = false;
  const coap_pdu_code_t code = coap_pdu_get_code(pdu);
  if (COAP_RESPONSE_CLASS(code) != 2) {
    ended(error_of_answer(code, as_text(payload_of(pdu))));
    return;
  }
  const auto number = option_uint(pdu, COAP_OPTION_OBSERVE);
  if (!number) {
    ended(Status(BP_UNIMPLEMENTED, "'", target_->text,
                 "' cannot be observed: the peer answered without the Observe option"));
    return;
  }
  const bool answers_registration = state_ != State::kRegistered;
  if (!answers_registration && !is_newer(*number)) {
    client_.count_lost_notification();  // it was overtaken
    return;
  }
  state_ = State::kRegistered;
  was_registered_ = true;
  failures_ = 0;
  number_ = *number;
  heard_ns_ = monotonic_ns();
  refresh_after(pdu);
  if (hub_.watchers() == 0) {
    end_if_unwatched();
    if (stopped_) {
      return;
    }
  }
  if (rest_) {  // of an older value
    rest_->drop();
    rest_.reset();
  }
  const auto block = block_option(pdu, COAP_OPTION_BLOCK2);
  if (!block || block->m == 0) {
    value(pdu, payload_of(pdu));
    return;
  }
  rest_ = std::make_shared<Rest>(client_, target_,
                                 std::static_pointer_cast<Observation>(shared_from_this()));
  if (rest_->start(pdu, *block).is_error()) {
    rest_.reset();
    client_.count_lost_notification();
  }
}

void Observation::value(const coap_pdu_t* pdu, Bytes body) {
  const size_t hash = std::hash<std::string_view>()(as_text(body));
  if (std::exchange(is_refresh_, false) && has_value_ && hash == last_hash_) {
    return;
  }
  last_hash_ = hash;
  MessageBuilder message;
  fill_message(message, pdu, body);
  message.time_now();
  if (!std::exchange(has_value_, true)) {
    message.flags(BP_M_INITIAL);
  }
  static_cast<void>(hub_.publish(message));
}

/// RFC 7641, 3.4.
bool Observation::is_newer(uint32_t number) const noexcept {
  constexpr uint32_t kHalf = 1u << 23;
  constexpr int64_t kFreshAnyway = 128'000'000'000;
  return (number_ < number && number - number_ < kHalf) ||
         (number_ > number && number_ - number > kHalf) ||
         monotonic_ns() > heard_ns_ + kFreshAnyway;
}

void Observation::refresh_after(const coap_pdu_t* pdu) {
  std::chrono::nanoseconds wait = client_.options().keepalive;
  if (const auto max_age = option_uint(pdu, COAP_OPTION_MAXAGE)) {
    wait = std::min<std::chrono::nanoseconds>(wait, std::chrono::seconds(std::max(1u, *max_age)));
  }
  static_cast<void>(timer_.after(wait));
}

void Observation::timer_fired() {
  if (stopped_ || state_ == State::kIdle) {
    return;
  }
  if (hub_.watchers() == 0) {
    end_if_unwatched();
    if (stopped_) {
      return;
    }
  }
  if (state_ == State::kRegistered) {
    is_refresh_ = true;
    send_registration();
  } else if (state_ == State::kWaiting) {
    begin();
  }
}

/// The peer has said so. Before it ever worked that is the watch's answer.
void Observation::ended(const Status& status) {
  client_.forget(*this);
  if (!was_registered_) {
    stop(status, {});
    return;
  }
  state_ = State::kWaiting;
  const auto wait = std::min<std::chrono::nanoseconds>(
      kFirstWait * (1u << std::min(failures_++, 10u)), kLongestWait);
  client_.host().log().info("an observation has ended and is tried again",
                            {{"path", target_->text}, {"reason", status.to_string()}});
  static_cast<void>(timer_.after(wait));
}

/// Nobody answers: the client says when the peer is there again.
void Observation::lost(const Status&) {
  client_.forget(*this);
  state_ = State::kWaiting;
  static_cast<void>(timer_.after(kLongestWait));
}

void Observation::refused(const Status& status) {
  if (!was_registered_) {
    stop(status, {});
  }
}

void Observation::resend() {
  client_.forget(*this);
  state_ = State::kWaiting;
  begin();
}

void Observation::end_if_unwatched() {
  const auto self = shared_from_this();  // the client's share may be the last one
  if (!stopped_ && client_.retire(*this)) {
    stopped_ = true;
    deregister();
    hub_.end(Status(BP_CANCELLED));
  }
}

void Observation::deregister() {
  timer_.cancel();
  if (rest_) {
    rest_->drop();
    rest_.reset();
  }
  const bool tell = token != 0 && client_.is_ready();
  const uint64_t own_token = token;
  client_.forget(*this);
  state_ = State::kIdle;
  if (!tell) {
    return;
  }
  const auto farewell = std::make_shared<Farewell>(client_);
  Pdu pdu(client_.new_request(*farewell, COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, own_token));
  bool fits = pdu && add_uint_option(pdu.get(), COAP_OPTION_OBSERVE, COAP_OBSERVE_CANCEL);
  for (const std::string& segment : target_->segments) {
    fits = fits && add_option(pdu.get(), COAP_OPTION_URI_PATH, segment);
  }
  for (const std::string& query : target_->queries) {
    fits = fits && add_option(pdu.get(), COAP_OPTION_URI_QUERY, query);
  }
  if (fits) {
    static_cast<void>(client_.send(*farewell, std::move(pdu)));
  } else {
    client_.forget(*farewell);
  }
}

void Observation::stop(const Status& status, std::function<void()> stopped) {
  if (!stopped_.exchange(true)) {
    deregister();
  }
  hub_.stop(status, std::move(stopped));
}

}  // namespace backplane::coap
