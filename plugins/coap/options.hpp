// SPDX-License-Identifier: Apache-2.0
// The numbers of an instance's configuration, as plugin_manifests/coap.toml describes them.
#pragma once

#include "block.hpp"
#include <backplane/sdk/config.hpp>

#include <coap3/coap.h>

namespace backplane::coap {

struct Options {
  explicit Options(const Config& config)
      : max_body(config.integer<size_t>("max_body")),
        szx(szx_of(config.integer<size_t>("block_size"))),
        max_peers(config.integer<unsigned>("max_peers")),
        max_observers(config.integer<size_t>("max_observers")),
        max_requests(config.integer<size_t>("max_requests")),
        answer_timeout(config.seconds("answer_timeout_s")),
        request_timeout(config.seconds("request_timeout_s")),
        connect_timeout(config.seconds("connect_timeout_s")),
        keepalive(config.seconds("keepalive_s")),
        reconnect_min(config.seconds("reconnect_min_s")),
        reconnect_max(config.seconds("reconnect_max_s")),
        ack_timeout(config.number("ack_timeout_s")),
        max_retransmit(config.integer<uint16_t>("max_retransmit")),
        nstart(config.integer<uint16_t>("nstart")),
        notify_confirmable(config.string("notify") == "confirmable") {
    if (reconnect_max < reconnect_min) {
      throw Error(BP_INVALID_ARGUMENT,
                  "configuration: reconnect_max_s is less than reconnect_min_s");
    }
  }

  /// Transmission parameters (RFC 7252, 4.8) of a session.
  void apply(coap_session_t* session) const noexcept {
    const auto whole = static_cast<uint16_t>(ack_timeout);
    const auto thousandths = static_cast<uint16_t>((ack_timeout - whole) * 1000);
    coap_session_set_ack_timeout(session, coap_fixed_point_t{whole, thousandths});
    coap_session_set_max_retransmit(session, max_retransmit);
    coap_session_set_nstart(session, nstart);
  }

  size_t max_body;
  unsigned szx;
  unsigned max_peers;
  size_t max_observers;
  size_t max_requests;
  std::chrono::nanoseconds answer_timeout;
  std::chrono::nanoseconds request_timeout;
  std::chrono::nanoseconds connect_timeout;
  std::chrono::nanoseconds keepalive;
  std::chrono::nanoseconds reconnect_min;
  std::chrono::nanoseconds reconnect_max;
  double ack_timeout;
  uint16_t max_retransmit;
  uint16_t nstart;
  bool notify_confirmable;
};

}  // namespace backplane::coap
