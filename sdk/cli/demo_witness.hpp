// SPDX-License-Identifier: Apache-2.0
// What the demo sees of each signal from outside the routes: its values at the source, those that
// an OPC UA client of its own is told, and those that a subscriber of its own receives from the
// broker.
#pragma once

#include "demo_accounts.hpp"
#include "demo_ledger.hpp"
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/kernel.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace backplane::cli {

/// A row of the table.
struct SignalView {
  std::string name;  // line1/temperature
  std::string
      source;         // the value, as the payload that MQTT carries; empty: none, or no such source
  std::string main;   // likewise, as the OPC UA server tells it
  std::string cloud;  // likewise
  std::optional<std::chrono::nanoseconds> age;  // of the cloud value
  double rate = 0;                              // messages from the broker a second
};

/// Design notes. The subscriber is a kernel of its own, so that it lives on while the plant stops
/// and hears the last message. It acknowledges what it receives, which makes its session at the
/// broker a lasting one: what is published while it is away waits for it.
///
/// Before it is subscribed it misses messages, and nobody tells when it is. How many it missed can
/// be told once it has received any: a message is in its route's account before it is sent, so at
/// any moment at least as many are counted there and not received; the least difference ever seen
/// is the number, exact as soon as nothing was on its way once. All others must be received.
class Witness {
 public:
  /// Watches `plant/#` at the broker of `mqtt_url`, each node of `opcua_url` that a route writes
  /// to, and the source of each destination of `plant` that has one. `plant` has started, and
  /// outlives this. Throws Error.
  Witness(Kernel& plant, const KernelOptions& options, const std::string& mqtt_url,
          const std::string& opcua_url);

  /// Looks how many messages the subscriber missed, listens again to a source that has ended, and
  /// forgets what it told while a route had lost it;
  /// again and again, as long as the sources are listened to. False: it has not received any yet.
  bool take_baselines();

  /// Listens to the sources no more: what they get while the routes drain goes nowhere.
  void leave_sources() { sources_.clear(); }

  /// Nothing, or what the subscriber has not received (yet) although `now` says that it was
  /// acknowledged, or the source had it.
  std::optional<std::string> missing(const std::vector<Account>& now) const;

  std::vector<SignalView> signals() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct Signal {
    std::string source;
    std::string main;
    std::string cloud;
    Clock::time_point cloud_time{};
    std::deque<Clock::time_point> recent;  // of the last seconds
    int64_t received = 0;                  // retained ones not counted
    Ledger ledger;
  };
  struct Baseline {
    int64_t unheard = 0;  // messages that the subscriber never gets, at most
    int64_t elsewhere =
        0;  // messages that had not gone to the destination when that was first told
  };

  /// The routes that carry a signal from its source to the subscriber.
  struct Path {
    std::vector<std::string> routes;
    int64_t lost = 0;  // how often one of them has lost its source
    bool is_whole = false;
  };

  void open_source(const std::string& name);
  void open_node(const std::string& url, const std::string& id);
  void watch_ended_sources();
  void forget_what_nobody_was_told();
  void on_source(const std::string& name, MessageView message);
  void on_cloud(MessageView message);

  Kernel& plant_;
  mutable Guarded<std::map<std::string, Signal>> signals_;
  std::map<std::string, Baseline> baselines_;  // by destination
  std::map<std::string, Path> paths_;          // by signal

  // Last, so that they end first: their callbacks use what is above.
  struct Source {
    std::string name;
    Endpoint endpoint;
    // The stream of an isolated plugin ends with its process.
    std::shared_ptr<std::atomic<bool>> ended = std::make_shared<std::atomic<bool>>(true);
    Subscription subscription{};
  };
  std::vector<Source> sources_;
  Kernel subscriber_;
  Endpoint cloud_;
  Subscription subscription_;
  struct Node {
    Endpoint endpoint;
    Subscription subscription{};
  };
  std::vector<Node> nodes_;
};

}  // namespace backplane::cli
