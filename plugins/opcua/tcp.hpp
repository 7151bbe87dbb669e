// SPDX-License-Identifier: Apache-2.0
// The connection under a secure channel: TCP on the kernel's loop, as open62541 wants it.
//
// Design notes.
// - It connects where the configuration says, whatever the library asks for: a server tells its
//   clients its own address (FindServers, GetEndpoints), which nobody has to believe. The name was
//   looked up before: each connection tries the same addresses, in their order.
// - The library connects anew by itself, at once and for ever. It may once, by the name that the
//   server has for itself; who gives up forbids it (forbid()), and the back-off is ours.
// - What the socket does not take waits here; the library's own manager would block.
// - Sending does not fail: a connection that is over ends in a later turn of the loop, and with it
//   all requests. The library tells its users of a send that failed inside their call, and some of
//   its calls lose memory then.
#pragma once

#include "connection_manager.hpp"

#include <deque>
#include <vector>

namespace backplane::opcua {

class Tcp final : private ConnectionManager {
 public:
  /// `host` and `loop` outlive it. `addresses` are numeric. `after_read`, which may be empty: after
  /// each time that the library was given what has come.
  Tcp(const Host& host, EventLoop& loop, std::vector<std::string> addresses, uint16_t port,
      std::function<void()> after_read);
  ~Tcp() override;

  /// No connection is opened any more.
  void forbid() noexcept { opens_left_ = 0; }
  /// The library looks at what has come; `after_read` is still to come.
  bool is_reading() const noexcept { return is_reading_; }
  /// Closes now, and tells the library, which does not wait for the peer then.
  void abort() noexcept;
  /// The peer has taken a connection.
  bool was_established() const noexcept { return was_established_; }
  /// Why the last connection ended or was not made; empty: the peer closed it, or we.
  const std::string& reason() const noexcept { return reason_; }

 private:
  struct Connection;
  UA_StatusCode open(void* application, void* context, Callback callback) override;
  UA_StatusCode send(uintptr_t connection, std::string_view bytes) override;
  UA_StatusCode close(uintptr_t connection) override;
  void connect_next();
  /// Closes what there is when `body` throws.
  template <class Body>
  void or_close(Body body) noexcept;
  void on_connecting();
  void on_ready(uint32_t events);
  void send(std::string_view bytes);
  void flush();
  void close_later(std::string reason);
  void tell(UA_ConnectionState state, UA_ByteString message) noexcept;

  const Host& host_;
  const std::vector<std::string> addresses_;
  const uint16_t port_;
  const std::function<void()> after_read_;
  int opens_left_ = 2;
  bool was_established_ = false;
  bool is_reading_ = false;
  uintptr_t last_id_ = 0;
  std::string reason_;
  std::unique_ptr<Connection> connection_;
  UA_DelayedCallback closing_{};
};

}  // namespace backplane::opcua
