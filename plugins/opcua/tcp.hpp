// SPDX-License-Identifier: Apache-2.0
// The connection under a secure channel: TCP on the kernel's loop, as open62541 wants it.
//
// Design notes.
// - It connects where the configuration says, whatever the library asks for: a server tells its
//   clients its own address (FindServers, GetEndpoints), which nobody has to believe.
// - The library connects anew by itself, at once and for ever. It may while it tries one endpoint
//   after another, a few times; who gives up forbids it (forbid()), and the back-off is ours.
// - What the socket does not take waits here; the library's own manager would block.
#pragma once

#include "event_loop.hpp"
#include <backplane/sdk/resolver.hpp>

#include <deque>

namespace backplane::opcua {

class Tcp : private UA_ConnectionManager {
 public:
  /// `host` and `loop` outlive it.
  Tcp(const Host& host, EventLoop& loop, std::string address, uint16_t port);
  ~Tcp();
  Tcp(const Tcp&) = delete;
  Tcp& operator=(const Tcp&) = delete;

  /// No connection is opened any more.
  void forbid() noexcept { opens_left_ = 0; }
  /// Closes now, and tells the library, which does not wait for the peer then.
  void abort() noexcept;
  /// Why the last connection ended or was not made; empty: the peer closed it, or we.
  const std::string& reason() const noexcept { return reason_; }

 private:
  struct Connection;
  static Tcp& self(UA_ConnectionManager* manager) noexcept { return *static_cast<Tcp*>(manager); }
  void set_tables() noexcept;
  UA_StatusCode open(void* application, void* context,
                     UA_ConnectionManager_connectionCallback callback);
  void connect_next();
  void on_connecting(uint32_t events);
  void on_ready(uint32_t events);
  UA_StatusCode send(UA_ByteString* buffer);
  void flush();
  void close_later(std::string reason);
  void tell(UA_ConnectionState state, UA_ByteString message) noexcept;

  const Host& host_;
  EventLoop& loop_;
  const std::string address_;
  const uint16_t port_;
  int opens_left_ = 8;
  uintptr_t last_id_ = 0;
  std::string reason_;
  std::unique_ptr<Connection> connection_;
  UA_DelayedCallback closing_{};
  Resolver resolver_;
};

}  // namespace backplane::opcua
