// SPDX-License-Identifier: Apache-2.0
#include "demo_ports.hpp"

#include <backplane/sdk/unique_handle.hpp>

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

namespace backplane::cli {
namespace {

constexpr uint16_t kFirstBase = 17400;
constexpr uint16_t kLastBase = 18400;

/// 0, or the errno of trying what a server will do.
int try_bind(int type, uint16_t port) {
  const UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  if (!socket) {
    return errno;
  }
  // A broker that was stopped a moment ago leaves connections behind that do not hinder the next.
  const int on = 1;
  if (type == SOCK_STREAM) {
    setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      (type == SOCK_STREAM && listen(socket.get(), 1) != 0)) {
    return errno;
  }
  return 0;
}

bool is_free(const DemoPorts& ports) {
  return try_bind(SOCK_DGRAM, ports.coap) == 0 && try_bind(SOCK_STREAM, ports.mqtt) == 0 &&
         try_bind(SOCK_STREAM, ports.opcua) == 0;
}

Status refusal(std::string_view protocol, std::string_view user, uint16_t port, int error) {
  uint16_t base = kFirstBase;
  while (base < kLastBase && !is_free(DemoPorts::from_base(base))) {
    base = static_cast<uint16_t>(base + 100);
  }
  const std::string why = error == EADDRINUSE ? std::string("is taken by another program")
                                              : concat("cannot be used: ", std::strerror(error));
  return Status(BP_UNAVAILABLE, protocol, " port ", port, " of 127.0.0.1 (", user, ") ", why,
                "; use others: ./dev demo --port-base ", base);
}

}  // namespace

Status check_free(const DemoPorts& ports) {
  if (const int error = try_bind(SOCK_DGRAM, ports.coap); error != 0) {
    return refusal("UDP", "CoAP", ports.coap, error);
  }
  if (const int error = try_bind(SOCK_STREAM, ports.mqtt); error != 0) {
    return refusal("TCP", "MQTT", ports.mqtt, error);
  }
  if (const int error = try_bind(SOCK_STREAM, ports.opcua); error != 0) {
    return refusal("TCP", "OPC UA", ports.opcua, error);
  }
  return Status::ok();
}

}  // namespace backplane::cli
