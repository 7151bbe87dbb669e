// SPDX-License-Identifier: Apache-2.0
// A relay between a client and a port of this machine, which a test can close: what happens when a
// peer is out of reach, but alive.
#pragma once

#include "backplane/sdk/unique_handle.hpp"

#include <arpa/inet.h>
#include <atomic>
#include <list>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace backplane::test {

class TcpRelay {
 public:
  explicit TcpRelay(uint16_t target)
      : target_(target), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(listener_.get(), 16);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  TcpRelay(const TcpRelay&) = delete;
  TcpRelay& operator=(const TcpRelay&) = delete;
  ~TcpRelay() {
    ending_ = true;
    thread_.join();
  }

  uint16_t port() const { return port_; }
  /// Breaks every connection; each new one is closed at once.
  void close() { open_ = false; }
  void open() { open_ = true; }

 private:
  struct Link {
    UniqueFd client, server;
  };
  static constexpr int kTurn = 5;  // ms until an order of the test is seen

  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  void run() {
    while (!ending_) {
      if (!open_) {
        links_.clear();
      }
      std::vector<pollfd> fds{{listener_.get(), POLLIN, 0}};
      for (const Link& link : links_) {
        fds.push_back({link.client.get(), POLLIN, 0});
        fds.push_back({link.server.get(), POLLIN, 0});
      }
      if (poll(fds.data(), fds.size(), kTurn) <= 0) {
        continue;
      }
      size_t i = 1;
      for (auto at = links_.begin(); at != links_.end(); i += 2) {
        const bool alive = pass(fds[i], at->server.get()) && pass(fds[i + 1], at->client.get());
        at = alive ? std::next(at) : links_.erase(at);
      }
      if (fds[0].revents != 0) {
        accept_one();
      }
    }
  }
  void accept_one() {
    Link link{UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)),
              UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))};
    const sockaddr_in address = loopback(target_);
    if (open_ && connect(link.server.get(), reinterpret_cast<const sockaddr*>(&address),
                         sizeof address) == 0) {
      const int on = 1;
      setsockopt(link.client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      setsockopt(link.server.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      links_.push_back(std::move(link));
    }
  }
  static bool pass(const pollfd& from, int to) {
    if (from.revents == 0) {
      return true;
    }
    char block[65536];
    const ssize_t n = recv(from.fd, block, sizeof block, 0);
    for (ssize_t sent = 0; sent < n;) {
      const ssize_t now = send(to, block + sent, static_cast<size_t>(n - sent), MSG_NOSIGNAL);
      if (now <= 0) {
        return false;
      }
      sent += now;
    }
    return n > 0;
  }

  const uint16_t target_;
  uint16_t port_ = 0;
  UniqueFd listener_;
  std::atomic<bool> open_{true};
  std::atomic<bool> ending_{false};
  std::list<Link> links_;  // of the thread
  std::thread thread_;
};

}  // namespace backplane::test
