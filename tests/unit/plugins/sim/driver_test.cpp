// SPDX-License-Identifier: Apache-2.0
#include "plugins/sim/driver.hpp"

#include "support/fake_host.hpp"
#include "support/watch_probe.hpp"
#include <backplane/sdk/endpoint_object.hpp>

#include <gmock/gmock.h>

namespace backplane::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// What the target saw, and how it answers.
struct Plant {
  explicit Plant(const Host& fake) : host(fake), hub(fake) {}
  const Host& host;
  Hub hub;
  std::vector<double> written = {};
  Status answer = Status::ok();
  bool watchable = true;
  bool answers_later = false;
  Op waiting = {};

  /// Somebody else writes.
  void outside(ValueView value) { hub.publish(MessageBuilder(value).view()); }
  std::vector<double> take() { return std::exchange(written, {}); }
};

class Resource final {
 public:
  explicit Resource(Plant& plant) : plant_(plant) {}
  Status write(Op op) {
    if (plant_.answers_later) {
      plant_.waiting = op;
      return Status::pending();
    }
    plant_.written.push_back(op.in().as<double>().value());
    if (plant_.answer.is_ok()) {
      plant_.hub.publish(op.in());
    }
    return plant_.answer;
  }
  Status watch(Op op) {
    return plant_.watchable ? plant_.hub.watch(op) : Status(BP_UNIMPLEMENTED, "no watch");
  }
  void cancel(Op op) noexcept {
    if (plant_.waiting == op) {
      plant_.host.complete(std::exchange(plant_.waiting, Op()), Status(BP_CANCELLED));
    } else {
      plant_.hub.cancel(op);
    }
  }
  void credit(Op op, uint32_t n) noexcept { plant_.hub.credit(op, n); }
  void ack(Op op, uint64_t seq, bp_status status) noexcept { plant_.hub.ack(op, seq, status); }

 private:
  Plant& plant_;
};

/// A ramp of 0 1 2 3 ... every half second on plant:/t.
class ARampOnAPlant : public testing::Test {
 protected:
  ARampOnAPlant() {
    options_.name = "t";
    options_.to = "plant:/t";
    options_.shape = Shape::kRamp;
    options_.max = 1000;
    options_.period = seconds(500);
    options_.interval = milliseconds(500);
    options_.hold = seconds(3);
  }
  ~ARampOnAPlant() override {
    if (sut_ != nullptr) {
      bool stopped = false;
      sut_->stop();
      in_flight_.hold();
      sut_->hub().stop(Status(BP_UNAVAILABLE), [this] { in_flight_.end(); });
      in_flight_.stop([&] { stopped = true; });
      fake_.loop.run();
      EXPECT_TRUE(stopped);
      sut_.reset();
    }
    if (plugged_in_) {
      fake_.close_address("plant:/t");
    }
  }

  void plug_in() {
    plugged_in_ = true;
    fake_.add_endpoint("plant:/t", make_endpoint(std::make_unique<Resource>(plant_)));
  }
  void start() {
    sut_ = std::make_unique<Driver>(
        host_, in_flight_, options_, [this] { ++changes_; }, [this] { return fake_.loop.now(); });
    sut_->start();
    fake_.loop.run();
  }
  void ticks(int n) {
    for (int i = 0; i < n; ++i) {
      fake_.loop.advance(milliseconds(500));
    }
  }
  int64_t metric(const std::string& name) { return fake_.metric(name + "{signal=t}"); }

  test::FakeHost fake_;
  Host host_{fake_.raw()};
  Plant plant_{host_};
  SignalOptions options_;
  InFlight in_flight_;
  int changes_ = 0;
  bool plugged_in_ = false;
  std::unique_ptr<Driver> sut_;
};

TEST_F(ARampOnAPlant, WritesTheFirstValueAtStartAndThenOneATick) {
  plug_in();
  start();
  EXPECT_THAT(plant_.take(), ElementsAre(0));
  ticks(3);
  EXPECT_THAT(plant_.take(), ElementsAre(1, 2, 3));
  EXPECT_TRUE(sut_->status().is_ok());
  EXPECT_EQ(metric("writes_total"), 4);
  EXPECT_EQ(metric("holds_total"), 0) << "its own writes hold it";
}

TEST_F(ARampOnAPlant, IsSilentForThreeSecondsAfterAnOutsideWriteAndGoesOnFromThere) {
  plug_in();
  start();
  ticks(1);
  plant_.take();
  plant_.outside(400.0);
  ticks(5);
  EXPECT_THAT(plant_.take(), IsEmpty());
  ticks(2);
  EXPECT_THAT(plant_.take(), testing::Contains(401.0));
  EXPECT_EQ(metric("holds_total"), 1);
}

TEST_F(ARampOnAPlant, HoldsAgainFromEachFurtherOutsideWrite) {
  plug_in();
  start();
  plant_.take();
  plant_.outside(400.0);
  ticks(5);
  plant_.outside("500");
  ticks(5);
  EXPECT_THAT(plant_.take(), IsEmpty());
  ticks(2);
  EXPECT_THAT(plant_.take(), testing::Contains(501.0));
  EXPECT_EQ(metric("holds_total"), 1) << "one hold, made longer";
}

TEST_F(ARampOnAPlant, HoldsForAnOutsideValueThatIsNoNumberAndGoesOnWhereItWas) {
  plug_in();
  start();
  ticks(1);
  plant_.take();
  plant_.outside("broken");
  ticks(5);
  EXPECT_THAT(plant_.take(), IsEmpty());
  ticks(2);
  EXPECT_EQ(plant_.take().front(), 2.0);
}

TEST_F(ARampOnAPlant, DoesNotHoldForWhatItFindsAtTheStart) {
  plant_.outside(7.0);
  plug_in();
  HubOptions replay;
  replay.replay_last = true;
  plant_.hub = Hub(host_, replay);
  plant_.outside(7.0);
  start();
  ticks(1);
  EXPECT_THAT(plant_.take(), ElementsAre(0, 1));
}

TEST_F(ARampOnAPlant, TriesAFailingWriteAgainAtTheNextTickCountsAndReports) {
  plug_in();
  plant_.answer = Status(BP_UNAVAILABLE, "no route");
  start();
  ticks(2);
  EXPECT_EQ(metric("write_failures_total"), 3);
  EXPECT_THAT(sut_->status().to_string(), HasSubstr("write 'plant:/t': no route"));
  plant_.answer = Status::ok();
  plant_.take();
  ticks(1);
  EXPECT_THAT(plant_.take(), ElementsAre(3));
  EXPECT_TRUE(sut_->status().is_ok());
  EXPECT_EQ(changes_, 2);
}

TEST_F(ARampOnAPlant, OpensItsTargetWhenItAppears) {
  start();
  ticks(2);
  EXPECT_EQ(sut_->status().code(), BP_NOT_FOUND);
  plug_in();
  ticks(2);
  EXPECT_THAT(plant_.take(), ElementsAre(0, 1));
}

TEST_F(ARampOnAPlant, GoesOnWithoutAWatch) {
  plug_in();
  plant_.watchable = false;
  start();
  ticks(2);
  EXPECT_THAT(plant_.take(), ElementsAre(0, 1, 2));
  EXPECT_THAT(fake_.logs().back().text, HasSubstr("cannot watch"));
}

TEST_F(ARampOnAPlant, WatchesAgainWhenItsWatchHasEnded) {
  plug_in();
  start();
  plant_.hub.end(Status(BP_UNAVAILABLE, "peer gone"));
  plant_.hub = Hub(host_);
  ticks(1);
  EXPECT_EQ(plant_.hub.watchers(), 1U);
}

TEST_F(ARampOnAPlant, SkipsTicksWhileAWriteIsUnderWay) {
  plug_in();
  start();
  plant_.take();
  plant_.answers_later = true;
  ticks(4);
  EXPECT_EQ(metric("ticks_skipped_total"), 3);
  plant_.answers_later = false;
  host_.complete(std::exchange(plant_.waiting, Op()), Status::ok());
  ticks(1);
  EXPECT_THAT(plant_.take(), ElementsAre(2));
}

TEST_F(ARampOnAPlant, WritesNothingMoreOnceItDrainsButEndsWhatItHasBegun) {
  plug_in();
  start();
  plant_.answers_later = true;
  ticks(1);
  bool drained = false;
  sut_->drain();
  in_flight_.stop([&] { drained = true; });
  plant_.take();
  ticks(3);
  EXPECT_FALSE(drained) << "a write is under way";
  ASSERT_NE(plant_.waiting, nullptr);
  host_.complete(std::exchange(plant_.waiting, Op()), Status::ok());
  EXPECT_TRUE(drained);
  EXPECT_EQ(plant_.hub.watchers(), 0U);
  ticks(3);
  EXPECT_EQ(ValueView(*sut_->last()), ValueView(1.0)) << "its own watchers get nothing new either";
}

TEST_F(ARampOnAPlant, StopsWhileAWriteIsUnderWay) {
  plug_in();
  plant_.answers_later = true;
  start();
  EXPECT_NE(plant_.waiting, nullptr);
}

TEST_F(ARampOnAPlant, ShowsItsValuesToItsOwnWatchers) {
  options_.to = "";
  options_.decimals = 0;
  start();
  EXPECT_EQ(ValueView(*sut_->last()), ValueView(0LL));
  ticks(2);
  EXPECT_EQ(ValueView(*sut_->last()), ValueView(2LL));
  EXPECT_TRUE(sut_->status().is_ok());
}

}  // namespace
}  // namespace backplane::sim
