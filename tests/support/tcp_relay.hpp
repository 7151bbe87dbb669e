// SPDX-License-Identifier: Apache-2.0
// A relay between clients and a port of this machine, whose line a test can break in the ways in
// which lines break. What is on the line is never garbled: TCP does not do that.
#pragma once

#include "backplane/sdk/unique_handle.hpp"
#include "support/relay.hpp"

#include <cerrno>
#include <deque>
#include <linux/filter.h>
#include <list>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>

namespace backplane::test {

/// What is wrong with the line now; nothing, unless said.
struct TcpFaults {
  bool refuses = false;                // every connection is broken, each new one is closed at once
  Ways holds{};                        // half open: bytes wait, though TCP acknowledges them
  bool unplugged = false;              // segments are lost, either way: TCP acknowledges nothing
  std::chrono::milliseconds delay{0};  // each way
  size_t piece = 0;                    // so many bytes a millisecond, in pieces; 0: all there are
  size_t cut_after = 0;                // a connection is reset after so many bytes; 0: never
};

class TcpRelay {
 public:
  explicit TcpRelay(uint16_t target)
      : target_(target), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    port_ = bind_loopback(listener_.get());
    listen(listener_.get(), 16);
    thread_.emplace([this] { turn(); });
  }

  uint16_t port() const { return port_; }
  /// The line is like this from now on.
  void become(TcpFaults faults) {
    thread_->order([this, faults] {
      plug(faults.unplugged);
      faults_ = faults;
    });
  }
  void close() { become({.refuses = true}); }
  void open() { become({}); }
  /// Resets every connection.
  void cut() {
    thread_->order([this] {
      for (Link& link : links_) {
        reset(link);
      }
      links_.clear();
    });
  }
  /// The peer at the other end of every connection is gone, and nobody says so. New ones work.
  void strand() {
    thread_->order([this] {
      for (Link& link : links_) {
        link.is_stranded = true;
      }
    });
  }
  /// Counts these bytes, where they come in one piece, in what clients send from now on.
  void look_for(std::string bytes) {
    thread_->order([this, bytes = std::move(bytes)] {
      wanted_ = bytes;
      seen_ = 0;
    });
  }
  size_t seen() const { return seen_; }
  /// Once: behind what a server says with `seen` in it, and in one piece with that, it says this.
  void add_behind(std::string seen, std::string bytes) {
    thread_->order([this, seen = std::move(seen), bytes = std::move(bytes)] {
      added_behind_ = seen;
      added_ = bytes;
    });
  }
  /// How often it has harmed something: a connection, or a block of bytes.
  size_t harmed() const { return harmed_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Block {
    Clock::time_point due;
    std::string bytes;
  };
  struct Way {
    std::deque<Block> blocks;
    bool has_ended = false;
  };
  struct Link {
    UniqueFd client, server;
    Way requests, answers;
    size_t passed = 0;
    bool is_stranded = false;
  };
  static constexpr size_t kMostBlocks = 64;  // of a way, until its reader waits, too

  void turn() {
    if (faults_.refuses) {
      for (Link& link : links_) {
        reset(link);
      }
      links_.clear();
    }
    std::vector<pollfd> fds{{faults_.unplugged ? -1 : listener_.get(), POLLIN, 0}};
    for (const Link& link : links_) {
      fds.push_back(
          {is_read(link, link.requests, holds().requests) ? link.client.get() : -1, POLLIN, 0});
      fds.push_back(
          {is_read(link, link.answers, holds().answers) ? link.server.get() : -1, POLLIN, 0});
    }
    poll(fds.data(), fds.size(), 1);
    if (faults_.piece > 0) {
      poll(nullptr, 0, 1);  // a turn a millisecond, however much there is to read
    }
    size_t i = 1;
    for (auto at = links_.begin(); at != links_.end(); i += 2) {
      const bool is_alive = at->is_stranded
                                ? swallow(*at, fds[i].revents != 0, fds[i + 1].revents != 0)
                                : pass(*at, fds[i].revents != 0, fds[i + 1].revents != 0);
      at = is_alive ? std::next(at) : links_.erase(at);
    }
    if (fds[0].revents != 0) {
      accept_one();
    }
  }

  Ways holds() const { return faults_.unplugged ? kBothWays : faults_.holds; }
  static bool is_read(const Link& link, const Way& way, bool is_held) {
    return link.is_stranded || (!is_held && !way.has_ended && way.blocks.size() < kMostBlocks);
  }

  bool pass(Link& link, bool from_client, bool from_server) {
    const size_t blocks = link.requests.blocks.size();
    const size_t answers = link.answers.blocks.size();
    if (!take(link.client.get(), link.requests, from_client) ||
        !take(link.server.get(), link.answers, from_server)) {
      return false;
    }
    if (link.requests.blocks.size() > blocks) {
      look_at(link.requests.blocks.back().bytes);
    }
    if (link.answers.blocks.size() > answers) {
      add_to(link.answers.blocks.back().bytes);
    }
    const bool is_alive =
        (holds().requests ? hold() : give(link, link.requests, link.server.get())) &&
        (holds().answers ? hold() : give(link, link.answers, link.client.get()));
    if (faults_.cut_after > 0 && link.passed >= faults_.cut_after) {
      reset(link);
      return false;
    }
    return is_alive;
  }
  void look_at(const std::string& bytes) {
    if (wanted_.empty()) {
      return;
    }
    for (size_t at = bytes.find(wanted_); at != std::string::npos;
         at = bytes.find(wanted_, at + 1)) {
      ++seen_;
    }
  }
  void add_to(std::string& bytes) {
    if (!added_.empty() && bytes.find(added_behind_) != std::string::npos) {
      bytes += std::exchange(added_, {});
      ++harmed_;
    }
  }
  bool hold() {
    ++harmed_;
    return true;
  }
  bool take(int from, Way& way, bool is_ready) const {
    if (!is_ready) {
      return true;
    }
    char bytes[65536];
    const ssize_t n = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0) {
      way.blocks.push_back({Clock::now() + faults_.delay, {bytes, static_cast<size_t>(n)}});
    }
    way.has_ended = n == 0;
    return n >= 0 || errno == EAGAIN;
  }
  /// False: the connection is over.
  bool give(Link& link, Way& way, int to) {
    size_t room = faults_.piece > 0 ? faults_.piece : SIZE_MAX;
    if (faults_.cut_after > 0) {
      room = std::min(room, faults_.cut_after - std::min(link.passed, faults_.cut_after));
    }
    harmed_ += faults_.piece > 0 || faults_.delay.count() > 0 ? 1 : 0;
    while (room > 0 && !way.blocks.empty() && way.blocks.front().due <= Clock::now()) {
      std::string& bytes = way.blocks.front().bytes;
      const ssize_t n =
          send(to, bytes.data(), std::min(room, bytes.size()), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0) {
        return errno == EAGAIN;
      }
      room -= static_cast<size_t>(n);
      link.passed += static_cast<size_t>(n);
      bytes.erase(0, static_cast<size_t>(n));
      if (bytes.empty()) {
        way.blocks.pop_front();
      }
    }
    return !(way.has_ended && way.blocks.empty());
  }
  bool swallow(Link& link, bool from_client, bool from_server) {
    for (auto [fd, is_ready] :
         {std::pair(&link.client, from_client), {&link.server, from_server}}) {
      char bytes[65536];
      if (is_ready && recv(fd->get(), bytes, sizeof bytes, MSG_DONTWAIT) <= 0) {
        fd->reset();
      }
    }
    ++harmed_;
    return link.client || link.server;
  }

  void accept_one() {
    Link link{UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)),
              UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
              {},
              {}};
    const sockaddr_in address = loopback_address(target_);
    if (faults_.refuses) {
      ++harmed_;
    } else if (connect(link.server.get(), reinterpret_cast<const sockaddr*>(&address),
                       sizeof address) == 0) {
      const int on = 1;
      setsockopt(link.client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      setsockopt(link.server.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      links_.push_back(std::move(link));
    }
  }
  /// RST instead of FIN, with what was not passed on yet lost.
  void reset(Link& link) {
    const linger at_once{1, 0};
    for (UniqueFd* const fd : {&link.client, &link.server}) {
      setsockopt(fd->get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      fd->reset();
    }
    ++harmed_;
  }
  /// The sockets on the client's side lose each segment that comes, before TCP sees it.
  void plug(bool is_out) {
    sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const sock_fprog filter{1, nothing};
    const int unused = 0;  // SO_DETACH_FILTER wants a value
    const auto set = [&](int fd) {
      is_out ? setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter)
             : setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
    };
    set(listener_.get());
    for (const Link& link : links_) {
      set(link.client.get());
    }
  }

  const uint16_t target_;
  uint16_t port_ = 0;
  UniqueFd listener_;
  std::atomic<size_t> harmed_{0};
  std::atomic<size_t> seen_{0};
  // ---- the thread's ----
  TcpFaults faults_;
  std::string wanted_;
  std::string added_behind_, added_;
  std::list<Link> links_;
  std::optional<RelayThread> thread_;  // the last member: it uses the others
};

}  // namespace backplane::test
