// SPDX-License-Identifier: Apache-2.0
// The part of Client that time decides about: pings, and what has waited for too long. Design
// notes: client.hpp.
#include "client.hpp"

#include <algorithm>

namespace backplane::coap {
namespace {

constexpr auto kTick = std::chrono::seconds(1);
constexpr unsigned kPingPatienceSeconds = 10;
constexpr unsigned kDoubtSeconds = 3;

unsigned whole_seconds(std::chrono::nanoseconds time) noexcept {
  return static_cast<unsigned>(std::chrono::ceil<std::chrono::seconds>(time).count());
}

}  // namespace

void Client::ping() {
  const Stack::Entry entry(stack_);
  if (dtls_) {
    coap_session_set_nstart(session_.get(), static_cast<uint16_t>(options_.nstart + 1));
  } else if (!is_gated_) {
    if (under_way() > options_.nstart) {
      collect();
    }
    set_gate(true);
    release();
  }
  ping_ = COAP_INVALID_MID;
  for (int tries = 0; tries < kSends && ping_ == COAP_INVALID_MID; ++tries) {
    coap_pdu_t* const pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_EMPTY_CODE, session_.get());
    ping_ = pdu != nullptr ? coap_send(session_.get(), pdu) : COAP_INVALID_MID;
  }
  ++pings_;
  ping_waited_s_ = 0;
  ping_due_ = ping_ != COAP_INVALID_MID;
  if (!ping_due_) {
    lost_touch(Status(BP_UNAVAILABLE, "a ping could not be sent"));
  }
}

void Client::end_ping() noexcept {
  ping_ = COAP_INVALID_MID;
  ping_due_ = false;
  answered_s_ = 0;
  if (session_ && dtls_) {
    coap_session_set_nstart(session_.get(), options_.nstart);
  }
}

/// The peer is not there, as far as one can see.
void Client::lost_touch(const Status& why) {
  if (dtls_) {
    end_session(why);
  } else {
    failed(why.message());
  }
}

void Client::tick() {
  static_cast<void>(ticker_.after(kTick));
  const unsigned patience = whole_seconds(options_.request_timeout);
  for (const auto& receiver : receivers([](const Receiver& r) { return r.is_waiting; })) {
    if (receiver->is_waiting && ++receiver->waited_s > patience) {
      timeouts_.add();
      const Status status(BP_DEADLINE_EXCEEDED, "no answer within 'request_timeout_s' = ", patience,
                          " s");
      if (trying_ && !dtls_) {  // else the handshake has its own time
        failed(status.message());
      }
      abandon(receiver, status);
    }
  }
  if (!session_) {
    return;
  }
  if (!is_ready()) {
    if (++handshake_s_ >= whole_seconds(options_.connect_timeout)) {
      end_session(DtlsClient::silence(session_.get()));
    }
    return;
  }
  open_gate_in_time();
  if (ping_due_) {
    if (++ping_waited_s_ >= kPingPatienceSeconds) {
      lost_touch(Status(BP_UNAVAILABLE, "no answer to a ping within ", kPingPatienceSeconds, " s"));
    }
  } else if (++quiet_s_ > ping_after_s() && (dtls_ || ping_ == COAP_INVALID_MID)) {
    // With DTLS an older ping that was lost, while something else was answered, holds up no other.
    look_whether_it_is_there();
  }
}

/// With requests that the library keeps back, a ping would have to wait for them, or all of them be
/// sent anew: then those that it sends ask the same.
void Client::look_whether_it_is_there() {
  if (dtls_ || is_gated_ || under_way() <= options_.nstart) {
    quiet_s_ = 0;
    ping();
  } else if (quiet_s_ > ping_after_s() + kPingPatienceSeconds) {
    lost_touch(
        Status(BP_UNAVAILABLE, "no answer to any request for ", std::exchange(quiet_s_, 0), " s"));
  }
}

/// A peer that has lost its half of a DTLS session answers nothing any more.
unsigned Client::ping_after_s() const noexcept {
  const unsigned keepalive = whole_seconds(options_.keepalive);
  const bool is_doubtful =
      dtls_ && std::any_of(receivers_.begin(), receivers_.end(), [](const auto& entry) {
        return entry.second->is_waiting && entry.second->waited_s >= kDoubtSeconds;
      });
  return is_doubtful ? std::min(kDoubtSeconds, keepalive) : keepalive;
}

}  // namespace backplane::coap
