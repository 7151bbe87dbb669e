// SPDX-License-Identifier: Apache-2.0
// The baseline libcoap_raw: what its client and its server share.
#pragma once

#include "coap_loopback.hpp"
#include <backplane/sdk/unique_handle.hpp>

#include <coap3/coap.h>

#include <cstdint>
#include <stdexcept>
#include <sys/epoll.h>

namespace backplane::benchmark {

using RawCoapContext = UniqueHandle<coap_context_t, coap_free_context>;
using RawCoapSession = UniqueHandle<coap_session_t, coap_session_release>;

inline RawCoapContext raw_coap_context() {
  coap_startup();
  coap_set_log_level(LOG_EMERG);
  RawCoapContext context(coap_new_context(nullptr));
  if (!context) throw std::runtime_error("libcoap gave no context");
  coap_context_set_block_mode(context.get(), COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY);
  return context;
}

// Waits for what comes, and handles it.
inline void raw_coap_turn(coap_context_t* context, int timeout_ms) {
#ifdef BP_RAW_IO_PROCESS
  coap_io_process(context, timeout_ms < 0 ? COAP_IO_WAIT : static_cast<uint32_t>(timeout_ms));
#else
  epoll_event events[16];
  const int n = epoll_wait(coap_context_get_coap_fd(context), events, 16, timeout_ms);
  if (n > 0) coap_io_do_epoll(context, events, static_cast<std::size_t>(n));
#endif
}

inline void add_coap_uint(coap_pdu_t* pdu, coap_option_num_t option, unsigned value) {
  std::uint8_t buffer[4];
  coap_add_option(pdu, option, coap_encode_var_safe(buffer, sizeof buffer, value), buffer);
}

}  // namespace backplane::benchmark
