// SPDX-License-Identifier: Apache-2.0
// One connection to the broker on the executor: resolves, connects, keeps alive, connects again.
//
// Design notes. One lock guards the session and whatever its user keeps about it (packet
// identifiers, subscriptions). Any thread may take it to publish, so that a write needs no hop; the
// socket is read on the loop alone, so that messages keep their order. Under the lock nobody
// outside the plugin is called: the user digests what the session has harvested, and acts on it
// after the lock is gone. The loop watches a duplicate of the library's descriptor, because the
// library may close its own on any thread.
#pragma once

#include "session.hpp"
#include <backplane/sdk/loop.hpp>
#include <backplane/sdk/reconnect.hpp>
#include <backplane/sdk/resolver.hpp>

#include <memory>
#include <mutex>

namespace backplane::mqtt {

class Connection {
 public:
  enum class Verdict { kGoOn, kRestart };

  /// Who a connection works for. "Locked": the connection's lock is held, on any thread: never call
  /// out.
  class User {
   public:
    virtual ~User() = default;
    /// For a new session. May throw Error: then the connection tries again later. [loop]
    virtual SessionOptions session_options() = 0;
    /// The broker has accepted. kRestart: its session is not the one that we have the other half
    /// of. [loop, locked]
    virtual Verdict on_connack(Session& session, const Connack& connack) = 0;
    /// Takes what the session has harvested; true: it has queued more to be sent. [any, locked]
    virtual bool digest(Session& session) = 0;
    /// Nothing may be sent now. [any, locked]
    virtual bool holds_output() const noexcept { return false; }
    /// Its connection is gone, or was not made; true: the session is used again for the next one,
    /// with what it still has to send. [loop, locked]
    virtual bool on_loss(Session& session) = 0;
    /// After digest: completes, delivers. [loop]
    virtual void act() = 0;
    /// BP_STATE_* and why; `refusal` is OK unless the broker (or we) said no, and will again.
    /// [loop]
    virtual void on_state(uint32_t state, const std::string& detail, const Status& refusal) = 0;
    /// Once a second while connected. [loop]
    virtual void on_tick() {}
  };

  /// The lock, and the session while the broker has accepted it.
  class Access {
   public:
    /// Null: not connected.
    Session* session() const noexcept;
    /// Sends what the session has queued, unless the user holds it. Digests what comes of it.
    void flush() noexcept;
    void unlock() { lock_.unlock(); }
    void relock() { lock_.lock(); }

   private:
    friend Connection;
    explicit Access(Connection& connection) : connection_(connection), lock_(connection.mutex_) {}
    Connection& connection_;
    std::unique_lock<std::mutex> lock_;
  };

  Connection(const Host& host, const Settings& settings, User& user);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Any thread.
  Access access() { return Access(*this); }

  // ---- loop thread ----
  void start();
  /// Says goodbye and ends; `forget`: the broker drops the session. `stopped` is called once,
  /// perhaps inside. Idempotent.
  void stop(bool forget, std::function<void()> stopped);
  /// Breaks the connection without a word, so that the broker keeps what it has not been told;
  /// connects again after resume(). DEGRADED for that reason until then.
  void pause(const std::string& reason);
  void resume();
  bool is_paused() const noexcept { return paused_; }

 private:
  Reconnect::Options reconnect_options();
  void begin();
  void attempt();
  Status attempt_at(const std::string& address);
  Login login();
  void on_addresses(const Resolver::Answer& addresses);
  void take_socket();
  void on_socket();
  void on_connack(Access& access);
  void on_loss();
  void on_timeout();
  void on_tick();
  void tear_down();
  void fail(const Status& why);
  void report(uint32_t state, std::string_view detail);
  void update_interest() noexcept;  // locked

  const Host& host_;
  const Settings& settings_;
  User& user_;

  std::mutex mutex_;
  // ---- guarded by mutex_; changed on the loop ----
  std::unique_ptr<Session> session_;
  FdWatch* watched_ = nullptr;
  uint32_t interest_ = 0;
  bool up_ = false;  // CONNACK was good, and no loss since

  // ---- loop thread ----
  Resolver resolver_;
  UniqueFd socket_;  // a duplicate
  std::optional<FdWatch> watch_;
  Reconnect reconnect_;
  Timer connect_timer_;
  Timer tick_timer_;
  Wakeup loss_;                 // a thread that sent has found the connection broken
  std::optional<Login> login_;  // as it was last read
  std::vector<std::string> addresses_;
  size_t next_address_ = 0;
  unsigned restarts_ = 0;
  bool tcp_connected_ = false;
  bool paused_ = false;
  Status refusal_;  // the broker said no, and will again; OK if not
  std::function<void()> stopped_;
  bool stopping_ = false;
};

}  // namespace backplane::mqtt
