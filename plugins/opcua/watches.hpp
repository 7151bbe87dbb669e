// SPDX-License-Identifier: Apache-2.0
// Watches: monitored items, and the subscriptions that they are in.
//
// Design notes.
// - One monitored item a watch, since each has options of its own; one subscription a publishing
//   interval, made for the first item and deleted with the last.
// - They are made again in each session. An item that the server refuses ends its watch; a session
//   that is lost does not, nor does the service that makes items when it does not answer.
// - The sessions that were lost live on at the server for a while, with their items: what an item
//   that was there before is refused for want of room is tried again.
// - Each call of the library may end the session, and with it all that is known of subscriptions:
//   nothing of these is held across one.
// - The library has a share of a watch for as long as it has an item of it, perhaps of more than
//   one session; other threads know it by its number alone. So nothing dangles. What is given runs
//   the consumer's code, which may ask for anything, but all that it asks for comes later: a watch
//   stays where it is meanwhile.
#pragma once

#include "event_filter.hpp"
#include "feed.hpp"
#include "job.hpp"

#include <list>
#include <map>
#include <open62541/client_subscriptions.h>
#include <unordered_map>

namespace backplane::opcua {

class Client;
class DataTypes;

/// What the headers of a WATCH say.
struct MonitorOptions {
  /// A subscription that reports more seldom would not be told from one that is gone.
  static constexpr std::chrono::seconds kLongestPublishing{60};

  /// Of the attribute EventNotifier events are watched. Throws Error (INVALID_ARGUMENT,
  /// OUT_OF_RANGE).
  MonitorOptions(MessageView in, UA_UInt32 attribute, std::chrono::nanoseconds default_publishing);

  std::unique_ptr<EventOptions> events;  // of a watch of events
  bool is_reversible = false;
  std::chrono::nanoseconds publishing;
  double sampling_ms = 0;  // as fast as the server can
  uint32_t queue = 16;
  bool discard_oldest = true;
  bool has_filter = false;
  UA_DataChangeFilter filter{};
  std::string range;

 private:
  /// False: there is no such option.
  bool set(std::string_view name, const ValueView& value);
};

/// Made on any thread, then the loop's.
struct Watch {
  /// Throws Error (INVALID_ARGUMENT).
  Watch(const Host& host, const FeedCounters& counters, std::shared_ptr<Target> its_target,
        MonitorOptions its_options, uint64_t its_number, Op op)
      : feed(host, counters, op, its_number),
        options(std::move(its_options)),
        number(its_number),
        target(std::move(its_target)) {}
  /// The library has one more item of `self`, this; or one less, and this may be gone.
  void lend(std::shared_ptr<Watch> self) noexcept {
    if (lent_++ == 0) {
      self_ = std::move(self);
    }
  }
  void give_back() noexcept { const auto last = --lent_ == 0 ? std::move(self_) : nullptr; }

  // What each value needs comes first: thousands of watches do not stay in the processor's cache.
  Feed feed;
  std::list<DataValue> held;  // until a structure in the first of them is known
  bool is_running = false;    // from add() to take()
  bool is_first = true;
  bool has_had_item = false;  // in this session or in one before
  UA_UInt32 item = 0;         // 0: there is none
  const MonitorOptions options;
  const uint64_t number;
  const std::shared_ptr<Target> target;
  EventOptions::Filter event_filter;  // by the namespaces of this session

 private:
  std::shared_ptr<Watch> self_;  // while the library has items of it
  unsigned lent_ = 0;
};

class Watches {
 public:
  explicit Watches(Client& client);

  // ---- any thread ----
  Status begin(std::shared_ptr<Target> target, MonitorOptions options, Op op);
  void cancel(Op op) noexcept;
  void credit(Op op) noexcept;
  // ---- loop ----
  /// A session is up, or is not any more.
  void start_all();
  void forget_session();
  void stop(const Status& status);
  /// The node of a watch is known; or will not be.
  void create(Session& session, uint64_t number, const UA_NodeId& node);
  /// Ends the watch, unless it may be tried again.
  void refuse(uint64_t number, const Status& status);
  void changed(Watch& watch, const UA_DataValue& value);

 private:
  using Publishing = std::chrono::nanoseconds;  // the interval
  using Waiting = std::vector<std::pair<uint64_t, NodeId>>;
  struct Subscription {
    UA_UInt32 id = 0;
    bool is_asked_for = false;
    size_t items = 0;  // that the server has, or is asked for
    Waiting waiting;
  };
  struct Creation;

  void add(const std::shared_ptr<Watch>& watch);
  void go_on(uint64_t number);
  template <class Body>
  void give(Watch& watch, Body body);
  std::optional<Status> publish(Watch& watch, const UA_DataValue& value, DataTypes* types);
  void publish_held(uint64_t number, DataTypes* types);
  std::shared_ptr<Watch> take(uint64_t number);
  void start(const std::shared_ptr<Watch>& watch);
  void start_again();
  void end(uint64_t number, const Status& status);
  UA_UInt32 keep_alive_count(Publishing publishing) const;
  void fit_keep_alive(const UA_CreateSubscriptionResponse& granted);
  void subscribe(Session& session, Publishing publishing);
  void subscribed(Publishing publishing, UA_StatusCode status, UA_UInt32 id);
  void create_waiting();
  bool create_some(Publishing publishing);
  void created(Creation& creation, const UA_CreateMonitoredItemsResponse& response);
  bool ends_session(UA_StatusCode status);
  void drop_item(Session& session, Publishing publishing, UA_UInt32 item);

  Client& client_;
  std::atomic<uint64_t> last_number_{0};
  const FeedCounters counters_;
  std::unordered_map<uint64_t, std::shared_ptr<Watch>> watches_;
  std::unordered_map<uint64_t, std::pair<std::shared_ptr<Watch>, Status>>
      ending_;  // when they are empty
  std::map<Publishing, Subscription> subscriptions_;
  std::vector<uint64_t> again_;
  uint64_t session_number_ = 0;
  std::optional<Status> stopped_;
  Wakeup create_waiting_;
  Timer start_again_;
};

}  // namespace backplane::opcua
