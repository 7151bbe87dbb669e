// SPDX-License-Identifier: Apache-2.0
#include "event_loop.hpp"

#include "support/eventually.hpp"
#include "support/fake_host.hpp"

#include <gmock/gmock.h>

namespace backplane::opcua {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

/// Each callback adds its own name.
class AnEventLoop : public testing::Test {
 protected:
  struct Named {
    AnEventLoop* test;
    int name;
    std::function<void()> also = {};
    UA_UInt64 id = 0;
  };
  static void call(void* application, void*) {
    const auto* named = static_cast<Named*>(application);
    named->test->called_.push_back(named->name);
    if (named->also) {
      named->also();
    }
  }
  void every(Named& named, double milliseconds) {
    ASSERT_EQ(loop_->addCyclicCallback(loop_, &call, &named, nullptr, milliseconds, nullptr,
                                       UA_TIMER_HANDLE_CYCLEMISS_WITH_CURRENTTIME, &named.id),
              UA_STATUSCODE_GOOD);
  }
  void once(Named& named, std::chrono::milliseconds in) {
    const UA_DateTime date = UA_DateTime_nowMonotonic() + in.count() * UA_DATETIME_MSEC;
    ASSERT_EQ(loop_->addTimedCallback(loop_, &call, &named, nullptr, date, &named.id),
              UA_STATUSCODE_GOOD);
  }
  struct Delayed : UA_DelayedCallback, Named {
    Delayed(AnEventLoop* its_test, int its_name) : UA_DelayedCallback{}, Named{its_test, its_name} {
      callback = &AnEventLoop::call;
      application = static_cast<Named*>(this);
    }
  };
  void delay(Delayed& delayed) { loop_->addDelayedCallback(loop_, &delayed); }
  /// The clock of a timer's time is the real one.
  bool calls(size_t n) {
    return test::eventually([&] {
      fake_.loop.run();
      return called_.size() >= n;
    });
  }

  test::FakeHost fake_;
  const Host host_{fake_.raw()};
  const UA_Logger logger_{};
  EventLoop sut_{host_, &logger_};
  UA_EventLoop* const loop_ = sut_.native();
  std::vector<int> called_;
};

TEST_F(AnEventLoop, CallsTimersInTimeAndAgainWhereTheyAreCyclic) {
  Named cyclic{this, 1};
  Named later{this, 2};
  every(cyclic, 1);
  once(later, 20ms);
  ASSERT_TRUE(test::eventually([&] {
    fake_.loop.run();
    return std::find(called_.begin(), called_.end(), 2) != called_.end();
  }));
  EXPECT_GE(std::count(called_.begin(), called_.end(), 1), 2);
  const size_t before = called_.size();
  ASSERT_TRUE(calls(before + 2));
  EXPECT_EQ(std::count(called_.begin(), called_.end(), 2), 1) << "once";
}

TEST_F(AnEventLoop, CallsNoTimerThatWasRemovedAlsoByAnotherOne) {
  Named removed{this, 2};
  Named removing{this, 1, [&] { loop_->removeCyclicCallback(loop_, removed.id); }};
  once(removing, 1ms);
  once(removed, 1ms);
  ASSERT_TRUE(calls(1));
  poll(nullptr, 0, 5);
  fake_.loop.run();
  EXPECT_THAT(called_, ElementsAre(1));
}

// Its clock is not the kernel's.
TEST_F(AnEventLoop, TakesTheTimeOfTheLibrarysClock) {
  Named later{this, 1};
  once(later, 1h);
  const UA_DateTime next = loop_->nextCyclicTime(loop_) - UA_DateTime_nowMonotonic();
  EXPECT_NEAR(static_cast<double>(next) / UA_DATETIME_SEC, 3600, 0.1);
  fake_.loop.run();
  EXPECT_NEAR(static_cast<double>(fake_.loop.next_timer().count()) / 1e9, 3600, 0.1);
}

TEST_F(AnEventLoop, TakesAnotherIntervalFromNowOn) {
  Named cyclic{this, 1};
  every(cyclic, 3'600'000);
  ASSERT_EQ(loop_->modifyCyclicCallback(loop_, cyclic.id, 1, nullptr,
                                        UA_TIMER_HANDLE_CYCLEMISS_WITH_CURRENTTIME),
            UA_STATUSCODE_GOOD);
  EXPECT_TRUE(calls(1));
  EXPECT_EQ(loop_->modifyCyclicCallback(loop_, 99, 1, nullptr,
                                        UA_TIMER_HANDLE_CYCLEMISS_WITH_CURRENTTIME),
            UA_STATUSCODE_BADNOTFOUND);
}

// Else a publishing interval would be longer than it is said to be, the more there is to do.
TEST_F(AnEventLoop, KeepsTheTimesOfACyclicTimerThatComesLate) {
  constexpr double kInterval = 500 * UA_DATETIME_MSEC;
  constexpr double kUnsure = 2 * UA_DATETIME_MSEC;  // two clocks
  Named cyclic{this, 1};
  every(cyclic, 500);
  const UA_DateTime first = loop_->nextCyclicTime(loop_);
  const auto wait_until = [](UA_DateTime time) {
    return test::eventually([time] { return UA_DateTime_nowMonotonic() >= time; });
  };
  ASSERT_TRUE(wait_until(first + 20 * UA_DATETIME_MSEC));
  ASSERT_TRUE(calls(1));
  const UA_DateTime second = loop_->nextCyclicTime(loop_);
  EXPECT_NEAR(static_cast<double>(second - first), kInterval, kUnsure);
  // But what it has missed altogether it does not make up for.
  ASSERT_TRUE(wait_until(second + 520 * UA_DATETIME_MSEC));
  ASSERT_TRUE(calls(2));
  fake_.loop.run();
  EXPECT_EQ(called_.size(), 2u);
  EXPECT_GT(static_cast<double>(loop_->nextCyclicTime(loop_) - second), 2 * kInterval);
}

TEST_F(AnEventLoop, CallsWhatIsDelayedInItsOrderAndInTheNextTurnWhatThatDelays) {
  Delayed third{this, 3};
  Delayed first{this, 1};
  Delayed second{this, 2};
  Delayed removed{this, 4};
  first.also = [&] { delay(third); };
  delay(first);
  delay(removed);
  delay(second);
  loop_->removeDelayedCallback(loop_, &removed);
  EXPECT_TRUE(called_.empty());
  sut_.run_delayed();
  EXPECT_THAT(called_, ElementsAre(1, 2));
  fake_.loop.run();
  EXPECT_THAT(called_, ElementsAre(1, 2, 3));
}

// The library would call it again and again until its answer comes, which it cannot.
TEST_F(AnEventLoop, FailsACallThatWaitsAfterWhatWasDelayed) {
  Delayed delayed{this, 1};
  delay(delayed);
  EXPECT_NE(loop_->run(loop_, 10'000), UA_STATUSCODE_GOOD);
  EXPECT_THAT(called_, ElementsAre(1));
}

}  // namespace
}  // namespace backplane::opcua
