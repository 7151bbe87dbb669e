// SPDX-License-Identifier: Apache-2.0
// What libcoap keeps to itself about its sockets: whether a port is free, and the datagrams that
// never reach it. All system calls on sockets are here.
#pragma once

#include <coap3/coap.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace backplane::coap {

/// Finds out whether the address can be bound, which libcoap does not: it sets SO_REUSEADDR, so
/// that a second server on a port starts and hears nothing. Replaces port 0 by a free one. `shown`
/// is what the configuration says. Throws Error: FAILED_PRECONDITION when the port is taken,
/// PERMISSION_DENIED, INVALID_ARGUMENT for an address that is not this machine's.
void require_free_port(coap_address_t& address, std::string_view shown);

/// A descriptor in an epoll set, and what epoll tells its owner when it is ready.
struct Polled {
  int fd;
  uint64_t data;
};
/// What is in an epoll set of this process, from /proc; empty: there is no /proc.
std::vector<Polled> polled_by(int epoll_fd);

/// The datagram socket in an epoll set, from /proc; -1: none has this local address, or there is
/// no /proc. `local` null: the first one that `peer` is connected to.
int find_socket(int epoll_fd, const coap_address_t* local, const coap_address_t* peer);

/// The system drops datagrams that can be no CoAP, below 4 bytes or of another version (RFC 7252,
/// section 3), or no record of DTLS (RFC 7983), and counts them with those for which the receive
/// buffer had no room. libcoap would drop the short ones without a trace, and answer another
/// version with a reset, which makes the receiver's library lose count of what is under way.
void refuse_foreign_datagrams(int socket, bool is_dtls) noexcept;
/// How many datagrams the system has dropped so far; wraps.
uint32_t dropped_datagrams(int socket) noexcept;

}  // namespace backplane::coap
