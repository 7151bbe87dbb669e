// SPDX-License-Identifier: Apache-2.0
// The matrix of faults and mechanisms: a fault is caused under a stream of writes and a watch,
// lasts, and is mended; the time is taken until both work again, and nothing that was accepted may
// be lost.
#pragma once

#include "integration/faults/streams.hpp"
#include "support/long_test.hpp"

#include <chrono>
#include <cstdio>

namespace backplane::test {

using namespace std::chrono_literals;
using Ms = std::chrono::milliseconds;

/// What an application sees of a fault.
enum class Then {
  kGoesOn,      // writes are accepted and messages come while it lasts
  kStops,       // the state is soon not UP any more, and is not UP before the line is mended
  kIsUnseen,    // a server is UP while it listens, whatever becomes of a client
  kBeginsAnew,  // nothing is to be mended: a new connection, or a message sent again, will do
};

template <class Relay>
struct Fault {
  using Cause = std::function<void(Relay&)>;

  static Fault goes_on(std::string name, Cause cause, Ms recovers_within) {
    return {std::move(name), std::move(cause), Then::kGoesOn, 0ms, 1s, recovers_within};
  }
  static Fault stops(std::string name, Cause cause, Ms noticed_within, Ms recovers_within) {
    return {std::move(name), std::move(cause), Then::kStops,
            noticed_within,  1200ms,           recovers_within};
  }
  static Fault is_unseen(std::string name, Cause cause, Ms recovers_within) {
    return {std::move(name), std::move(cause), Then::kIsUnseen, 0ms, 4s, recovers_within};
  }
  static Fault begins_anew(std::string name, Cause cause, Ms recovers_within) {
    return {std::move(name), std::move(cause), Then::kBeginsAnew, 0ms, 0ms, recovers_within};
  }
  Fault counted_by(std::string metric) && {
    counter = std::move(metric);
    return std::move(*this);
  }
  /// Runs with BP_TEST_LONG alone.
  Fault only_long() && {
    is_long = true;
    return std::move(*this);
  }

  std::string name;
  Cause cause;  // Relay::become({}) ends it
  Then then;
  Ms noticed_within;  // kStops
  Ms lasts;           // kGoesOn, kIsUnseen: in all; kStops: after it was noticed
  Ms recovers_within;
  std::string counter = {};  // the metric that tells of it; empty: none
  bool is_long = false;

  friend void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }
};

/// One mechanism, with a relay between it and what it is connected to.
struct Traffic {
  std::string mechanism;
  WriteStream& writes;
  Counting& published;     // at the far end
  const Numbers& watched;  // of those
  std::function<uint32_t()> state;
  std::function<int64_t(const std::string& metric)> metric;
  std::string losses;  // the metric that counts how often UP has ended

  /// What was begun by now is not counted as a sign of life any more.
  struct Mark {
    int begun, published;
  };
  Mark mark() const { return {writes.begun(), published.last()}; }
  bool writes_since(const Mark& mark) const { return writes.last_accepted() > mark.begun; }
  bool watches_since(const Mark& mark) const { return watched.last() > mark.published; }
};

struct Measured {
  std::string mechanism, fault;
  std::optional<Ms> noticed;
  Ms writes{}, watches{};
  size_t refused = 0;

  std::string line() const {
    return concat(mechanism, " ", fault, ": ",
                  noticed ? concat("noticed in ", noticed->count(), " ms") : "not noticed",
                  ", recovered in ", std::max(writes, watches).count(), " ms (writes ",
                  writes.count(), ", watch ", watches.count(), "), ", refused, " writes refused");
  }
};
/// Of this run of the program.
inline std::vector<Measured>& all_measured() {
  static std::vector<Measured> all;
  return all;
}

/// Causes the fault, measures, and mends the line.
template <class Relay>
void go_through(const Fault<Relay>& fault, Relay& relay, Traffic& traffic) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point then) {
    return std::chrono::duration_cast<Ms>(Clock::now() - then);
  };
  ASSERT_TRUE(eventually([&] {
    return traffic.writes.last_accepted() >= 10 && traffic.watched.last() >= 10;
  })) << "nothing passes through a line that is in order";
  ASSERT_EQ(traffic.state(), BP_STATE_UP);
  const size_t harmed = relay.harmed();
  const int64_t losses = traffic.metric(traffic.losses);
  const int64_t counted = fault.counter.empty() ? 0 : traffic.metric(fault.counter);

  Measured measured{traffic.mechanism, fault.name, {}, {}, {}, 0};
  fault.cause(relay);
  const auto caused = Clock::now();
  Clock::time_point mended = caused;
  Traffic::Mark mark = traffic.mark();
  const auto look = [&] {
    if (!measured.noticed &&
        (traffic.state() != BP_STATE_UP || traffic.metric(traffic.losses) > losses)) {
      measured.noticed = since(caused);
    }
  };
  if (fault.then == Then::kGoesOn) {
    EXPECT_TRUE(eventually(
        [&] {
          look();
          return since(caused) >= fault.lasts && traffic.writes_since(mark) &&
                 traffic.watches_since(mark);
        },
        fault.lasts + fault.recovers_within))
        << "nothing passes while it lasts; " << traffic.writes.refusal();
  } else if (fault.then == Then::kStops) {
    EXPECT_TRUE(eventually(
        [&] {
          look();
          return measured.noticed && traffic.state() != BP_STATE_UP;
        },
        fault.noticed_within))
        << "is UP, and nothing passes";
    EXPECT_FALSE(eventually([&] { return traffic.state() == BP_STATE_UP; }, fault.lasts))
        << "is UP again, and nothing passes";
  }
  if (fault.then == Then::kIsUnseen) {
    EXPECT_FALSE(eventually([&] { return traffic.state() != BP_STATE_UP; }, fault.lasts));
  }
  if (fault.then != Then::kBeginsAnew) {
    mark = traffic.mark();
    relay.become({});
    mended = Clock::now();
  }
  bool writes = false;
  bool watches = false;
  EXPECT_TRUE(eventually(
      [&] {
        look();
        if (!writes && (writes = traffic.writes_since(mark))) {
          measured.writes = since(mended);
        }
        if (!watches && (watches = traffic.watches_since(mark))) {
          measured.watches = since(mended);
        }
        return writes && watches;
      },
      fault.recovers_within))
      << (writes ? "" : "no write is accepted; ") << (watches ? "" : "no message comes; ")
      << traffic.writes.refusal();
  look();
  EXPECT_TRUE(eventually([&] { return traffic.state() == BP_STATE_UP; }, fault.recovers_within));
  relay.become({});
  measured.refused = traffic.writes.refused();
  std::printf("fault matrix: %s\n", measured.line().c_str());
  std::fflush(stdout);
  all_measured().push_back(measured);

  EXPECT_GT(relay.harmed(), harmed) << "the fault has met nothing";
  if (!fault.counter.empty()) {
    EXPECT_GT(traffic.metric(fault.counter), counted) << fault.counter;
  }
}

/// When all is over: `arrived` at the far end.
inline void expect_nothing_lost(Traffic& traffic, const Numbers& arrived) {
  traffic.published.stop();
  traffic.writes.stop();
  const std::set<int> accepted = traffic.writes.accepted();
  EXPECT_TRUE(eventually([&] { return arrived.missing(accepted).empty(); }))
      << arrived.missing(accepted).size() << " accepted writes are lost, first "
      << arrived.missing(accepted).front();
  EXPECT_EQ(arrived.garbled(), 0u);
  EXPECT_EQ(traffic.watched.garbled(), 0u);
}

}  // namespace backplane::test
