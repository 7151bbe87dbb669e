// SPDX-License-Identifier: Apache-2.0
// A relay between clients and a UDP port of this machine, whose line a test can break in the ways
// in which lines break.
#pragma once

#include "backplane/sdk/unique_handle.hpp"
#include "support/relay.hpp"

#include <map>
#include <optional>
#include <poll.h>
#include <random>
#include <string>
#include <sys/socket.h>

namespace backplane::test {

/// What becomes of a datagram. Garbled ones arrive as if UDP's checksum had not seen it.
enum class Harm { kNone, kLose, kRepeat, kOvertake, kGarble, kTruncate };

/// What is wrong with the line now; nothing, unless said.
struct UdpFaults {
  bool refuses = false;                // nobody listens at the port, and the system says so
  Ways loses{};                        // everything
  std::chrono::milliseconds delay{0};  // each way
  Harm harm = Harm::kNone;             // of some datagrams, either way
  unsigned one_in = 4;                 // so many of them
  int at = 0;  // kGarble: which byte, from the end if negative; kTruncate: how many are left
};

class UdpRelay {
 public:
  explicit UdpRelay(uint16_t target) : target_(target) {
    listen();
    thread_.emplace([this] { turn(); });
  }

  uint16_t port() const { return port_; }
  /// The line is like this from now on.
  void become(UdpFaults faults) {
    thread_->order([this, faults] {
      faults_ = faults;
      if (faults.refuses) {
        ++harmed_;
        listener_.reset();
      } else if (!listener_) {
        listen();
      }
    });
  }
  /// The server sees its clients at other ports from now on, as behind a NAT that has forgotten
  /// them; what it sends to the old ones is lost.
  void rebind() {
    thread_->order([this] {
      for (auto& [port, link] : links_) {
        link = connected();
        ++harmed_;
      }
    });
  }
  /// How many datagrams, or ports, it has harmed.
  size_t harmed() const { return harmed_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr auto kOvertaken = std::chrono::milliseconds(30);
  struct Datagram {
    uint16_t client;  // whose; its port
    bool is_request;
    std::string bytes;
  };

  void listen() {
    listener_.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    port_ = bind_loopback(listener_.get(), port_);
  }
  UniqueFd connected() const {
    UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback_address(target_);
    connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    return fd;
  }

  void turn() {
    std::vector<pollfd> fds{{listener_.get(), POLLIN, 0}};
    std::vector<uint16_t> clients{0};
    for (const auto& [client, link] : links_) {
      fds.push_back({link.get(), POLLIN, 0});
      clients.push_back(client);
    }
    poll(fds.data(), fds.size(), 1);
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents != 0) {
        take(fds[i].fd, clients[i]);
      }
    }
    while (!waiting_.empty() && waiting_.begin()->first <= Clock::now()) {
      give(waiting_.begin()->second);
      waiting_.erase(waiting_.begin());
    }
  }

  /// `client`: whom it is for; 0: it is of a client.
  void take(int fd, uint16_t client) {
    char bytes[65536];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t n =
        recvfrom(fd, bytes, sizeof bytes, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 0) {
      return;  // the server's port is closed, and the system says so
    }
    const bool is_request = client == 0;
    if (is_request) {
      client = ntohs(from.sin_port);
      if (links_.count(client) == 0) {
        links_.emplace(client, connected());
      }
    }
    harm({client, is_request, {bytes, static_cast<size_t>(n)}});
  }

  void harm(Datagram datagram) {
    const Clock::time_point due = Clock::now() + faults_.delay;
    harmed_ += faults_.delay.count() > 0 ? 1 : 0;
    if (datagram.is_request ? faults_.loses.requests : faults_.loses.answers) {
      ++harmed_;
      return;
    }
    if (faults_.harm == Harm::kNone || random_() % faults_.one_in != 0) {
      waiting_.emplace(due, std::move(datagram));
      return;
    }
    ++harmed_;
    switch (faults_.harm) {
      case Harm::kNone:
      case Harm::kLose:
        return;
      case Harm::kRepeat:
        waiting_.emplace(due, datagram);
        waiting_.emplace(due + kOvertaken, std::move(datagram));
        return;
      case Harm::kOvertake:
        waiting_.emplace(due + kOvertaken, std::move(datagram));
        return;
      case Harm::kGarble: {
        const auto size = static_cast<int>(datagram.bytes.size());
        const int at = faults_.at < 0 ? size + faults_.at : faults_.at;
        if (at >= 0 && at < size) {
          char& byte = datagram.bytes[static_cast<size_t>(at)];
          byte = static_cast<char>(~byte);
        }
        break;
      }
      case Harm::kTruncate:
        datagram.bytes.resize(std::min(datagram.bytes.size(), static_cast<size_t>(faults_.at)));
        break;
    }
    waiting_.emplace(due, std::move(datagram));
  }

  void give(const Datagram& datagram) {
    const auto link = links_.find(datagram.client);
    if (datagram.is_request) {
      send(link->second.get(), datagram.bytes.data(), datagram.bytes.size(), 0);
    } else if (listener_) {
      const sockaddr_in to = loopback_address(datagram.client);
      sendto(listener_.get(), datagram.bytes.data(), datagram.bytes.size(), 0,
             reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
  }

  const uint16_t target_;
  std::atomic<uint16_t> port_{0};
  std::atomic<size_t> harmed_{0};
  // ---- the thread's ----
  UdpFaults faults_;
  std::mt19937 random_{1};  // the same in each run
  UniqueFd listener_;
  std::map<uint16_t, UniqueFd> links_;  // to the server, by the client's port
  std::multimap<Clock::time_point, Datagram> waiting_;
  std::optional<RelayThread> thread_;  // the last member: it uses the others
};

}  // namespace backplane::test
