// SPDX-License-Identifier: Apache-2.0
// A route whose destination is one address for each path.
#include "fixture.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace backplane::route {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ARouteByPath : public ARoute {
 protected:
  /// "plant/x" leads to `a`, "plant/y" to `b`.
  void start_by_path(DestinationOptions options, bool dead_letter = false) {
    add("source", source);
    add("plant/x", a);
    add("plant/y", b);
    add("dead", dead);
    fake.opening = [this](std::string_view address) {
      opened_.emplace_back(address);
      return opening ? opening(address) : Status::ok();
    };
    start_alone({std::move(options)}, dead_letter);
    opened_.clear();  // the source, the dead letter's
  }
  static DestinationOptions by_path() { return to("plant/{path}"); }

  bool publish(int value, std::string_view path) {
    MessageBuilder message(value);
    message.seq(static_cast<uint64_t>(value)).header(BP_H_PATH, path);
    return source.publish(message);
  }
  /// What was opened since then, as the routes asked for it.
  std::vector<std::string> opened() { return std::exchange(opened_, {}); }
  std::string why() { return fake.logs().empty() ? "" : fake.logs().back().fields; }

  std::function<Status(std::string_view)> opening;

 private:
  std::vector<std::string> opened_;
};

TEST_F(ARouteByPath, WritesEachPathToItsOwnAddressWhichIsOpenedOnce) {
  start_by_path(by_path());
  for (int i = 1; i <= 4; ++i) EXPECT_TRUE(publish(i, i % 2 != 0 ? "x" : "y"));
  EXPECT_EQ(a.values(), (std::vector{1, 3}));
  EXPECT_EQ(b.values(), (std::vector{2, 4}));
  EXPECT_THAT(opened(), ElementsAre("plant/x", "plant/y"));
  EXPECT_EQ(source.acked().size(), 4u);
  EXPECT_EQ(fake.metric("route_out_total{destination=plant/{path}}"), 4);
  expect_balance();
}

TEST_F(ARouteByPath, PutsThePathWithoutItsBeginningAndWithoutASlashBeforeIt) {
  DestinationOptions options = to("p{path}t/x");
  options.strip = "site/line1";
  start_by_path(options);
  publish(1, "site/line1/lan");
  publish(2, "site/line1lan");
  EXPECT_EQ(a.values(), (std::vector{1, 2}));
  publish(3, "site/line2/lan");
  EXPECT_THAT(why(), HasSubstr("the path 'site/line2/lan' does not begin with 'site/line1', which "
                               "is to be left out"));
  fake.loop.advance(2s);
  publish(4, "site/line1/");
  EXPECT_THAT(why(), HasSubstr("nothing of the path 'site/line1/' is left to put for {path}"));
  fake.loop.advance(2s);
  publish(5, "");
  EXPECT_THAT(why(), HasSubstr("the message says no path to put for {path}"));
  EXPECT_EQ(dropped(Reason::kInvalid), 3u);
  EXPECT_EQ(source.acked().size(), 5u);
  expect_balance();
}

TEST_F(ARouteByPath, PutsThePathWhereverItsPlaceholderStands) {
  start_by_path(to("{path}/{path}/v"));
  add("x/x/v", a);
  publish(1, "/x");
  EXPECT_EQ(a.values(), (std::vector{1}));
  publish(2, std::string(Targets::kLongestPath + 1, 'x'));
  EXPECT_THAT(why(), HasSubstr("is longer than 1024 bytes"));
  expect_balance();
}

TEST_F(ARouteByPath, BuriesWhatHasNoAddressAndGoesOn) {
  start_by_path(by_path(), true);
  publish(1, "z");
  publish(2, "x");
  EXPECT_EQ(a.values(), (std::vector{2}));
  ASSERT_EQ(dead.count(), 1u);
  const auto payload = *dead.received()[0].body().payload();
  const auto record = nlohmann::json::parse(
      std::string_view(reinterpret_cast<const char*>(payload.data()), payload.size()));
  EXPECT_EQ(record["to"], "plant/z");
  EXPECT_EQ(record["path"], "z");
  EXPECT_EQ(record["reason"], "nacked");
  EXPECT_EQ(record["error"], "NOT_FOUND: no address 'plant/z'");
  expect_balance();
}

TEST_F(ARouteByPath, KeepsTheOrderWhileAnAddressIsBeingOpened) {
  start_by_path(by_path());
  publish(1, "y");
  opening = [](std::string_view) { return Status::pending(); };
  publish(2, "x");
  publish(3, "y");  // whose address is open
  publish(4, "x");
  EXPECT_EQ(b.values(), (std::vector{1}));
  EXPECT_EQ(a.count(), 0u);
  fake.finish_opens();
  EXPECT_EQ(a.values(), (std::vector{2, 4}));
  EXPECT_EQ(b.values(), (std::vector{1, 3}));
  EXPECT_THAT(opened(), ElementsAre("plant/y", "plant/x"));
  expect_balance();
}

TEST_F(ARouteByPath, SendsNothingAgainBehindOneWhoseAddressIsBeingOpenedAgain) {
  start_by_path(by_path());
  publish(1, "x");
  a.keep_all();
  publish(2, "x");
  publish(3, "y");
  opening = [](std::string_view) { return Status::pending(); };
  a.complete(0, Status(BP_FAILED_PRECONDITION, "closed"));
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{1, 2}));
  EXPECT_EQ(b.values(), (std::vector{3}));
  a.answer = nullptr;
  fake.finish_opens();
  EXPECT_EQ(a.values(), (std::vector{1, 2, 2}));
  EXPECT_EQ(b.values(), (std::vector{3, 3}));
  EXPECT_EQ(tally().out, 3u);
  expect_balance();
}

TEST_F(ARouteByPath, EndsWithTheNewestThoughOneBetweenIsRefusedWhenItIsOpenedAgain) {
  start_by_path(by_path());
  publish(1, "x");
  publish(2, "y");
  a.keep_all();
  b.keep_all();
  publish(3, "x");
  publish(4, "y");
  publish(5, "x");
  a.complete(1, Status::ok());
  b.complete(0, Status(BP_FAILED_PRECONDITION, "closed"));
  a.complete(0, Status(BP_UNAVAILABLE, "lost"));
  opening = [](std::string_view) { return Status::pending(); };
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{1, 3, 5, 3}));
  fake.finish_opens(Status(BP_NOT_FOUND, "gone"));
  a.complete_all();
  EXPECT_EQ(a.values(), (std::vector{1, 3, 5, 3, 5})) << "the newest is the last";
  a.complete_all();
  EXPECT_EQ(dropped(Reason::kNacked), 1u);
  EXPECT_EQ(tally().in_flight, 0u);
  expect_balance();
}

TEST_F(ARouteByPath, WaitsWithWhatWasOpenedWhileAnotherFailed) {
  start_by_path(by_path());
  a.keep_all();
  publish(1, "x");
  opening = [](std::string_view) { return Status::pending(); };
  publish(2, "y");
  a.complete(0, Status(BP_UNAVAILABLE, "lost"));
  fake.finish_opens();
  EXPECT_EQ(b.count(), 0u) << "it is behind one that failed";
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{1, 1}));
  EXPECT_EQ(b.values(), (std::vector{2}));
  a.complete_all();
  EXPECT_EQ(tally().out, 2u);
  expect_balance();
}

TEST_F(ARouteByPath, DrainsWhileAnAddressIsBeingOpened) {
  start_by_path(by_path());
  opening = [](std::string_view) { return Status::pending(); };
  publish(1, "x");
  drain();
  EXPECT_FALSE(drained_);
  fake.finish_opens();
  EXPECT_TRUE(drained_);
  EXPECT_EQ(a.values(), (std::vector{1}));
}

TEST_F(ARouteByPath, LeavesToTheSourceWhoseAddressIsNotOpenAtTheDeadline) {
  start_by_path(by_path());
  opening = [](std::string_view) { return Status::pending(); };
  publish(1, "x");
  drain();
  miss_the_deadline_of_drain();
  EXPECT_TRUE(drained_);
  EXPECT_FALSE(source.is_watched());
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(dropped(Reason::kStopped), 1u);
  EXPECT_TRUE(source.acked().empty());
  EXPECT_TRUE(source.nacked().empty());
  expect_balance();
}

TEST_F(ARouteByPath, KeepsTheDeadbandOfOnePathWhenAnotherIsRefused) {
  DestinationOptions options = by_path();
  options.steps.deadband = 100;
  start_by_path(options);
  publish(1, "x");
  publish(2, "nowhere");
  publish(3, "x");
  EXPECT_EQ(a.values(), (std::vector{1}));
  EXPECT_EQ(dropped(Reason::kDeadband), 1u);
  EXPECT_EQ(dropped(Reason::kNacked), 1u);
}

TEST_F(ARouteByPath, TriesAgainToOpenWhatIsNotThereForTheTimeBeing) {
  start_by_path(by_path());
  opening = [](std::string_view) { return Status(BP_UNAVAILABLE, "not now"); };
  publish(1, "x");
  publish(2, "y");
  EXPECT_EQ(fake.reports().back().state, BP_STATE_DEGRADED);
  EXPECT_THAT(fake.reports().back().detail, HasSubstr("plant/{path}: UNAVAILABLE: not now"));
  opening = nullptr;
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{1}));
  EXPECT_EQ(b.values(), (std::vector{2}));
  EXPECT_EQ(fake.reports().back().state, BP_STATE_UP);
  expect_balance();
}

TEST_F(ARouteByPath, SendsAgainInOrderAcrossAddresses) {
  start_by_path(by_path());
  a.keep_all();
  b.keep_all();
  publish(1, "x");
  publish(2, "y");
  publish(3, "x");
  b.complete(0, Status::ok());
  a.complete(0, Status(BP_UNAVAILABLE, "lost"));
  a.complete(0, Status::ok());
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{1, 3, 1, 3}));
  EXPECT_EQ(b.values(), (std::vector{2, 2})) << "it was sent behind one that failed";
  a.complete_all();
  b.complete_all();
  EXPECT_EQ(tally().out, 3u);
  expect_balance();
}

TEST_F(ARouteByPath, OpensAnewAnAddressWhoseReferenceIsClosed) {
  start_by_path(by_path());
  publish(1, "x");
  publish(2, "y");
  EXPECT_THAT(opened(), ElementsAre("plant/x", "plant/y"));
  a.answer = [](Op) { return Status(BP_FAILED_PRECONDITION, "closed"); };
  publish(3, "x");
  publish(4, "y");
  a.answer = nullptr;
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{1, 3, 3}));
  EXPECT_EQ(b.values(), (std::vector{2, 4}));
  EXPECT_THAT(opened(), ElementsAre("plant/x")) << "and the other one stays";
  expect_balance();
}

TEST_F(ARouteByPath, TakesAPreconditionThatFailsOnANewReferenceForARefusal) {
  start_by_path(by_path());
  a.answer = [](Op) { return Status(BP_FAILED_PRECONDITION, "not in this state"); };
  publish(1, "x");
  EXPECT_EQ(dropped(Reason::kNacked), 1u);
  publish(2, "y");
  EXPECT_EQ(b.values(), (std::vector{2}));
  expect_balance();
}

TEST_F(ARouteByPath, ForgetsAddressesThatNothingIsOnItsWayToWhenThereAreTooMany) {
  DestinationOptions options = by_path();
  options.in_flight = 2;
  start_by_path(options);
  b.keep_all();
  const auto many = static_cast<int>(Targets::kMost);
  for (int i = 2; i < many; ++i) add("plant/" + std::to_string(i), a);
  add("plant/more", a);
  publish(1, "x");
  for (int i = 2; i < many; ++i) publish(i, std::to_string(i));
  publish(many, "y");  // under way from here on
  opened();
  publish(many + 1, "more");
  EXPECT_EQ(a.values().back(), many + 1);
  b.complete_all();
  publish(many + 2, "y");
  publish(many + 3, "x");
  EXPECT_THAT(opened(), ElementsAre("plant/more", "plant/x")) << "'y' was under way";
  b.complete_all();
  EXPECT_EQ(tally().out, static_cast<uint64_t>(many + 3));
  expect_balance();
}

TEST_F(ARouteByPath, StopsWhileAnAddressIsBeingOpened) {
  start_by_path(by_path());
  opening = [](std::string_view) { return Status::pending(); };
  publish(1, "x");
  publish(2, "y");
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(dropped(Reason::kStopped), 2u);
  EXPECT_TRUE(source.acked().empty());
}

TEST_F(ARouteByPath, ClosesWhatWasOpenedAlthoughItStops) {
  start_by_path(by_path());
  opening = [](std::string_view) { return Status::pending(); };
  fake.cancels_opens = false;
  publish(1, "x");
  stop();
  EXPECT_FALSE(stopped_);
  fake.finish_opens();
  fake.loop.run();
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(a.count(), 0u);
  EXPECT_EQ(dropped(Reason::kStopped), 1u);
}

TEST_F(ARouteByPath, DropsWhatHasExpiredWhileItsAddressCouldNotBeOpened) {
  DestinationOptions options = by_path();
  options.expiry = 1s;
  start_by_path(options);
  opening = [](std::string_view) { return Status(BP_UNAVAILABLE, "not now"); };
  publish(1, "x");
  wait_for_the_next_try();
  EXPECT_EQ(dropped(Reason::kExpired), 1u);
  opening = nullptr;
  wait_for_the_next_try();
  publish(2, "x");
  EXPECT_EQ(a.values(), (std::vector{2}));
  expect_balance();
}

}  // namespace
}  // namespace backplane::route
