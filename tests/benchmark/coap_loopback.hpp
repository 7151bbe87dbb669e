// SPDX-License-Identifier: Apache-2.0
// A port of 127.0.0.1 as libcoap has it. libcoap alone: baselines use nothing else.
#pragma once

#include <coap3/coap.h>

#include <arpa/inet.h>
#include <cstdint>

namespace backplane::benchmark {

inline coap_address_t coap_loopback(std::uint16_t port) {
  coap_address_t address;
  coap_address_init(&address);
  address.size = sizeof address.addr.sin;
  address.addr.sin.sin_family = AF_INET;
  address.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.addr.sin.sin_port = htons(port);
  return address;
}

}  // namespace backplane::benchmark
