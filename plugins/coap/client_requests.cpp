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
  receiver.order = receiver.order == 0 ? ++last_order_ : receiver.order;
  receiver.mid = coap_pdu_get_mid(pdu.get());
  receiver.held.reset();
  receiver.waited_s = 0;
  receiver.is_waiting = false;
  const bool has_room =
      !is_gated_ || coap_pdu_get_type(pdu.get()) != COAP_MESSAGE_CON || may_hand_over();
  receiver.is_waiting = true;
  if (!has_room) {
    receiver.held = std::move(pdu);
    return Status::ok();
  }
  const coap_mid_t sent = coap_send(session_.get(), pdu.release());
  if (sent == COAP_INVALID_MID) {
    forget(receiver);
    return Status(BP_UNAVAILABLE, "a request to ", authority_.text, " could not be sent");
  }
  return Status::ok();
}

void Client::forget(Receiver& receiver) noexcept {
  receiver.is_waiting = false;
  receiver.held.reset();
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
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a->order < b->order; });
  return out;
}

// ---- from the library ----

bool Client::on_response(const coap_pdu_t* received) {
  const coap_bin_const_t token = coap_pdu_get_token(received);
  const auto found =
      token.length <= sizeof(uint64_t) ? receivers_.find(token_of(token)) : receivers_.end();
  if (found == receivers_.end()) {
    unexpected_.add();
    return false;
  }
  const std::shared_ptr<Receiver> receiver = found->second;
  quiet_s_ = 0;
  if (receiver->is_waiting) {  // else a notification: it does not prove that we are heard
    heard();
    if (ping_ != COAP_INVALID_MID) {
      send_anew_later();
    } else {
      release_later();
    }
  }
  receiver->response(received);
  return true;
}

void Client::on_nack(coap_session_t* session, const coap_pdu_t* sent, coap_nack_reason_t reason,
                     coap_mid_t mid) {
  if (session != session_.get() || stopping_) {
    return;
  }
  if (reason == COAP_NACK_NOT_DELIVERABLE) {
    const auto found =
        is_collecting_ ? receivers_.find(token_of(coap_pdu_get_token(sent))) : receivers_.end();
    if (found != receivers_.end() && found->second->mid == mid) {
      hold(*found->second, sent);
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
    if (is_gated_) {
      // The one ping there was, answered before it could be sent again.
      no_reset_comes_ = is_ping && pings_ == 1 && ping_waited_s_ == 0;
      send_anew_later();
    }
  } else {
    failed(status.message());
  }
  const auto found = sent != nullptr && !is_ping
                         ? receivers_.find(token_of(coap_pdu_get_token(sent)))
                         : receivers_.end();
  if (found != receivers_.end()) {
    const std::shared_ptr<Receiver> receiver = found->second;
    receiver->lost(status);
    release_later();
  }
}

/// Its receiver is told that nothing will come.
void Client::abandon(const std::shared_ptr<Receiver>& receiver, const Status& status) {
  const bool may_be_sent = receiver->is_waiting && !receiver->held;
  receiver->lost(status);
  if (may_be_sent) {
    send_anew_later();
  }
}

}  // namespace backplane::coap
