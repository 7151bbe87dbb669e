// SPDX-License-Identifier: Apache-2.0
// The connections of a server: TCP on the kernel's loop, as open62541 wants it.
//
// Design notes.
// - The socket is bound before the library starts, so that port 0 is known by its number then.
// - The library is told of the end of a connection in a later turn of the loop, never inside a
// call.
// - A peer that does not take its answers is not read from until it does; it may ask no more than
//   it takes. What else waits for it (notifications, in answer to what it had asked) is bounded.
// - One more connection than there may be is taken: for it the library closes the oldest without a
//   session (part 4, 5.5.2), or the new one. The next is not accepted before that is done.
// - `turn_over` is called when the library has come back from what a peer has sent: what it wanted
//   done meanwhile is done then, not in the middle of it.
#pragma once

#include "connection_manager.hpp"
#include "outbox.hpp"
#include <backplane/sdk/unique_handle.hpp>

#include <memory>

namespace backplane::opcua {

class Listener final : private ConnectionManager {
 public:
  struct Events {
    std::function<void()> opened;  // a peer has connected; nothing of it was read
    std::function<void()> turn_over;
    std::function<void(uintptr_t)> closed;  // a connection is gone
  };
  /// `host` and `loop` outlive it.
  Listener(const Host& host, EventLoop& loop, size_t most_connections, Events events);
  ~Listener() override;

  /// Binds an IP address. Throws Error; FAILED_PRECONDITION: somebody has the port.
  void bind(const std::string& address, uint16_t port);
  /// That was bound.
  uint16_t port() const noexcept { return port_; }
  /// Closes what is left.
  void close_all();

  /// The connection whose bytes the library looks at; 0: none.
  uintptr_t current() const noexcept { return current_; }
  /// "127.0.0.1:51234"; empty: it is gone.
  std::string peer(uintptr_t connection) const;

  /// A peer has connected: the number of the connection, 0 when there are too many. The library
  /// may refuse it, which closes it later.
  uintptr_t accepted(UniqueFd socket, std::string peer);
  /// Bytes of a peer.
  void received(uintptr_t connection, std::string_view bytes);

 private:
  struct Connection;
  UA_StatusCode open(void* application, void* context, Callback callback) override;
  UA_StatusCode send(uintptr_t connection, std::string_view bytes) override;
  UA_StatusCode close(uintptr_t connection) override;
  void accept_some();
  void on_ready(uintptr_t id, uint32_t events);
  Connection* find(uintptr_t id) noexcept;
  size_t peers() const noexcept { return connections_.size() - 1; }  // while it listens
  void close_later(Connection& connection);
  void close_marked();
  void tell(Connection& to, UA_ConnectionState state, const UA_KeyValueMap* parameters,
            std::string_view bytes) noexcept;

  const Host& host_;
  const size_t most_;
  const Events events_;
  uint16_t port_ = 0;
  std::string address_;
  UniqueFd bound_;
  uintptr_t last_id_ = 0;
  uintptr_t listening_ = 0;  // its number among the connections
  uintptr_t current_ = 0;
  std::unordered_map<uintptr_t, std::unique_ptr<Connection>> connections_;
  std::vector<uintptr_t> closing_;
  UA_DelayedCallback close_{};
  bool is_closing_ = false;  // the callback is on its way
  Timer accept_again_;
  const Gauge open_gauge_;
  const Counter refused_;
};

}  // namespace backplane::opcua
