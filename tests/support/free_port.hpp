// SPDX-License-Identifier: Apache-2.0
// Ports of 127.0.0.1 that nobody uses, for programs that cannot be told to take any.
#pragma once

#include <arpa/inet.h>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <netinet/in.h>
#include <random>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace backplane::test {

/// Holds a port as long as it lives.
class HeldPort {
 public:
  /// 0 takes any; `type` is SOCK_DGRAM or SOCK_STREAM.
  HeldPort(int type, uint16_t port) : fd_(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    held_ = bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
            (type != SOCK_STREAM || listen(fd_, 1) == 0);
    socklen_t length = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
  }
  HeldPort(const HeldPort&) = delete;
  HeldPort& operator=(const HeldPort&) = delete;
  ~HeldPort() { close(fd_); }

  bool held() const { return held_; }
  uint16_t port() const { return port_; }
  int descriptor() const { return fd_; }

 private:
  int fd_;
  bool held_ = false;
  uint16_t port_ = 0;
};

/// False: another process of tests has these ports, or looks whether they are free. A claim is
/// a name that the system takes away with this process.
inline bool claim_ports(uint16_t base) {
  const int claim = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const int length = std::snprintf(name.sun_path + 1, sizeof name.sun_path - 1,
                                   "backplane-test-ports-%d", int{base});
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  if (bind(claim, reinterpret_cast<const sockaddr*>(&name), size) == 0) {
    return true;  // open until the end
  }
  close(claim);
  return false;
}

/// N, where N to N + 2 are free for UDP and TCP. Below the range from which the system gives ports
/// to clients, so that it stays free.
inline uint16_t free_port_base() {
  std::mt19937 random(std::random_device{}());
  for (int attempt = 0; attempt < 200; ++attempt) {
    const auto base = static_cast<uint16_t>(18000 + random() % 3500 * 4);
    bool is_free = claim_ports(base);
    for (uint16_t port = base; is_free && port <= base + 2; ++port) {
      is_free = HeldPort(SOCK_DGRAM, port).held() && HeldPort(SOCK_STREAM, port).held();
    }
    if (is_free) {
      return base;
    }
  }
  throw std::runtime_error("no three free ports found");
}

}  // namespace backplane::test
