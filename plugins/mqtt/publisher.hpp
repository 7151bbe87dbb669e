// SPDX-License-Identifier: Apache-2.0
// Publications from acceptance to PUBACK or PUBCOMP: what waits for the connection or for room, and
// what is in flight.
//
// Design notes. The library keeps a bounded window only: it looks identifiers up linearly, and does
// not look whether one is free. What is in flight when a session ends without the broker keeping it
// goes back to the front of the queue, in order, and is published afresh. An operation that is
// cancelled while in flight completes at once; its publication stays the library's until the broker
// answers.
#pragma once

#include "session.hpp"
#include <backplane/sdk/host.hpp>

#include <deque>
#include <unordered_map>

namespace backplane::mqtt {

/// A publication with its own copy of everything: a request, or an answer.
struct OwnPublication {
  std::string topic;
  OwnedMessage message;
  std::string response_topic;
  std::string correlation;
  uint8_t qos = 0;
};

/// What is published: a WRITE's message, or one of our own, with a number if somebody wants to hear
/// what becomes of it.
struct Outgoing {
  Op op;
  const char* topic = nullptr;  // of op; its endpoint's
  std::shared_ptr<const OwnPublication> own;
  uint64_t number = 0;
  uint64_t order = 0;
};

/// What became of a publication: of an operation, which is the receiver's to complete now, or of a
/// number.
struct Outcome {
  Op op;
  uint64_t number;
  Status status;
};

/// Under the connection's lock.
class Publisher {
 public:
  Publisher(const Host& host, const Settings& settings);

  /// Hands it to the session if there is one and it has room, else queues it. RESOURCE_EXHAUSTED:
  /// the queue is full. Other errors: it cannot be published. An error has kept nothing.
  Status submit(Session* session, Outgoing item);
  /// Forgets the operation: it gets no outcome. False: it is not here (any more).
  bool abandon(Op op) noexcept;
  /// Forgets what waits with this number; what is in flight goes on.
  void abandon(uint64_t number) noexcept;

  /// Settles what the broker has answered; appends outcomes.
  void settle(const std::vector<Answer>& answers, std::vector<Outcome>& outcomes);
  /// Hands over what waits, as far as there is room. True: something was.
  bool refill(Session& session, std::vector<Outcome>& outcomes);
  /// What is in flight has to be published afresh.
  void requeue() noexcept;
  /// The session goes on, and sends again what is in flight.
  void resumed() const noexcept { resent_.add(in_flight_.size()); }
  /// Everything ends so.
  void fail_all(const Status& status, std::vector<Outcome>& outcomes);

  bool is_idle() const noexcept { return waiting_.empty() && in_flight_.empty(); }

 private:
  enum Place : uint64_t { kNowhere, kWaiting, kInFlight };

  bool has_room(const Session& session) const noexcept;
  Status send(Session& session, Outgoing& item);
  Status send(Session& session, Outgoing& item, MessageView message, const char* topic, uint8_t qos,
              bool retain, const Exchange& exchange);
  static void place(Op op, Place place, uint16_t packet_id = 0) noexcept;
  static void finish(Outgoing& item, Status status, std::vector<Outcome>& outcomes);
  void show() const noexcept;

  const Settings& settings_;
  std::deque<Outgoing> waiting_;
  std::unordered_map<uint16_t, Outgoing> in_flight_;
  uint64_t next_order_ = 0;
  Counter headers_lost_;
  Gauge waiting_gauge_;
  Counter resent_;
};

/// The quality of service that a message asks for, or the default. Throws Error (INVALID_ARGUMENT)
/// above 2.
uint8_t qos_of(MessageView message, uint8_t fallback);

}  // namespace backplane::mqtt
