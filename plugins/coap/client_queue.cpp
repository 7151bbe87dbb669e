// SPDX-License-Identifier: Apache-2.0
// The part of Client that decides which of its messages the library has, and takes them back.
// Design notes: client.hpp.
#include "client.hpp"

#include <algorithm>

namespace backplane::coap {

namespace {

constexpr unsigned kLateResetSeconds = 5;

/// A copy with the same message id and token.
Pdu same_message(coap_session_t* session, const coap_pdu_t* pdu) {
  const coap_bin_const_t token = coap_pdu_get_token(pdu);
  Pdu copy(coap_pdu_duplicate(pdu, session, token.length, token.s, nullptr));
  const Bytes data = payload_of(pdu);
  if (!copy || (!data.empty() && coap_add_data(copy.get(), data.size(), data.data()) == 0)) {
    throw std::bad_alloc();
  }
  coap_pdu_set_mid(copy.get(), coap_pdu_get_mid(pdu));
  return copy;
}

}  // namespace

/// Requests that the library may still send.
size_t Client::under_way() const noexcept {
  return static_cast<size_t>(std::count_if(
      receivers_.begin(), receivers_.end(),
      [](const auto& entry) { return entry.second->is_waiting && !entry.second->held; }));
}

/// At a closed gate: there is room, and nothing that came before waits for it.
bool Client::may_hand_over() const noexcept {
  return under_way() < options_.nstart &&
         std::none_of(receivers_.begin(), receivers_.end(),
                      [](const auto& entry) { return entry.second->held != nullptr; });
}

void Client::set_gate(bool gated) noexcept {
  is_gated_ = gated;
  pings_ = 0;
  coap_session_set_nstart(session_.get(), gated ? UINT16_MAX : options_.nstart);
}

/// Takes back all that the library would send, on_nack() by on_nack(), but for pings. It has no
/// call for one message.
void Client::collect() {
  is_collecting_ = true;
  coap_session_disconnected(session_.get(), COAP_NACK_NOT_DELIVERABLE);
  is_collecting_ = false;
}

void Client::hold(Receiver& receiver, const coap_pdu_t* sent) {
  receiver.held = same_message(session_.get(), sent);
}

/// Hands over what is held, as far as there is room: as what it is, perhaps a retransmission.
void Client::release() {
  size_t room = SIZE_MAX;
  if (is_gated_) {
    room = options_.nstart - std::min<size_t>(options_.nstart, under_way());
  }
  for (const auto& receiver : receivers([](const Receiver& r) { return r.held != nullptr; })) {
    if (room-- == 0) {
      return;
    }
    const Pdu held = std::move(receiver->held);
    coap_mid_t sent = COAP_INVALID_MID;
    for (int tries = 0; tries < kSends && sent == COAP_INVALID_MID; ++tries) {
      sent = coap_send(session_.get(), same_message(session_.get(), held.get()).release());
    }
  }
}

void Client::release_later() noexcept {
  if (is_gated_) {
    static_cast<void>(post(host(), [this] {
      if (is_gated_ && !stopping_ && session_) {
        const Stack::Entry entry(stack_);
        release();
      }
    }));
  }
}

/// In a task of its own: this may be inside the library. With DTLS it could drop its messages only
/// together with the session.
void Client::send_anew_later() noexcept {
  if (!dtls_ && !std::exchange(anew_posted_, true)) {
    anew_posted_ = post(host(), [this] { send_anew(); }).is_ok();
  }
}

/// What is waited for goes on at once, in its order; requests that nobody waits for, and pings that
/// have their answer, are sent no more.
void Client::send_anew() {
  anew_posted_ = false;
  if (stopping_ || !session_) {
    return;
  }
  const Stack::Entry entry(stack_);
  collect();
  if (std::exchange(no_reset_comes_, false)) {
    set_gate(false);
  }
  if (std::exchange(ping_, COAP_INVALID_MID) != COAP_INVALID_MID) {
    answered_s_ = 0;
  }
  if (ping_due_) {
    const unsigned waited_s = ping_waited_s_;
    ping();
    ping_waited_s_ = waited_s;
  }
  release();
}

/// Once no answer to any ping, or copy of one, can be on its way any more.
void Client::open_gate_in_time() {
  if (is_gated_ && !ping_due_ && !trying_ && ++answered_s_ > kLateResetSeconds) {
    no_reset_comes_ = true;
    send_anew();
  }
}

}  // namespace backplane::coap
