// SPDX-License-Identifier: Apache-2.0
// The part of Client that a handshake decides about. Design notes: client.hpp.
#include "client.hpp"

namespace backplane::coap {

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
          if (number == session_number_ && is_ready()) {
            proven();
          }
        }).or_throw();
      } else {
        end_ = Status(BP_UNAUTHENTICATED, "the peer has proven nothing");
        end_session_later();
      }
      break;
    case COAP_EVENT_DTLS_ERROR:
      end_ = tls::handshake_error(static_cast<SSL*>(coap_session_get_tls(session, nullptr)));
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
  refusal_ = Status::ok();
  flush_unsent();
  resend_all();
  heard();
}

void Client::end_session_later() noexcept {
  if (end_posted_) {
    return;
  }
  end_posted_ = post(host(), [this, number = session_number_] {
                  end_posted_ = false;
                  if (number == session_number_ && session_ && !stopping_) {
                    end_session(end_);
                  }
                }).is_ok();
}

/// `why` may be OK: the peer has said goodbye.
void Client::end_session(const Status& why) {
  const bool was_proven = is_proven_;
  const Status reason = why.is_error() ? why
                                       : Status(BP_UNAVAILABLE, "the peer has ended the ",
                                                was_proven ? "session" : "handshake");
  if (!was_proven && reason.code() == BP_UNAVAILABLE && try_next_address()) {
    return;
  }
  {
    const Stack::Entry entry(stack_);
    end_ping();
    close_session();
    stack_.watch();
  }
  if (!was_proven) {
    refusal_ = reason.code() == BP_UNAVAILABLE ? Status::ok() : reason;
  }
  failed(reason.message());
  if (!was_proven) {
    give_up(reason);
  }
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
