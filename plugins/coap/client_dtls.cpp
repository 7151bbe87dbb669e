// SPDX-License-Identifier: Apache-2.0
// The part of Client that a handshake decides about. Design notes: client.hpp.
#include "client.hpp"
#include "dtls_session.hpp"

namespace backplane::coap {

std::unique_ptr<DtlsClient> Client::make_dtls(const Config& config) const {
  if (!authority_.is_secure) {
    return nullptr;
  }
  return std::make_unique<DtlsClient>(
      host(), config.find<std::string>("credentials").value_or(""),
      config.find<std::string>("server_name").value_or(authority_.host));
}

/// Who was refused is down, not only on the way; it is tried again all the same.
Reconnect::Options Client::reconnect_options() {
  Reconnect::Options out;
  out.first = options_.reconnect_min;
  out.longest = options_.reconnect_max;
  out.lost = host().counter("coap_peer_lost_total");
  out.report = [this](uint32_t state, std::string_view detail) {
    const bool is_refused = state == BP_STATE_CONNECTING && refusal_.is_error();
    host().report(is_refused ? BP_STATE_DOWN : state, detail);
  };
  return out;
}

/// Inside the library: what follows is done in tasks.
void Client::on_event(coap_session_t* session, coap_event_t event) {
  if (!dtls_ || session != session_.get() || stopping_) {
    return;
  }
  switch (event) {
    case COAP_EVENT_DTLS_CONNECTED:
      is_proven_ = dtls_->is_proven(session);
      if (is_proven_) {
        post(host(), [this, number = session_number_] {
          if (number == session_number_ && session_ && !is_ending_) {
            proven();
          }
        }).or_throw();
      } else {
        end_ = Status(BP_UNAUTHENTICATED, "the peer has proven nothing");
        end_session_later();
      }
      break;
    case COAP_EVENT_DTLS_ERROR:
      end_ = tls::handshake_error(ssl_of(session));
      end_session_later();
      break;
    case COAP_EVENT_DTLS_CLOSED:
      end_session_later();
      break;
    default:
      break;
  }
}

void Client::proven() {
  is_open_ = true;
  refusal_ = Status::ok();
  handshake_s_ = 0;
  coap_session_set_max_retransmit(session_.get(), options_.max_retransmit);
  resend_all();  // older than those that were never sent
  flush_unsent();
  heard();
}

void Client::end_session_later() noexcept {
  if (is_ending_) {
    return;
  }
  is_ending_ = post(host(), [this, number = session_number_] {
                 if (number == session_number_ && session_ && !stopping_) {
                   end_session(end_);
                 }
               }).is_ok();
}

/// `why` may be OK: the peer has said goodbye, or the system that nobody listens there, which the
/// library does not tell apart while nothing but the handshake is under way.
void Client::end_session(const Status& why) {
  const bool was_proven = is_proven_;
  Status reason = why;
  if (!reason.is_error()) {
    reason =
        Status(BP_UNAVAILABLE,
               was_proven ? "the peer has ended the session"
                          : "nobody listens at the peer's port, or it has ended the handshake");
  }
  if (!was_proven && reason.code() == BP_UNAVAILABLE && try_next_address()) {
    return;
  }
  {
    const Stack::Entry entry(stack_);
    end_ping();
    close_session();
    stack_.watch();
  }
  if (was_proven) {
    failed(reason.message());  // what waits is sent again by the next session
  } else {
    not_let_in(reason);
  }
}

/// A try to get a session has failed.
void Client::not_let_in(const Status& why) {
  refusal_ = why.code() == BP_UNAVAILABLE ? Status::ok() : why;
  failed(why.message());
  give_up(why);
}

/// Nothing that waits for a session gets one now.
void Client::give_up(const Status& why) {
  lose_unsent(why);
  for (const auto& receiver : receivers([](const Receiver& r) { return r.is_waiting; })) {
    if (receiver->is_waiting) {
      receiver->lost(why);
    }
  }
  if (refusal_.is_error()) {
    for (const auto& observation : observations()) {
      observation->refused(refusal_);
    }
  }
}

}  // namespace backplane::coap
