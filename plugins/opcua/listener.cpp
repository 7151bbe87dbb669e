// SPDX-License-Identifier: Apache-2.0
#include "listener.hpp"

#include <array>
#include <cerrno>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace backplane::opcua {
namespace {

constexpr size_t kMostWaiting = size_t{16} << 20;
constexpr int kAcceptAtOnce = 16;
constexpr int kBacklog = 128;
constexpr auto kAcceptAgain = std::chrono::seconds(1);

std::string text_of(const sockaddr_storage& address, socklen_t size) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(),
                  port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return {};
  }
  const std::string_view name(host.data());
  const bool is_v6 = address.ss_family == AF_INET6;
  return concat(is_v6 ? "[" : "", name, is_v6 ? "]" : "", ":", std::string_view(port.data()));
}

uint16_t port_of(int fd) noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

}  // namespace

struct Listener::Connection {
  uintptr_t id = 0;
  void* application = nullptr;
  void* context = nullptr;
  UA_ConnectionManager_connectionCallback callback = nullptr;
  std::string peer;
  UniqueFd socket;
  std::optional<FdWatch> watch;
  Outbox outbox{kMostWaiting};
  bool is_closing = false;
};

Listener::Listener(const Host& host, EventLoop& loop, size_t most_connections, Events events)
    : ConnectionManager(loop),
      host_(host),
      most_(most_connections),
      events_(std::move(events)),
      accept_again_(host,
                    [this] {
                      if (Connection* const listening = find(listening_)) {
                        static_cast<void>(listening->watch->change(BP_FD_READ));
                      }
                    }),
      open_gauge_(host.gauge("opcua_connections")),
      refused_(host.counter("opcua_connections_refused_total")) {
  close_.callback = [](void* application, void*) {
    static_cast<Listener*>(application)->close_marked();
  };
  close_.application = this;
}

Listener::~Listener() { loop_.native()->removeDelayedCallback(loop_.native(), &close_); }

void Listener::bind(const std::string& address, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    throw Error(BP_INVALID_ARGUMENT, address, " is no address");
  }
  const UniqueHandle<addrinfo, freeaddrinfo> owner(found);
  UniqueFd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  // A port that has just been left can be had again; one that somebody listens on cannot.
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (socket.get() < 0 || ::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    const int error = errno;
    throw Error(
        Status(error == EADDRINUSE ? BP_FAILED_PRECONDITION : BP_UNAVAILABLE, "listening on ",
               address, " port ", port, ": ", std::string_view(strerror(error)),
               error == EADDRINUSE ? "; end the program that has it, or take another one" : "")
            .with_native(error, "errno"));
  }
  port_ = port_of(socket.get());
  address_ = address;
  bound_ = std::move(socket);
}

UA_StatusCode Listener::open(void* application, void* context, Callback callback) {
  if (bound_.get() < 0) {
    return UA_STATUSCODE_BADCONNECTIONREJECTED;
  }
  auto made = std::make_unique<Connection>();
  Connection& listening = *made;
  listening.id = listening_ = ++last_id_;
  listening.application = application;
  listening.context = context;
  listening.callback = callback;
  listening.socket = std::move(bound_);
  listening.watch.emplace(host_, listening.socket.get(), BP_FD_READ,
                          [this](uint32_t) { accept_some(); });
  connections_.emplace(listening.id, std::move(made));
  UA_String address = borrowed(address_);
  std::array<UA_KeyValuePair, 2> pairs{};
  pairs[0].key = {0, borrowed("listen-address")};
  UA_Variant_setScalar(&pairs[0].value, &address, &UA_TYPES[UA_TYPES_STRING]);
  pairs[1].key = {0, borrowed("listen-port")};
  UA_Variant_setScalar(&pairs[1].value, &port_, &UA_TYPES[UA_TYPES_UINT16]);
  const UA_KeyValueMap parameters{pairs.size(), pairs.data()};
  tell(listening, UA_CONNECTIONSTATE_ESTABLISHED, &parameters, {});
  return UA_STATUSCODE_GOOD;
}

void Listener::accept_some() {
  for (int i = 0; i < kAcceptAtOnce; ++i) {
    Connection* const listening = find(listening_);
    if (listening == nullptr || (is_closing_ && peers() >= most_)) {
      return;  // or there will be room at once
    }
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    UniqueFd socket(::accept4(listening->socket.get(), reinterpret_cast<sockaddr*>(&address), &size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.get() >= 0) {
      const int on = 1;
      setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      static_cast<void>(accepted(std::move(socket), text_of(address, size)));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The peer stays in the queue, and the socket ready: not to be asked again at once.
      host_.log().warning("a client cannot be accepted",
                          {{"error", std::string_view(strerror(errno))}});
      static_cast<void>(listening->watch->change(0));
      static_cast<void>(accept_again_.after(kAcceptAgain));
      return;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    }
  }
}

uintptr_t Listener::accepted(UniqueFd socket, std::string peer) {
  Connection* const listening = find(listening_);
  if (listening == nullptr || peers() > most_) {
    refused_.add();
    return 0;
  }
  events_.opened();
  auto made = std::make_unique<Connection>();
  Connection& connection = *made;
  connection.id = ++last_id_;
  connection.application = listening->application;
  connection.context = listening->context;  // by which the library knows where it comes from
  connection.callback = listening->callback;
  connection.peer = std::move(peer);
  connection.socket = std::move(socket);
  connection.watch.emplace(host_, connection.socket.get(), BP_FD_READ,
                           [this, id = connection.id](uint32_t events) { on_ready(id, events); });
  connections_.emplace(connection.id, std::move(made));
  const uintptr_t id = connection.id;
  tell(connection, UA_CONNECTIONSTATE_ESTABLISHED, &UA_KEYVALUEMAP_NULL, {});
  if (connection.is_closing) {
    refused_.add();  // each has a session
  }
  open_gauge_.set(static_cast<int64_t>(peers() - closing_.size()));
  return id;
}

void Listener::on_ready(uintptr_t id, uint32_t events) {
  Connection* const connection = find(id);
  if (connection == nullptr) {
    return;
  }
  if ((events & BP_FD_WRITE) != 0) {
    if (connection->outbox.flush(connection->socket.get()).is_error()) {
      return close_later(*connection);
    }
    if (connection->outbox.is_empty()) {
      static_cast<void>(connection->watch->change(BP_FD_READ));
    }
  }
  if ((events & BP_FD_READ) == 0 || !connection->outbox.is_empty()) {
    return;
  }
  const ssize_t n = receive(connection->socket.get(),
                            [&](const UA_ByteString& bytes) { received(id, view(bytes)); });
  // It may be gone, if something has come.
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
    close_later(*connection);
  }
}

void Listener::received(uintptr_t id, std::string_view bytes) {
  Connection* const connection = find(id);
  if (connection == nullptr) {
    return;
  }
  current_ = id;
  tell(*connection, UA_CONNECTIONSTATE_ESTABLISHED, &UA_KEYVALUEMAP_NULL, bytes);
  current_ = 0;
  events_.turn_over();
}

UA_StatusCode Listener::send(uintptr_t id, std::string_view bytes) {
  Connection* const connection = find(id);
  if (connection == nullptr) {
    return UA_STATUSCODE_BADCONNECTIONCLOSED;
  }
  Status status;
  try {
    status = connection->outbox.send(connection->socket.get(), bytes);
  } catch (const std::bad_alloc&) {
    status = Status(BP_RESOURCE_EXHAUSTED);  // a part may be sent: nothing can follow it
  }
  if (status.is_error()) {
    close_later(*connection);
    return UA_STATUSCODE_BADCONNECTIONCLOSED;
  }
  if (!connection->outbox.is_empty()) {
    static_cast<void>(connection->watch->change(BP_FD_WRITE));
  }
  return UA_STATUSCODE_GOOD;
}

UA_StatusCode Listener::close(uintptr_t id) {
  Connection* const connection = find(id);
  if (connection == nullptr) {
    return UA_STATUSCODE_BADCONNECTIONCLOSED;
  }
  close_later(*connection);
  return UA_STATUSCODE_GOOD;
}

/// Not one that is being closed.
Listener::Connection* Listener::find(uintptr_t id) noexcept {
  const auto at = connections_.find(id);
  return at == connections_.end() || at->second->is_closing ? nullptr : at->second.get();
}

std::string Listener::peer(uintptr_t connection) const {
  const auto at = connections_.find(connection);
  return at == connections_.end() ? std::string() : at->second->peer;
}

void Listener::close_later(Connection& connection) {
  closing_.push_back(connection.id);
  connection.is_closing = true;
  connection.watch.reset();
  if (!std::exchange(is_closing_, true)) {
    loop_.native()->addDelayedCallback(loop_.native(), &close_);
  }
}

void Listener::close_marked() {
  is_closing_ = false;
  for (const uintptr_t id : std::exchange(closing_, {})) {
    const auto at = connections_.find(id);
    const std::unique_ptr<Connection> ended = std::move(at->second);
    connections_.erase(at);
    static_cast<void>(ended->outbox.flush(ended->socket.get()));  // perhaps why it is closed
    ended->socket = UniqueFd();
    tell(*ended, UA_CONNECTIONSTATE_CLOSING, &UA_KEYVALUEMAP_NULL, {});
    if (id != listening_) {
      open_gauge_.set(static_cast<int64_t>(connections_.size()) - (find(listening_) != nullptr));
      events_.closed(id);
    }
  }
}

void Listener::close_all() {
  for (const auto& [id, connection] : connections_) {
    if (!connection->is_closing) {
      close_later(*connection);
    }
  }
  loop_.native()->removeDelayedCallback(loop_.native(), &close_);
  close_marked();
  accept_again_.cancel();
  bound_ = UniqueFd();
}

void Listener::tell(Connection& to, UA_ConnectionState state, const UA_KeyValueMap* parameters,
                    std::string_view bytes) noexcept {
  to.callback(this, to.id, to.application, &to.context, state, parameters, borrowed(bytes));
}

}  // namespace backplane::opcua
