// SPDX-License-Identifier: Apache-2.0
// The connection of acknowledged watches: what it receives is acknowledged to the broker when
// everybody has it.
//
// Design notes. The library queues PUBACK before it shows a message, but sends nothing by itself:
// as long as a message is held, nothing is written, so nothing else may be sent on this connection.
// When all that has been received is settled, everything queued goes out at once. PINGREQ stands in
// the same queue; so a hold that lasts longer than half the keep-alive breaks the connection, and
// the broker's session is the store until all is settled. The session is kept by the broker: it is
// meant to outlive this process. A subscription whose last listener has gone stays for `linger`: a
// system that stops ends its watches first, and what is published meanwhile shall wait at the
// broker. So does a message that comes for a subscription of an earlier run before its watch is
// there again.
#pragma once

#include "connection.hpp"
#include "held.hpp"
#include "subscriptions.hpp"
#include "topics_seen.hpp"

#include <map>

namespace backplane::mqtt {

class Inbox final : private Connection::User {
 public:
  using StateSink = std::function<void(uint32_t state, const std::string& detail)>;

  Inbox(const Host& host, const Settings& settings, Tls* tls, TopicsSeen& topics,
        StateSink on_state);

  // ---- any thread ----
  /// FAILED_PRECONDITION when the broker keeps no session. Connects at the first one.
  Status listen(const std::string& filter, uint8_t qos, std::shared_ptr<Listener> listener);
  void forget(const Listener* listener);

  // ---- loop ----
  void stop(std::function<void()> stopped);

 private:
  using Id = HeldMessages::Id;

  SessionOptions session_options() override;
  Connection::Verdict on_connack(Session& session, const Connack& connack) override;
  bool digest(Session& session) override;
  bool holds_output() const noexcept override { return !held_.is_free(); }
  bool on_loss(Session& session) override;
  void act() override;
  void on_state(uint32_t state, const std::string& detail, const Status& refusal) override;
  void on_tick() override;

  void start();
  void hand_over_new();
  struct Delivery {
    HeldMessages::Claimed what;
    std::shared_ptr<Listener> listener;
  };
  void hand_over_unclaimed();
  void hand_over(const std::vector<Delivery>& deliveries);
  void settled(Id id, size_t part, const Status& status);
  void release(Connection::Access& access);
  void look_after_unclaimed();

  const Host& host_;
  const Settings& settings_;
  Tls* const tls_;  // null: plain TCP
  TopicsSeen& topics_;
  const StateSink on_state_;
  Counter received_;
  Counter unwatched_;
  Counter too_large_;
  Counter again_;
  Gauge held_gauge_;

  // ---- guarded by the connection's lock ----
  Subscriptions subscriptions_;
  HeldMessages held_;
  std::vector<Inbound> unacknowledged_;  // QoS 0: nothing to hold
  std::vector<Grant> grants_;
  std::map<std::string, int64_t> lingering_;  // filters without a listener, and since when
  Status refused_;                            // by the broker, lastingly
  Status closed_;
  bool is_handing_over_ = false;
  bool is_paused_ = false;
  bool is_started_ = false;

  Wakeup start_;
  Wakeup resume_;
  Wakeup offer_;
  Timer linger_timer_;
  Connection connection_;  // the last member: ends first
};

}  // namespace backplane::mqtt
