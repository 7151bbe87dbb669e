// SPDX-License-Identifier: Apache-2.0
// Ports of 127.0.0.1 that nobody uses, for programs that cannot be told to take any.
#pragma once

#include <arpa/inet.h>
#include <atomic>
#include <cstdint>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
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

/// N, where N to N + 2 are free for UDP and TCP. Below the range from which the system gives ports
/// to clients, so that it stays free.
inline uint16_t free_port_base() {
  static std::atomic<unsigned> next = 0;
  for (int attempt = 0; attempt < 200; ++attempt) {
    // Tests that run side by side have numbers near each other: none looks where another does.
    const unsigned place = (static_cast<unsigned>(getpid()) + 587 * next++) % 3500;
    const auto base = static_cast<uint16_t>(18000 + place * 4);
    bool is_free = true;
    for (uint16_t port = base; port <= base + 2; ++port) {
      is_free = is_free && HeldPort(SOCK_DGRAM, port).held() && HeldPort(SOCK_STREAM, port).held();
    }
    if (is_free) {
      return base;
    }
  }
  throw std::runtime_error("no three free ports found");
}

}  // namespace backplane::test
