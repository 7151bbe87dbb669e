// SPDX-License-Identifier: Apache-2.0
// Which instance a callback of libcoap is for: the context's application data.
#pragma once

#include "client.hpp"
#include "server.hpp"

namespace backplane::coap {

struct Instance {
  std::unique_ptr<Server> server;
  std::unique_ptr<Client> client;

  static Instance& of(coap_session_t* session) noexcept {
    return *static_cast<Instance*>(coap_get_app_data(coap_session_get_context(session)));
  }
};

}  // namespace backplane::coap
