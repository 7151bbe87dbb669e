// SPDX-License-Identifier: Apache-2.0
// What the relays have in common: which way a fault is on, and a thread that a test gives orders.
#pragma once

#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <netinet/in.h>
#include <thread>
#include <vector>

namespace backplane::test {

/// Of a line between a client and a server: what the client sends, and what it gets.
struct Ways {
  bool requests = false;
  bool answers = false;
};
constexpr Ways kRequests{true, false};
constexpr Ways kAnswers{false, true};
constexpr Ways kBothWays{true, true};

inline sockaddr_in loopback_address(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}
/// Binds it to a port of the loopback interface, and tells which; 0: any.
inline uint16_t bind_loopback(int fd, uint16_t port = 0) {
  sockaddr_in address = loopback_address(port);
  socklen_t length = sizeof address;
  bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

/// Calls `turn` over and over, and between two turns what a test has ordered.
class RelayThread {
 public:
  explicit RelayThread(std::function<void()> turn)
      : turn_(std::move(turn)), thread_([this] { run(); }) {}
  RelayThread(const RelayThread&) = delete;
  RelayThread& operator=(const RelayThread&) = delete;
  ~RelayThread() {
    ending_ = true;
    thread_.join();
  }
  /// Returns when it is done.
  void order(std::function<void()> what) {
    std::unique_lock lock(mutex_);
    orders_.push_back(std::move(what));
    const size_t mine = ++given_;
    obeyed_.wait(lock, [&] { return done_ >= mine; });
  }

 private:
  void run() {
    while (!ending_) {
      turn_();
      const std::lock_guard lock(mutex_);
      for (const auto& order : orders_) {
        order();
      }
      done_ += orders_.size();
      orders_.clear();
      obeyed_.notify_all();
    }
  }

  const std::function<void()> turn_;
  std::mutex mutex_;
  std::condition_variable obeyed_;
  std::vector<std::function<void()>> orders_;  // guarded by mutex_, as what follows
  size_t given_ = 0;
  size_t done_ = 0;
  std::atomic<bool> ending_{false};
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace backplane::test
