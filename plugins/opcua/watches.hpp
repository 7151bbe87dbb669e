// SPDX-License-Identifier: Apache-2.0
// Watches: monitored items, and the subscriptions that they are in.
//
// Design notes.
// - A watch is of one node, or of a list: a monitored item each. A list has a subscription of its
//   own, the others one for each publishing interval; made for its first item, deleted with its
//   last.
// - Of a list an item has one byte here: the library knows its place in the list, and its
//   subscription the watch, with which all of it is deleted. What its element says is parsed again
//   in each session, and forgotten when the item is made.
// - They are made again in each session. An item that the server refuses ends its watch, or is a
//   status of that node of a list; a session that is lost does not, nor does the service that makes
//   items when it does not answer.
// - The sessions that were lost live on at the server for a while, with their items: what an item
//   that was there before is refused for want of room is tried again.
// - Each call of the library may end the session, and with it all that is known of subscriptions:
//   nothing of these is held across one.
// - The library has a share of a watch for as long as it has an item of it, or the subscription of
//   a list, perhaps of more than one session; other threads know it by its number alone. So nothing
//   dangles. What is given runs the consumer's code, which may ask for anything, but all that it
//   asks for comes later: a watch stays where it is meanwhile.
#pragma once

#include "event_filter.hpp"
#include "feed.hpp"
#include "watched_nodes.hpp"

#include <list>
#include <map>
#include <open62541/client_subscriptions.h>
#include <tuple>
#include <unordered_map>

namespace backplane::opcua {

class Client;
class DataTypes;

/// What the headers of a WATCH say.
struct MonitorOptions {
  /// A subscription that reports more seldom would not be told from one that is gone.
  static constexpr std::chrono::seconds kLongestPublishing{60};

  /// Of the attribute EventNotifier events are watched; of the folder Objects a list. Throws Error
  /// (INVALID_ARGUMENT, OUT_OF_RANGE).
  MonitorOptions(MessageView in, const Address& address,
                 std::chrono::nanoseconds default_publishing);

  std::unique_ptr<EventOptions> events;  // of a watch of events
  bool is_reversible = false;
  std::chrono::nanoseconds publishing;
  double sampling_ms = 0;  // as fast as the server can
  uint32_t queue = 16;
  bool discard_oldest = true;
  bool has_filter = false;
  UA_DataChangeFilter filter{};

 private:
  /// One that there is.
  void set(std::string_view name, const ValueView& value);
};

/// Of a node that is watched.
struct WatchedItem {
  bool is_first : 1 = true;        // in this session nothing was told of it
  bool has_been_made : 1 = false;  // in this session or in one before
};

/// Made on any thread, then the loop's.
struct Watch {
  /// Throws Error (INVALID_ARGUMENT).
  Watch(const Host& host, const FeedCounters& counters, WatchedNodes its_nodes,
        MonitorOptions its_options, uint64_t its_number, Op op)
      : feed(host, counters, op, its_number, its_nodes.size()),
        options(std::move(its_options)),
        number(its_number),
        nodes(std::move(its_nodes)),
        listed(nodes.is_list() ? nodes.size() : 0) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  std::span<WatchedItem> items() noexcept {
    return nodes.is_list() ? std::span(listed) : std::span(&only, 1);
  }
  /// The library has one more item, or subscription, of `self`, this; or one less, and this may be
  /// gone.
  void lend(std::shared_ptr<Watch> self) noexcept {
    if (lent_++ == 0) {
      self_ = std::move(self);
    }
  }
  void give_back() noexcept { const auto last = --lent_ == 0 ? std::move(self_) : nullptr; }

  // What each value needs comes first: thousands of watches do not stay in the processor's cache.
  WatchedItem only;         // of one that is no list
  bool is_running = false;  // from add() to take()
  Feed feed;
  struct Held {
    size_t item;
    DataValue value;
  };
  std::list<Held> held;  // until a structure in the first of them is known
  const MonitorOptions options;
  const uint64_t number;
  const WatchedNodes nodes;
  std::vector<WatchedItem> listed;
  UA_UInt32 id = 0;                   // the server's, of the only item; 0: there is none
  bool has_been_made = false;         // any of its items
  EventOptions::Filter event_filter;  // by the namespaces of this session

 private:
  std::shared_ptr<Watch> self_;  // while the library has any
  size_t lent_ = 0;
};

class Watches {
 public:
  explicit Watches(Client& client);

  // ---- any thread ----
  Status begin(WatchedNodes nodes, MonitorOptions options, Op op);
  void cancel(Op op) noexcept;
  void credit(Op op) noexcept;
  // ---- loop ----
  /// A session is up, or is not any more.
  void start_all();
  void forget_session();
  void stop(const Status& status);
  /// An item of a watch, which may be gone.
  struct Name {
    uint64_t watch;
    size_t item;
  };
  /// Its node is known; or will not be.
  void create(Session& session, Name name, const Target& target);
  /// Ends the watch, or is a status of that node of a list, unless it may be tried again.
  void refuse(Name name, const Status& status);
  void changed(std::span<const Change> changes);

 private:
  using Publishing = std::chrono::nanoseconds;  // the interval
  /// Those that have a subscription together.
  struct Group {
    Publishing publishing;
    uint64_t list = 0;  // the number of the watch that has it for itself
    bool operator<(const Group& other) const noexcept {
      return std::tie(publishing, list) < std::tie(other.publishing, other.list);
    }
  };
  static Group group_of(const Watch& watch) noexcept {
    return {watch.options.publishing, watch.nodes.is_list() ? watch.number : 0};
  }
  struct NewItem {
    Name name;
    NodeId node;
    UA_UInt32 attribute;
  };
  using Waiting = std::vector<NewItem>;
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
  Status publish(Watch& watch, std::span<const Change> changes);
  bool fill(MessageDraft& message, const Change& change, DataTypes* types);
  void ask_for_types(uint64_t number);
  void publish_held(uint64_t number, DataTypes* types);
  std::shared_ptr<Watch> take(uint64_t number);
  void start(const std::shared_ptr<Watch>& watch);
  void start(const Watch& watch, size_t item);
  void start_again();
  Watch* find(uint64_t number) noexcept;
  void refuse_all(Name name, const Status& status);
  bool try_again(Name name, bool was_there, const Status& status);
  void end(uint64_t number, const Status& status);
  UA_UInt32 keep_alive_count(Publishing publishing) const;
  void fit_keep_alive(const UA_CreateSubscriptionResponse& granted);
  void subscribe(Session& session, const Group& group);
  void subscribed(const Group& group, UA_StatusCode status, UA_UInt32 id);
  void create_waiting();
  bool create_some(const Group& group);
  void created(Creation& creation, const UA_CreateMonitoredItemsResponse& response);
  bool ends_session(UA_StatusCode status);
  void drop_items(Session& session, const Group& group, size_t n, UA_UInt32 id = 0);
  void drop(Session& session, const Group& group);
  void delete_item(Session& session, UA_UInt32 subscription, UA_UInt32 id);

  Client& client_;
  std::atomic<uint64_t> last_number_{0};
  const FeedCounters counters_;
  std::unordered_map<uint64_t, std::shared_ptr<Watch>> watches_;
  std::unordered_map<uint64_t, std::pair<std::shared_ptr<Watch>, Status>>
      ending_;  // when they are empty
  std::map<Group, Subscription> subscriptions_;
  std::vector<Name> again_;
  uint64_t session_number_ = 0;
  std::optional<Status> stopped_;
  Wakeup create_waiting_;
  Timer start_again_;
};

}  // namespace backplane::opcua
