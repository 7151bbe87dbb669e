// SPDX-License-Identifier: Apache-2.0
// What a variable was, by a watch of the past.
#include "fixture.hpp"

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kLevel = "ns=1;s=Past.Level";
constexpr auto kLongAgo = "1990-01-01T00:00:00Z";
constexpr auto kLongAfter = "2200-01-01T00:00:00Z";

/// Ten values that the server has kept, 1 to 10.
class OpcuaHistory : public Opcua {
 protected:
  OpcuaHistory() {
    for (int i = 1; i <= 10; ++i) {
      write(level_, i);
    }
  }
  static void write(const Endpoint& node, double value) {
    MessageBuilder message{ValueView(value)};
    message.time_now();
    node.write(MessageView(message)).or_throw();
  }
  /// Until its end, which is good.
  std::vector<double> told(ValueView options) const {
    const Watched watched(level_, options);
    EXPECT_EQ(watched.end().code(), BP_OK) << watched.end().message();
    return watched.told.numbers();
  }
  Status refusal(ValueView options) const { return Watched(level_, options).end(); }

  StackArena<> arena_;
  const Endpoint level_ = system_.open(kLevel);
};

TEST_F(OpcuaHistory, AllOfATimeComesInItsOrderOverSeveralPages) {
  EXPECT_THAT(told(arena_.map({{"start", kLongAgo}, {"end", kLongAfter}})),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
}

TEST_F(OpcuaHistory, WithoutAnEndItGoesUpToNow) {
  EXPECT_THAT(told(arena_.map({{"start", kLongAgo}})).size(), 10u);
}

TEST_F(OpcuaHistory, ItGoesBackwardsFromTheLaterTime) {
  EXPECT_THAT(told(arena_.map({{"start", kLongAfter}, {"end", kLongAgo}})),
              ElementsAre(10, 9, 8, 7, 6, 5, 4, 3, 2, 1));
}

TEST_F(OpcuaHistory, NoMoreComesThanIsWanted) {
  EXPECT_THAT(told(arena_.map({{"start", kLongAgo}, {"end", kLongAfter}, {"max", 6}})),
              ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(told(arena_.map({{"start", kLongAgo}, {"max", 3}})), ElementsAre(1, 2, 3));
  EXPECT_THAT(told(arena_.map({{"end", kLongAfter}, {"max", 3}})), ElementsAre(10, 9, 8));
}

TEST_F(OpcuaHistory, ItHasStatusAndTimes) {
  const Watched watched(level_, arena_.map({{"start", kLongAgo}}));
  EXPECT_TRUE(watched.end().is_ok());
  for (const Told::Entry& each : watched.told.all()) {
    EXPECT_TRUE(each.has_times);
    EXPECT_FALSE(each.is_initial);
  }
}

TEST(OpcuaHistoryWithoutSourceTimes, ComesWithTheTimesThatThereAre) {
  OpcuaServer server;
  OpcuaSystem system(server.port());
  const Endpoint level = system.connected().open(kLevel);
  level.write(1.0).or_throw();  // the server keeps no source time then
  StackArena<> arena;
  const Watched watched(level, arena.map({{"start", kLongAgo}}));
  EXPECT_TRUE(watched.end().is_ok()) << watched.end().message();
  EXPECT_THAT(watched.told.numbers(), ElementsAre(1));
}

TEST_F(OpcuaHistory, NothingIsNoError) {
  EXPECT_THAT(told(arena_.map({{"start", kLongAgo}, {"end", "1990-01-02T00:00:00Z"}})),
              ElementsAre());
}

TEST_F(OpcuaHistory, TheCreditHoldsItBackAndACancelEndsIt) {
  WatchOptions few;
  few.credit = 5;
  Watched watched(level_, arena_.map({{"start", kLongAgo}}), std::move(few));
  ASSERT_TRUE(watched.told.reaches(5));
  EXPECT_EQ(level_.read<double>().value(), 10) << "something else in between";
  EXPECT_EQ(watched.told.all().size(), 5u);
  EXPECT_FALSE(watched.has_ended());
  watched.credit(2);
  ASSERT_TRUE(watched.told.reaches(7));
  watched.cancel();
  EXPECT_THAT(told(arena_.map({{"start", kLongAgo}})).size(), 10u) << "and others go on";
}

// The kernel uses the memory of an operation again, and an ended watch is only found by looking.
TEST_F(OpcuaHistory, TheCreditIsNotThatOfAWatchThatHasEnded) {
  for (int round = 0; round < 5; ++round) {
    {
      const Watched refused(level_, arena_.map({{"deadband", "10%"}}));  // it has no range
      EXPECT_TRUE(refused.end().is_error());
    }
    WatchOptions few;
    few.credit = 1;
    Watched watched(level_, arena_.map({{"start", kLongAgo}}), std::move(few));
    ASSERT_TRUE(watched.told.reaches(1));
    watched.credit(2);
    ASSERT_TRUE(watched.told.reaches(3));
    watched.credit(100);
    EXPECT_TRUE(watched.end().is_ok());
  }
}

TEST_F(OpcuaHistory, AnotherSessionDoesNotGoOnWithIt) {
  WatchOptions few;
  few.credit = 2;
  Watched watched(level_, arena_.map({{"start", kLongAgo}}), std::move(few));
  ASSERT_TRUE(watched.told.reaches(2));
  server_.kill();
  ASSERT_TRUE(system_.becomes(BP_STATE_CONNECTING));
  server_.start();
  system_.connected();
  watched.credit(10);
  EXPECT_EQ(watched.end().code(), BP_UNAVAILABLE);
}

TEST_F(OpcuaHistory, ALostSessionEndsIt) {
  WatchOptions few;
  few.credit = 2;
  Watched watched(level_, arena_.map({{"start", kLongAgo}}), std::move(few));
  ASSERT_TRUE(watched.told.reaches(2));
  server_.kill();
  ASSERT_TRUE(system_.becomes(BP_STATE_CONNECTING));
  watched.credit(10);
  EXPECT_EQ(watched.end().code(), BP_UNAVAILABLE);
}

TEST_F(OpcuaHistory, OptionsThatMakeNoSenseAreRefusedByName) {
  EXPECT_THAT(std::string(refusal(arena_.map({{"end", kLongAfter}})).message()),
              HasSubstr("needs 'start' or 'max'"));
  ValueView typed = arena_.list({"opcua:i=1", true});
  typed.tag = BP_T_TYPED;
  for (const ValueView no_time :
       {ValueView("yesterday"), ValueView(), arena_.list({}), ValueView(true), typed}) {
    EXPECT_THAT(std::string(refusal(arena_.map({{"start", no_time}})).message()),
                HasSubstr("expected a time"))
        << no_time.to_text();
  }
  const Watched title(system_.open("ns=1;s=Past.Level@DisplayName"),
                      arena_.map({{"start", kLongAgo}}));
  EXPECT_THAT(std::string(title.end().message()), HasSubstr("only values have a past"));
  EXPECT_THAT(std::string(refusal(arena_.map({{"start", kLongAgo}, {"max", 0}})).message()),
              HasSubstr("expected a number of values"));
  EXPECT_THAT(std::string(refusal(arena_.map({{"start", kLongAgo}, {"queue", 1}})).message()),
              HasSubstr("there are 'start', 'end', 'max'"));
}

TEST_F(OpcuaHistory, AVariableWithoutOneSaysSo) {
  const Watched watched(system_.open(kTemperature), arena_.map({{"start", kLongAgo}}));
  EXPECT_THAT(std::string(watched.end().message()), HasSubstr("BadUserAccessDenied"))
      << "what this server says then";
}

}  // namespace
}  // namespace backplane::test
