// SPDX-License-Identifier: Apache-2.0
// A libcoap context on the kernel's loop: reads what has come, counts what is no CoAP, keeps the
// library's log. One thread at a time: the constructor is the control thread's, all after it the
// loop's. So an instance starts in a task of the loop.
//
// Design notes.
// - libcoap has an epoll set of its own, with its sockets and its timer in it. A loop that watches
//   the set pays for an epoll inside an epoll, and has to ask the set what is ready: 6 % of a round
//   trip. So the loop watches what is in the set, by /proc, and hands the library the event that
//   the set would have given. It holds because the library changes the set only when a socket comes
//   or goes, which is between unwatch() and watch(). Without /proc the loop watches the set.
// - Sending needs nothing more, since the library arms its timer.
// - Whoever calls into the library from outside of a callback holds an Entry: the library's log
//   handler is one for the whole process and finds the instance by it.
// - OpenSSL judges a call by a list of errors of the thread, which others on this loop may have
// left
//   something in, and libcoap does. So it is emptied before the library is entered and after it.
// - Datagrams that the library cannot parse are only in its log; shorter ones, and those for which
//   the receive buffer had no room, only in the system's count for the socket, which is asked once
//   a second.
#pragma once

#include "handles.hpp"
#include <backplane/sdk/loop.hpp>

#include <list>
#include <memory>
#include <optional>
#include <vector>

namespace backplane::coap {

class Stack {
 public:
  /// Throws Error when the library or the system gives no context. [control]
  explicit Stack(const Host& host);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// From now on datagrams are read. [loop]
  void start();
  /// Before the context loses a socket, and after it has got another. No datagrams are read between
  /// them. [loop]
  void unwatch() noexcept { watches_.clear(); }
  void watch();
  /// Before the first session or endpoint with DTLS.
  void use_dtls() noexcept { uses_dtls_ = true; }
  /// After a handshake was begun outside of the library: its retransmissions need the timer. [loop]
  void arm_timer() noexcept;
  /// No more datagrams are read, and the context is gone, with all its sessions. Nobody may hold a
  /// session any more. [loop]
  void close() noexcept;

  const Host& host() const noexcept { return host_; }
  coap_context_t* context() const noexcept { return context_.get(); }
  bool is_open() const noexcept { return context_ != nullptr; }

  /// Counts the datagrams that the system drops for this socket of the context; -1 is ignored. The
  /// client's socket can be another one later.
  void count_drops(int socket, bool is_dtls, bool is_client = false);
  /// Before the client's socket is closed: its number may soon be another's.
  void forget_drops_of_peer() noexcept {
    sample_drops();
    std::erase_if(sockets_, [](const Socket& socket) { return socket.is_client; });
  }

  /// A call into the library from outside.
  class Entry {
   public:
    explicit Entry(Stack& stack) noexcept;
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    const bool uses_dtls_;
    Stack* const outer_;
  };

 private:
  struct Socket {
    int fd;
    uint32_t dropped;
    bool is_client;
  };

  void take(uint64_t data) noexcept;
  void take_from_set() noexcept;
  void sample_drops() noexcept;
  static void log(coap_log_t level, const char* message);
  void take_log(coap_log_t level, std::string_view message) noexcept;

  const Host& host_;
  const Counter malformed_;
  const Counter dropped_;
  Context context_;
  std::vector<Socket> sockets_;
  bool is_started_ = false;
  bool uses_dtls_ = false;
  std::list<FdWatch> watches_;
  std::optional<Timer> sampler_;
};

}  // namespace backplane::coap
