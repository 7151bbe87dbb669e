// SPDX-License-Identifier: Apache-2.0
// A route among scripted endpoints, on a host whose clock the test moves.
#pragma once

#include "route.hpp"
#include "scripted_endpoints.hpp"
#include "support/fake_host.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <set>

namespace backplane::route {

using namespace std::chrono_literals;
using test::FakeHost;
using test::ScriptedDestination;
using test::ScriptedSource;

/// What an instance's drain and stop are, as operations of an endpoint.
class Life {
 public:
  explicit Life(Route& route) : route_(route) {}
  Status call(Op op) { return route_.drain(op); }
  Status write(Op op) { return route_.stop(op); }
  void cancel(Op op) noexcept { route_.cancel(op); }

 private:
  Route& route_;
};

/// A route from "source" to "a" (and "b"), with "dead" for letters, on a host whose clock the test
/// moves.
class ARoute : public testing::Test {
 protected:
  ~ARoute() override {
    if (route_) {
      if (!stopped_) stop();
      EXPECT_TRUE(stopped_) << "the route does not stop";
      host.services().endpoint.op_free(host.raw(), step_);
      host.services().endpoint.close(host.raw(), life_);
    }
    for (const std::string& address : addresses_) fake.close_address(address);
    EXPECT_EQ(fake.references(), 0) << "references were not closed";
  }

  /// `address` leads here from now on.
  template <class Scripted>
  void add(const std::string& address, Scripted& scripted) {
    if (!addresses_.insert(address).second) fake.close_address(address);
    fake.add_endpoint(address, scripted.endpoint());
  }

  static DestinationOptions to(std::string address) {
    DestinationOptions out;
    out.address = std::move(address);
    return out;
  }
  /// One destination, "a", with these options.
  static DestinationOptions to_a(Policy policy, size_t queue, size_t in_flight) {
    DestinationOptions out = to("a");
    out.queue.policy = policy;
    out.queue.messages = queue;
    out.in_flight = in_flight;
    return out;
  }
  void start(std::vector<DestinationOptions> destinations, bool dead_letter = false) {
    add("source", source);
    add("a", a);
    add("b", b);
    add("dead", dead);
    start_alone(std::move(destinations), dead_letter);
  }
  void start_alone(std::vector<DestinationOptions> destinations, bool dead_letter = false) {
    RouteOptions options;
    options.name = "r";
    options.from = {"source", asked_};
    options.dead_letter = dead_letter ? "dead" : "";
    options.to = std::move(destinations);
    options.max_hops = 4;
    route_.emplace(host, std::move(options), [this] { return fake.loop.now(); });
    life_ = fake.adopt_endpoint(make_endpoint(std::make_unique<Life>(*route_)));
    step_ = host.services().endpoint.op_new(host.raw());
    step_->user = this;
    step_->target = life_;
    route_->start();
    fake.loop.run();
  }

  /// Begins to drain; see drained_.
  void drain() {
    step_->verb = BP_V_CALL;
    step_->done = [](bp_op* op) { static_cast<ARoute*>(op->user)->drained_ = true; };
    ASSERT_EQ(host.services().endpoint.submit(host.raw(), step_), BP_PENDING);
  }
  void miss_the_deadline_of_drain() { host.services().endpoint.cancel(host.raw(), step_); }
  void stop() {
    step_->verb = BP_V_WRITE;
    step_->done = [](bp_op* op) { static_cast<ARoute*>(op->user)->stopped_ = true; };
    ASSERT_EQ(host.services().endpoint.submit(host.raw(), step_), BP_PENDING);
    if (!loop_has_thread_) fake.loop.run();
  }
  /// Longer than any wait between two tries.
  void wait_for_the_next_try() { fake.loop.advance(6s); }

  const Tally& tally(size_t i = 0) const { return route_->destination(i).tally(); }
  uint64_t dropped(Reason reason, size_t i = 0) const {
    return tally(i).dropped[static_cast<size_t>(reason)];
  }
  void expect_balance() const {
    for (size_t i = 0; i < destinations(); ++i) {
      const Destination& each = route_->destination(i);
      ASSERT_TRUE(each.tally().is_balanced());
      ASSERT_EQ(each.tally().in_flight, each.held());
    }
  }
  size_t destinations() const { return n_destinations_; }

  FakeHost fake;
  Host host{fake.raw()};
  ScriptedSource source{host};
  ScriptedDestination a{host};
  ScriptedDestination b{host};
  ScriptedDestination dead{host};
  OwnedMessage asked_;
  size_t n_destinations_ = 1;
  std::optional<Route> route_;
  bp_ref life_ = 0;
  bp_op* step_ = nullptr;
  std::atomic<bool> drained_{false};
  std::atomic<bool> stopped_{false};
  bool loop_has_thread_ = false;
  std::set<std::string> addresses_;
};

}  // namespace backplane::route
