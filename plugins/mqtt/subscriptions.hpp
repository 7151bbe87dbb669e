// SPDX-License-Identifier: Apache-2.0
// Which filters one connection is subscribed to, and who listens: one SUBSCRIBE a filter, whoever
// shares it.
//
// Design notes. With MQTT 5 each filter has an identifier, which the broker sends along: a message
// that comes once for each of two overlapping filters, or once for both, reaches every listener
// once. Without, a message goes to all filters that match. The identifier is made from the filter,
// so that a session that outlives this process still means the same by it. Retained messages follow
// a SUBSCRIBE; when a filter has one more listener it is sent again, and what then comes retained
// is for that listener alone. SUBACK is the boundary between the retained messages of two
// SUBSCRIBEs.
#pragma once

#include "session.hpp"
#include <backplane/sdk/hub.hpp>

#include <chrono>
#include <map>
#include <set>

namespace backplane::mqtt {

/// Who gets messages. Called on the loop, without lock.
class Listener {
 public:
  virtual ~Listener() = default;
  /// `settled` may be empty; else it is called once, when the message is acknowledged or cannot be.
  virtual void on_message(const Inbound& message, Hub::Settled settled) = 0;
  /// The broker will deliver.
  virtual void on_granted() {}
  /// It will not: the listener has been removed.
  virtual void on_refused(const Status& status) = 0;
};
using Listeners = std::vector<std::shared_ptr<Listener>>;

/// Gives a message that is not acknowledged to each of them. One that fails is logged, and the
/// others have it nevertheless.
inline void deliver(const Host& host, const Inbound& message, const Listeners& listeners) {
  for (const auto& listener : listeners) {
    boundary([&] { listener->on_message(message, {}); },
             [&](const Status& status) {
               host.log().error("a message was not delivered", {{"error", status.to_string()}});
             });
  }
}

/// What SUBACK brought, for whom.
struct Grant {
  std::shared_ptr<Listener> listener;
  Status status;
};

/// Under the connection's lock. A null session: not connected; resubscribe() follows.
class Subscriptions {
 public:
  /// `version` is 4 or 5.
  explicit Subscriptions(int version) : version_(version) {}

  /// An error: the session refused it, nothing was added.
  Status add(Session* session, const std::string& filter, uint8_t qos,
             std::shared_ptr<Listener> listener);
  /// False: it was not there. With `unsubscribe` the last listener takes the filter with it, else
  /// it stays, without listeners.
  bool remove(Session* session, const Listener* listener, bool unsubscribe = true);
  /// Ends a filter that has no listener.
  void drop_unused(Session* session, const std::string& filter);

  /// After CONNACK: all filters, or with a session that the broker has kept, those that it has not
  /// confirmed.
  void resubscribe(Session& session, bool session_present, std::vector<Grant>& refused);
  void settle(const std::vector<Answer>& answers, std::vector<Grant>& grants);
  /// Removes every listener and filter.
  void refuse_all(const Status& status, std::vector<Grant>& refused);

  /// Who gets it. Empty: nobody.
  void match(const Inbound& message, Listeners& out) const;
  struct Claim {
    std::string filter;
    std::shared_ptr<Listener> listener;  // null: the filter has none
    int64_t since_ns;                    // when the listener came
  };
  struct Claims {
    bool is_known =
        false;  // it belongs to a filter, perhaps to one whose listeners do not want it (retained)
    std::vector<Claim> claims;
  };
  /// The same with the filters, one entry for each listener, and one for each filter that has none.
  Claims match_by_filter(const Inbound& message) const;
  /// All there are, those of a filter in the order in which they came.
  std::vector<Claim> listeners() const;
  bool has_listener(const std::string& filter) const;
  /// Empty: it listens to nothing.
  std::string filter_of(const Listener* listener) const;

  size_t size() const noexcept { return filters_.size(); }
  static uint32_t identifier(std::string_view filter) noexcept;
  /// Whether a message that came on a subscription of this session belongs to the filter.
  static bool belongs(const Inbound& message, const std::string& filter) noexcept;

 private:
  struct Member {
    std::shared_ptr<Listener> listener;
    uint64_t generation;  // of the SUBSCRIBE that it waits for, or had
    int64_t since_ns;     // when it came
  };
  struct Filter {
    uint32_t id = 0;
    uint8_t qos = 0;
    uint64_t sent = 0;     // generation of the last SUBSCRIBE
    uint64_t granted = 0;  // and of the last SUBACK
    std::vector<Member> members;
  };
  struct Pending {
    std::string filter;
    uint64_t generation;
  };
  using Filters = std::map<std::string, Filter, std::less<>>;

  Status send(Session& session, const std::string& name, Filter& filter);
  template <class Take>
  void for_each_filter_of(const Inbound& message, Take take) const;
  static bool wants(const Member& member, const Filter& filter, const Inbound& message) noexcept;

  const int version_;
  Filters filters_;
  std::multimap<uint32_t, const Filters::value_type*> by_id_;
  std::set<std::string> stale_;  // ended while not connected: the broker may have them still
  std::map<uint16_t, Pending> pending_;  // SUBSCRIBEs without SUBACK, by packet identifier
};

}  // namespace backplane::mqtt
