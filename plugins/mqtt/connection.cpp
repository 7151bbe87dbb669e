// SPDX-License-Identifier: Apache-2.0
#include "connection.hpp"

#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace backplane::mqtt {
namespace {

constexpr auto kTick = std::chrono::seconds(1);
constexpr unsigned kMaxRestarts = 3;  // of a session that the broker and we disagree about

}  // namespace

Connection::Connection(const Host& host, const Settings& settings, User& user)
    : host_(host),
      settings_(settings),
      user_(user),
      resolver_(host),
      reconnect_(
          host, [this] { begin(); }, reconnect_options()),
      connect_timer_(host, [this] { on_timeout(); }),
      tick_timer_(host, [this] { on_tick(); }),
      loss_(host, [this] { on_loss(); }) {}

Reconnect::Options Connection::reconnect_options() {
  Reconnect::Options out;
  out.first = settings_.reconnect_min;
  out.longest = settings_.reconnect_max;
  out.lost = host_.counter("connections_lost_total");
  out.report = [this](uint32_t state, std::string_view detail) { report(state, detail); };
  return out;
}

// ---- access ----

Session* Connection::Access::session() const noexcept {
  return connection_.up_ ? connection_.session_.get() : nullptr;
}

void Connection::Access::flush() noexcept {
  Session* const session = connection_.session_.get();
  if (session == nullptr || session->loss()) {
    return;
  }
  Connection::User& user = connection_.user_;
  user.digest(*session);
  for (bool more = !user.holds_output(); more;) {
    session->write();
    const bool is_stuck = session->wants_write();
    more = user.digest(*session) && !is_stuck && !user.holds_output();
  }
  connection_.update_interest();
  if (session->loss()) {
    connection_.up_ = false;
    static_cast<void>(connection_.loss_.post());
  }
}

void Connection::update_interest() noexcept {
  if (watched_ == nullptr) {
    return;
  }
  uint32_t wanted = BP_FD_READ;
  if (!tcp_connected_ || (session_->wants_write() && !user_.holds_output())) {
    wanted |= BP_FD_WRITE;
  }
  if (wanted != interest_) {
    interest_ = wanted;
    static_cast<void>(watched_->change(wanted));
  }
}

// ---- connecting ----

void Connection::start() {
  if (!stopping_) {
    reconnect_.start();
  }
}

void Connection::begin() {
  resolver_.resolve(settings_.url.host,
                    [this](const Resolver::Answer& addresses) { on_addresses(addresses); });
}

void Connection::on_addresses(const Resolver::Answer& addresses) {
  if (stopping_) {
    if (stopped_) {
      std::exchange(stopped_, {})();
    }
    return;
  }
  if (!addresses) {
    fail(addresses.status());
    return;
  }
  addresses_ = *addresses;
  next_address_ = 0;
  attempt();
}

/// At the next address that takes us that far; none: the try has failed.
void Connection::attempt() {
  Status failed;
  do {
    failed = attempt_at(addresses_[next_address_++]);
    if (failed.is_ok()) {
      static_cast<void>(connect_timer_.after(settings_.connect_timeout));
      return;
    }
    tear_down();
  } while (next_address_ < addresses_.size());
  fail(failed);
}

Status Connection::attempt_at(const std::string& address) {
  Status failed;
  boundary(
      [&] {
        {
          auto lock = access();
          SessionOptions options = user_.session_options();
          options.login = login();
          if (session_) {
            session_->renew(std::move(options));
          } else {
            session_ = std::make_unique<Session>(settings_, std::move(options));
          }
          tcp_connected_ = false;
          session_->connect(address).or_throw();
        }
        take_socket();
      },
      [&](const Status& status) { failed = status; });
  return failed;
}

/// Read anew, so that a renewed secret is used; what was read before is used on when that fails.
Login Connection::login() {
  try {
    login_ = Login::read(host_, settings_);
  } catch (const Error& error) {
    if (!login_) {
      throw;
    }
    host_.log().warning("renewed secrets are broken; the old ones are used on",
                        {{"reason", error.status().message()}});
  }
  return *login_;
}

void Connection::take_socket() {
  socket_.reset(fcntl(session_->descriptor(), F_DUPFD_CLOEXEC, 0));
  if (!socket_) {
    throw Error(
        Status(BP_RESOURCE_EXHAUSTED, "no descriptor for the socket").with_native(errno, "errno"));
  }
  // What is sent and not acknowledged by TCP for so long says that the link is dead, sooner than
  // the keep-alive would.
  const auto timeout_ms = static_cast<unsigned>(settings_.keep_alive_s) * 1000u;
  setsockopt(socket_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
  constexpr uint32_t kBoth = BP_FD_READ | BP_FD_WRITE;
  watch_.emplace(host_, socket_.get(), kBoth, [this](uint32_t) { on_socket(); });
  auto lock = access();
  watched_ = &*watch_;
  interest_ = kBoth;
  update_interest();
}

void Connection::on_socket() {
  {
    auto lock = access();
    if (!session_ || !watched_) {
      return;
    }
    tcp_connected_ = true;
    if (!session_->loss()) {
      session_->read();
    }
    if (!session_->loss() && !up_ && session_->connack()) {
      on_connack(lock);
    } else {
      user_.digest(*session_);
    }
    up_ = up_ && !session_->loss();  // nothing more is handed to a session that has ended
  }
  // What has come goes on before anything is written: a write takes longer than all the rest.
  user_.act();
  {
    auto lock = access();
    if (tcp_connected_) {  // else this is another attempt already
      lock.flush();
    }
    if (session_ && session_->loss()) {
      user_.digest(*session_);
      up_ = false;
    }
  }
  user_.act();
  on_loss();
}

void Connection::on_connack(Access& access) {
  if (user_.on_connack(*session_, *session_->connack()) == Verdict::kRestart) {
    session_->disconnect(true);
    session_->write();
    access.unlock();
    tear_down();
    if (++restarts_ <= kMaxRestarts) {
      --next_address_;  // the same again, at once
      attempt();
    } else {
      restarts_ = 0;
      fail(Status(BP_UNAVAILABLE,
                  "the broker does not end an earlier session: does another client have this "
                  "client_id?"));
    }
    access.relock();
    return;
  }
  up_ = true;
  restarts_ = 0;
  connect_timer_.cancel();
  static_cast<void>(tick_timer_.after(kTick));
  access.flush();
  access.unlock();
  refusal_ = Status::ok();
  reconnect_.up(concat("connected to ", settings_.url.to_string()));
  access.relock();
}

// ---- losing ----

void Connection::on_loss() {
  Status why;
  bool answered = false;
  {
    auto lock = access();
    if (!session_ || !session_->loss() || !watched_) {
      return;
    }
    why = *session_->loss();
    answered = session_->connack().has_value();
  }
  tear_down();
  user_.act();
  if (stopping_ || paused_) {
    return;
  }
  if (!answered && next_address_ < addresses_.size()) {
    attempt();
  } else {
    fail(why);
  }
}

void Connection::on_timeout() {
  {
    auto lock = access();
    if (!session_ || up_) {
      return;
    }
  }
  tear_down();
  if (next_address_ < addresses_.size()) {
    attempt();
  } else {
    fail(Status(
        BP_UNAVAILABLE, "no answer from ", settings_.url.to_string(), " within ",
        std::chrono::duration_cast<std::chrono::milliseconds>(settings_.connect_timeout).count(),
        " ms"));
  }
}

void Connection::tear_down() {
  std::unique_ptr<Session> gone;
  {
    auto lock = access();
    up_ = false;
    watched_ = nullptr;
    if (session_ && !user_.on_loss(*session_)) {
      gone = std::move(session_);
    }
  }
  connect_timer_.cancel();
  tick_timer_.cancel();
  watch_.reset();
  socket_.reset();
}

void Connection::fail(const Status& why) {
  refusal_ = is_lasting(why) ? why : Status::ok();
  reconnect_.failed(why.message());
}

void Connection::report(uint32_t state, std::string_view detail) {
  if (!paused_) {
    const bool refused = state == BP_STATE_CONNECTING && refusal_.is_error();
    user_.on_state(refused ? BP_STATE_DOWN : state, std::string(detail), refusal_);
  }
}

void Connection::on_tick() {
  {
    auto lock = access();
    if (!up_) {
      return;
    }
    session_->keep_alive();
    lock.flush();
    if (session_->loss()) {
      up_ = false;
    }
  }
  user_.act();
  user_.on_tick();
  on_loss();
  if (watch_) {
    static_cast<void>(tick_timer_.after(kTick));
  }
}

// ---- ending ----

void Connection::pause(const std::string& reason) {
  if (!paused_) {
    paused_ = true;
    reconnect_.stop();
    tear_down();
    user_.on_state(BP_STATE_DEGRADED, reason, Status::ok());
  }
}

void Connection::resume() {
  if (paused_ && !stopping_) {
    paused_ = false;
    reconnect_.start();
  }
}

void Connection::stop(bool forget, std::function<void()> stopped) {
  stopping_ = true;
  reconnect_.stop();
  {
    auto lock = access();
    // A goodbye would stand behind the acknowledgements that are held, and take them along.
    if (up_ && !session_->loss() && !user_.holds_output()) {
      session_->disconnect(forget);
      session_->write();
    }
  }
  tear_down();
  if (resolver_.is_busy()) {
    stopped_ = std::move(stopped);
  } else {
    stopped();
  }
}

}  // namespace backplane::mqtt
