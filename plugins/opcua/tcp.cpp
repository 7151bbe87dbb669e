// SPDX-License-Identifier: Apache-2.0
#include "tcp.hpp"

#include "outbox.hpp"
#include <backplane/sdk/unique_handle.hpp>

#include <cerrno>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace backplane::opcua {
namespace {

constexpr size_t kMostWaiting = size_t{64} << 20;

/// A connection that is being made; the error's text where there is none.
Result<UniqueFd> connect_to(const std::string& address, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return Status(BP_UNAVAILABLE, address, " is no address");
  }
  const UniqueHandle<addrinfo, freeaddrinfo> owner(found);
  UniqueFd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (socket.get() >= 0) {
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (socket.get() < 0 ||
      (::connect(socket.get(), found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS)) {
    return socket_status(errno);
  }
  return socket;
}

}  // namespace

struct Tcp::Connection {
  uintptr_t id = 0;
  void* application = nullptr;
  void* context = nullptr;
  UA_ConnectionManager_connectionCallback callback = nullptr;
  std::deque<std::string> addresses;  // to try
  UniqueFd socket;
  std::optional<FdWatch> watch;
  Outbox outbox{kMostWaiting};
  bool is_closing = false;
};

Tcp::Tcp(const Host& host, EventLoop& loop, std::vector<std::string> addresses, uint16_t port,
         std::function<void()> after_read)
    : ConnectionManager(loop),
      host_(host),
      addresses_(std::move(addresses)),
      port_(port),
      after_read_(std::move(after_read)) {}

Tcp::~Tcp() { loop_.native()->removeDelayedCallback(loop_.native(), &closing_); }

UA_StatusCode Tcp::open(void* application, void* context, Callback callback) {
  if (opens_left_ == 0 || connection_) {
    return UA_STATUSCODE_BADCONNECTIONREJECTED;
  }
  auto opening = std::make_unique<Connection>();
  opening->addresses.assign(addresses_.begin(), addresses_.end());
  --opens_left_;
  connection_ = std::move(opening);
  connection_->id = ++last_id_;
  connection_->application = application;
  connection_->context = context;
  connection_->callback = callback;
  tell(UA_CONNECTIONSTATE_OPENING, UA_BYTESTRING_NULL);
  or_close([this] { connect_next(); });
  return UA_STATUSCODE_GOOD;
}

UA_StatusCode Tcp::send(uintptr_t connection, std::string_view bytes) {
  if (!connection_ || connection_->id != connection) {
    return UA_STATUSCODE_BADCONNECTIONCLOSED;
  }
  if (!connection_->is_closing) {
    or_close([&] { send(bytes); });
  }
  return UA_STATUSCODE_GOOD;
}

UA_StatusCode Tcp::close(uintptr_t connection) {
  if (!connection_ || connection_->id != connection) {
    return UA_STATUSCODE_BADCONNECTIONCLOSED;
  }
  close_later({});
  return UA_STATUSCODE_GOOD;
}

template <class Body>
void Tcp::or_close(Body body) noexcept {
  boundary(body, [this](const Status& status) { close_later(status.to_string()); });
}

void Tcp::connect_next() {
  std::string reason;
  while (!connection_->is_closing && !connection_->addresses.empty()) {
    const std::string address = std::move(connection_->addresses.front());
    connection_->addresses.pop_front();
    Result<UniqueFd> socket = connect_to(address, port_);
    if (socket) {
      connection_->socket = *std::move(socket);
      connection_->watch.emplace(host_, connection_->socket.get(), BP_FD_WRITE,
                                 [this](uint32_t) { or_close([this] { on_connecting(); }); });
      return;
    }
    reason = socket.status().message();
  }
  close_later(reason);
}

void Tcp::on_connecting() {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(connection_->socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  connection_->watch.reset();
  if (error != 0) {
    if (connection_->addresses.empty()) {
      return close_later(strerror(error));
    }
    return connect_next();
  }
  reason_.clear();
  was_established_ = true;
  connection_->watch.emplace(host_, connection_->socket.get(), BP_FD_READ,
                             [this](uint32_t events) { on_ready(events); });
  tell(UA_CONNECTIONSTATE_ESTABLISHED, UA_BYTESTRING_NULL);
}

void Tcp::on_ready(uint32_t events) {
  if (connection_->is_closing) {
    return;
  }
  if ((events & BP_FD_WRITE) != 0) {
    flush();
  }
  if ((events & BP_FD_READ) == 0 || connection_->is_closing) {
    return;
  }
  const ssize_t n = receive(connection_->socket.get(), [this](const UA_ByteString& bytes) {
    is_reading_ = true;
    tell(UA_CONNECTIONSTATE_ESTABLISHED, bytes);
    is_reading_ = false;
  });
  if (n > 0) {
    if (after_read_) {
      after_read_();
    }
    return;
  }
  if (n == 0) {
    close_later("the server closed the connection");
  } else if (errno != EAGAIN && errno != EINTR) {
    close_later(strerror(errno));
  }
}

void Tcp::send(std::string_view bytes) {
  Connection& to = *connection_;
  if (const Status status = to.outbox.send(to.socket.get(), bytes); status.is_error()) {
    return close_later(std::string(status.message()));
  }
  if (!to.outbox.is_empty()) {
    static_cast<void>(to.watch->change(BP_FD_READ | BP_FD_WRITE));
  }
}

void Tcp::flush() {
  Connection& to = *connection_;
  if (const Status status = to.outbox.flush(to.socket.get()); status.is_error()) {
    return close_later(std::string(status.message()));
  }
  if (to.outbox.is_empty()) {
    static_cast<void>(to.watch->change(BP_FD_READ));
  }
}

// The library expects the end of a connection in a later turn of the loop, never inside a call.
void Tcp::close_later(std::string reason) {
  if (std::exchange(connection_->is_closing, true)) {
    return;
  }
  if (!reason.empty()) {
    reason_ = std::move(reason);
  }
  closing_.callback = [](void* application, void*) { static_cast<Tcp*>(application)->abort(); };
  closing_.application = this;
  loop_.native()->addDelayedCallback(loop_.native(), &closing_);
}

void Tcp::abort() noexcept {
  loop_.native()->removeDelayedCallback(loop_.native(), &closing_);
  // Out of the way first: being told, the library may open the next one.
  if (const std::unique_ptr<Connection> ended = std::move(connection_)) {
    ended->watch.reset();
    ended->socket = UniqueFd();
    ended->callback(this, ended->id, ended->application, &ended->context,
                    UA_CONNECTIONSTATE_CLOSING, &UA_KEYVALUEMAP_NULL, UA_BYTESTRING_NULL);
  }
}

void Tcp::tell(UA_ConnectionState state, UA_ByteString message) noexcept {
  Connection& to = *connection_;
  to.callback(this, to.id, to.application, &to.context, state, &UA_KEYVALUEMAP_NULL, message);
}

}  // namespace backplane::opcua
