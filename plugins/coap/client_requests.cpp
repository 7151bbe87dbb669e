// SPDX-License-Identifier: Apache-2.0
// The part of Client that carries requests. Design notes: client.hpp.
#include "client.hpp"
#include "error_map.hpp"

#include <algorithm>

namespace backplane::coap {
namespace {

uint64_t token_of(coap_bin_const_t token) noexcept {
  uint64_t out = 0;
  std::memcpy(&out, token.s, std::min(token.length, sizeof out));
  return out;
}

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

Status Client::begin(std::shared_ptr<Exchange> exchange) {
  if (stopping_) {
    return Status(BP_CANCELLED);
  }
  if (receivers_.size() + unsent_.size() >= options_.max_requests) {
    return Status(BP_RESOURCE_EXHAUSTED, "more than 'max_requests' = ", options_.max_requests,
                  " requests to ", authority_.text, " are under way");
  }
  requests_.add();
  if (!is_ready()) {
    if (refusal_.is_error()) {
      return refusal_;
    }
    unsent_.push_back(std::move(exchange));
    return Status::pending();
  }
  const Status status = exchange->send();
  return status.is_error() ? status : Status::pending();
}

void Client::lose_unsent(const Status& why) {
  for (const auto& exchange : std::exchange(unsent_, {})) {
    exchange->lost(why);
  }
}

void Client::cancel(uint64_t operation) {
  for (size_t i = 0; i < unsent_.size(); ++i) {
    if (unsent_[i]->operation == operation) {
      const std::shared_ptr<Exchange> exchange = unsent_[i];
      unsent_.erase(unsent_.begin() + static_cast<std::ptrdiff_t>(i));
      exchange->lost(Status(BP_CANCELLED));
      return;
    }
  }
  for (const auto& [token, entry] : receivers_) {
    if (entry->operation == operation) {
      abandon(std::shared_ptr<Receiver>(entry), Status(BP_CANCELLED));
      return;
    }
  }
}

std::shared_ptr<Observation> Client::observation(const std::shared_ptr<const Target>& target) {
  auto observations = observations_.lock();
  auto& entry = (*observations)[target->text];
  if (!entry || entry->is_stopped()) {
    entry = std::make_shared<Observation>(*this, target);
  }
  entry->pin();
  return entry;
}

bool Client::retire(const Observation& observation) {
  auto observations = observations_.lock();
  if (!observation.is_unwatched()) {
    return false;
  }
  const auto found = observations->find(observation.target().text);
  if (found != observations->end() && found->second.get() == &observation) {
    observations->erase(found);
  }
  return true;
}

std::vector<std::shared_ptr<Observation>> Client::observations() {
  std::vector<std::shared_ptr<Observation>> out;
  const auto known = observations_.lock();
  for (const auto& [text, observation] : *known) {
    out.push_back(observation);
  }
  return out;
}

coap_pdu_t* Client::new_request(Receiver& receiver, coap_pdu_type_t type, coap_pdu_code_t method,
                                uint64_t token) {
  coap_pdu_t* const pdu = coap_new_pdu(type, method, session_.get());
  if (pdu == nullptr) {
    return nullptr;
  }
  uint8_t bytes[sizeof token] = {};
  size_t size = sizeof bytes;
  if (receiver.token != 0 || token != 0) {
    token = receiver.token != 0 ? receiver.token : token;
    std::memcpy(bytes, &token, sizeof bytes);
    while (size > 1 && bytes[size - 1] == 0) {
      --size;
    }
  } else {
    do {
      size = sizeof bytes;
      coap_session_new_token(session_.get(), &size, bytes);
      token = token_of({size, bytes});
    } while (token == 0 || bytes[size - 1] == 0 || receivers_.count(token) != 0);
  }
  if (coap_add_token(pdu, size, bytes) == 0) {
    coap_delete_pdu(pdu);
    return nullptr;
  }
  receiver.token = token;
  receivers_[token] = receiver.shared_from_this();
  return pdu;
}

Status Client::send(Receiver& receiver, Pdu pdu) {
  if (!is_ready()) {  // its session has ended just now
    forget(receiver);
    return Status(BP_UNAVAILABLE, "the session with ", authority_.text, " has ended");
  }
  const Stack::Entry entry(stack_);
  receiver.is_waiting = true;
  receiver.waited_s = 0;
  if (coap_send(session_.get(), pdu.release()) == COAP_INVALID_MID) {
    forget(receiver);
    return Status(BP_UNAVAILABLE, "a request to ", authority_.text, " could not be sent");
  }
  return Status::ok();
}

void Client::forget(Receiver& receiver) noexcept {
  receiver.is_waiting = false;
  if (const uint64_t token = std::exchange(receiver.token, 0); token != 0) {
    receivers_.erase(token);
  }
}

std::vector<std::shared_ptr<Receiver>> Client::receivers(bool (*wanted)(const Receiver&)) {
  std::vector<std::shared_ptr<Receiver>> out;
  for (const auto& [token, receiver] : receivers_) {
    if (wanted(*receiver)) {
      out.push_back(receiver);
    }
  }
  return out;
}

// ---- from the library, and what is taken back from it ----

bool Client::on_response(const coap_pdu_t* received) {
  const coap_bin_const_t token = coap_pdu_get_token(received);
  const auto found =
      token.length <= sizeof(uint64_t) ? receivers_.find(token_of(token)) : receivers_.end();
  heard();
  if (found == receivers_.end()) {
    unexpected_.add();
    return false;
  }
  const std::shared_ptr<Receiver> receiver = found->second;
  receiver->response(received);
  return true;
}

void Client::on_nack(coap_session_t* session, const coap_pdu_t* sent, coap_nack_reason_t reason,
                     coap_mid_t mid) {
  if (session != session_.get() || stopping_) {
    return;
  }
  if (reason == COAP_NACK_NOT_DELIVERABLE) {
    if (kept_ != nullptr &&
        (mid == ping_ || receivers_.count(token_of(coap_pdu_get_token(sent))) != 0)) {
      kept_->push_back(same_message(session, sent));
    }
    return;
  }
  if (dtls_ && reason != COAP_NACK_RST) {
    if (reason != COAP_NACK_TLS_FAILED && end_.is_ok()) {  // else an event has said why
      end_ = error_of_nack(reason);
    }
    end_session_later();
    return;
  }
  if (reason == COAP_NACK_ICMP_ISSUE) {
    if (!std::exchange(down_posted_, true)) {
      static_cast<void>(post(host(), [this] { link_down(); }));
    }
    return;
  }
  const bool is_ping = mid == ping_;
  if (is_ping) {
    end_ping();
  }
  const Status status = error_of_nack(reason);
  if (reason == COAP_NACK_RST) {  // that is how a ping is answered
    heard();
  } else {
    failed(status.message());
  }
  const auto found = sent != nullptr && !is_ping
                         ? receivers_.find(token_of(coap_pdu_get_token(sent)))
                         : receivers_.end();
  if (found != receivers_.end()) {
    const std::shared_ptr<Receiver> receiver = found->second;
    receiver->lost(status);
  }
}

/// Ends what the library would still send of requests that nobody waits for. It has no call for one
/// message: so all are dropped, and the others go on as what they are, retransmissions to the peer.
void Client::drop_abandoned() {
  drop_posted_ = false;
  if (stopping_ || !session_) {
    return;
  }
  const Stack::Entry entry(stack_);
  std::vector<Pdu> kept;
  kept_ = &kept;
  coap_session_disconnected(session_.get(), COAP_NACK_NOT_DELIVERABLE);
  kept_ = nullptr;
  const coap_mid_t next = coap_new_message_id(session_.get());
  const auto age = [next](const Pdu& pdu) {
    return static_cast<uint16_t>(next - coap_pdu_get_mid(pdu.get()));
  };
  std::sort(kept.begin(), kept.end(),
            [age](const Pdu& a, const Pdu& b) { return age(a) > age(b); });
  for (const Pdu& pdu : kept) {
    coap_mid_t sent = COAP_INVALID_MID;
    for (int tries = 0; tries < kSends && sent == COAP_INVALID_MID; ++tries) {
      sent = coap_send(session_.get(), same_message(session_.get(), pdu.get()).release());
    }
  }
}

/// Its receiver is told that nothing will come.
void Client::abandon(const std::shared_ptr<Receiver>& receiver, const Status& status) {
  const bool may_be_sent = receiver->is_waiting;
  receiver->lost(status);
  // In a task of its own: this may be inside the library.
  if (may_be_sent && !dtls_ && !std::exchange(drop_posted_, true)) {
    drop_posted_ = post(host(), [this] { drop_abandoned(); }).is_ok();
  }
}

}  // namespace backplane::coap
