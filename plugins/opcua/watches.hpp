// SPDX-License-Identifier: Apache-2.0
// Watches: monitored items, and the subscriptions that they are in.
//
// Design notes.
// - One monitored item a watch, since each has options of its own; one subscription a publishing
//   interval, made for the first item and deleted with the last.
// - They are made again in each session. An item that the server refuses ends its watch; a session
//   that is lost does not.
// - The library knows a watch by its number alone, so nothing dangles.
#pragma once

#include "job.hpp"
#include <backplane/sdk/hub.hpp>

#include <map>
#include <open62541/client_subscriptions.h>

namespace backplane::opcua {

class Client;

/// What the header `options` of a WATCH says.
struct MonitorOptions {
  /// Throws Error (INVALID_ARGUMENT).
  MonitorOptions(MessageView in, std::chrono::nanoseconds default_publishing);

  std::chrono::nanoseconds publishing;
  double sampling_ms = 0;  // as fast as the server can
  uint32_t queue = 16;
  bool discard_oldest = true;
  bool has_filter = false;
  UA_DataChangeFilter filter{};
};

/// Shared by its endpoint, which feeds the hub's operation, and the loop.
struct Watch {
  Watch(const Host& host, std::shared_ptr<Target> its_target, const MonitorOptions& its_options,
        uint64_t its_number)
      : target(std::move(its_target)), options(its_options), number(its_number), hub(host) {}
  const std::shared_ptr<Target> target;
  const MonitorOptions options;
  const uint64_t number;
  Hub hub;
  // ---- the loop's ----
  UA_UInt32 item = 0;  // 0: there is none
  bool is_first = true;
};

class Watches {
 public:
  explicit Watches(Client& client);

  uint64_t next_number() noexcept { return ++last_number_; }
  // ---- loop ----
  void add(std::shared_ptr<Watch> watch);
  void remove(uint64_t number);
  /// A session is up, or is not any more.
  void start_all();
  void forget_session();
  void stop(const Status& status, std::function<void()> done);
  /// The node of a watch is known; or will not be.
  void create(Session& session, uint64_t number, const UA_NodeId& node);
  void refuse(uint64_t number, const Status& status);
  void changed(uint64_t number, const UA_DataValue& value);

 private:
  struct Subscription {
    UA_UInt32 id = 0;
    bool is_asked_for = false;
    size_t items = 0;  // that the server has, or is asked for
    std::vector<std::pair<uint64_t, NodeId>> waiting;
  };
  struct Creation;

  void start(const std::shared_ptr<Watch>& watch);
  void subscribe(Session& session, std::chrono::nanoseconds publishing);
  void create_waiting();
  void create_some(Session& session, Subscription& subscription);
  void created(const Creation& creation, const UA_CreateMonitoredItemsResponse& response);
  void drop_item(Session& session, std::chrono::nanoseconds publishing, UA_UInt32 item);

  Client& client_;
  std::atomic<uint64_t> last_number_{0};
  std::map<uint64_t, std::shared_ptr<Watch>> watches_;
  std::map<std::chrono::nanoseconds, Subscription> subscriptions_;
  uint64_t session_number_ = 0;
  std::optional<Status> stopped_;
  Wakeup create_waiting_;
};

}  // namespace backplane::opcua
