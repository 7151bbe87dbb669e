// SPDX-License-Identifier: Apache-2.0
// The connection that publishes, calls, and watches without acknowledgement: what an endpoint asks
// of the broker.
//
// Design notes. An operation that waits for the broker is in one place: the publisher (WRITE),
// `calls_` (CALL), a listener (the others). A call's request is a publication of our own with the
// call's number, so that nobody meets an operation that somebody else has completed.
#pragma once

#include "connection.hpp"
#include "publisher.hpp"
#include "subscriptions.hpp"
#include "timeouts.hpp"
#include "topics_seen.hpp"
#include <backplane/sdk/pending.hpp>

namespace backplane::mqtt {

class Client final : private Connection::User {
 public:
  using StateSink = std::function<void(uint32_t state, const std::string& detail)>;

  Client(const Host& host, const Settings& settings, Tls* tls, StateSink on_state);

  // ---- any thread ----
  Status write(Op op, const char* topic);
  Status call(Op op, const char* topic);
  /// Of a write or a call.
  void cancel(Op op) noexcept;
  void publish(std::shared_ptr<const OwnPublication> own);
  Status listen(const std::string& filter, uint8_t qos, std::shared_ptr<Listener> listener);
  void forget(const Listener* listener);
  TopicsSeen& topics() noexcept { return topics_; }

  // ---- loop ----
  void start() { connection_.start(); }
  /// Refuses new work; `drained` is called once when the old is done.
  void drain(std::function<void()> drained);
  void stop(std::function<void()> stopped);

 private:
  class Responses;
  using Calls = Pending<uint64_t>;

  SessionOptions session_options() override;
  Connection::Verdict on_connack(Session& session, const Connack& connack) override;
  bool digest(Session& session) override;
  bool on_loss(Session& session) override;
  void act() override;
  void on_state(uint32_t state, const std::string& detail, const Status& refusal) override;

  Status submit(Outgoing item);
  void settle(std::vector<Outcome>& outcomes);
  void deliver(const Inbound& message, const Listeners& listeners);
  void on_response(const Inbound& message);
  void on_call_expired(uint64_t number);
  void end_call(const Calls::Request& call, const Status& status) noexcept;
  const Status& condition() const noexcept {
    return closed_.is_error() ? closed_ : refused_;
  }  // locked
  void end_all(const Status& status);
  void end_what_cannot_be_drained();
  void check_drained();

  const Host& host_;
  const Settings& settings_;
  Tls* const tls_;  // null: plain TCP
  const std::string response_topic_;
  const StateSink on_state_;
  TopicsSeen topics_;
  Counter received_;
  Counter published_;
  Counter unwatched_;
  Counter too_large_;
  Calls calls_;
  std::atomic<uint64_t> next_call_;
  Timeouts call_timeouts_;
  std::shared_ptr<Responses> responses_;

  // ---- guarded by the connection's lock ----
  Publisher publisher_;
  Subscriptions subscriptions_;
  std::vector<Outcome> outcomes_;
  std::vector<Grant> grants_;
  std::vector<Inbound> messages_;
  Status refused_;  // by the broker, lastingly
  Status closed_;   // draining or stopped
  bool is_draining_ = false;
  bool session_is_ours_ = false;
  bool listens_for_responses_ = false;

  // ---- loop ----
  std::function<void()> drained_;
  Connection connection_;  // the last member: ends first
};

}  // namespace backplane::mqtt
