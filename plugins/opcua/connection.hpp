// SPDX-License-Identifier: Apache-2.0
// A client of open62541 on the kernel's loop, with its event loop and its TCP connection. Loop
// thread only.
//
// Design notes. It is not destroyed inside a call of the library.
#pragma once

#include "settings.hpp"
#include "tcp.hpp"

#include <open62541/client.h>

namespace backplane::opcua {

class Connection {
 public:
  struct Events {
    void* owner;  // owner_of()
    std::function<void(UA_SecureChannelState, UA_SessionState, UA_StatusCode)> changed;
    std::function<void()> silent;      // the server does not answer
    std::function<void()> after_read;  // what has come was looked at; may be empty
  };
  /// `configure` sets what is special; the logger that it needs is `config.logging`. `host`
  /// outlives it. Throws Error, and what `configure` throws.
  /// `addresses` are those of the server, numeric.
  Connection(const Host& host, const Settings& settings, std::vector<std::string> addresses,
             Events events, const std::function<void(UA_ClientConfig&)>& configure);
  /// Closes the connection; what was asked is answered with an error.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Perhaps tells its state before it returns.
  UA_StatusCode connect() { return __UA_Client_connect(client_, true); }
  UA_Client* client() noexcept { return client_; }
  /// For callbacks of the library, which know a client.
  static void* owner_of(UA_Client* client) noexcept {
    return static_cast<Connection*>(UA_Client_getContext(client))->events_.owner;
  }
  Tcp& tcp() noexcept { return tcp_; }
  const Tcp& tcp() const noexcept { return tcp_; }
  /// The channel can send. Requests that the library prepares itself are not given to it without.
  bool is_open() const noexcept;

 private:
  Events events_;
  UA_Logger logger_;
  EventLoop loop_;
  Tcp tcp_;
  UA_Client* client_ = nullptr;
};

UA_UInt32 milliseconds(std::chrono::nanoseconds time) noexcept;

}  // namespace backplane::opcua
