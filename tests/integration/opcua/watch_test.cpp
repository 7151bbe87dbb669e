// SPDX-License-Identifier: Apache-2.0
// Monitored items of a real server.
#include "fixture.hpp"

namespace backplane::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using OpcuaWatch = Opcua;

constexpr uint32_t kOverflow = 0x480;  // InfoType DataValue, InfoBits Overflow

TEST_F(OpcuaWatch, TheFirstValueIsThePresentOneAndChangesFollow) {
  const Endpoint node = system_.open(kTemperature);
  const Watched watched(node);
  ASSERT_TRUE(watched.told.has(20.5));
  for (const double value : {21.5, 22.5, 23.5}) {
    node.write(value).or_throw();
  }
  ASSERT_TRUE(watched.told.has(23.5));
  const auto all = watched.told.all();
  ASSERT_EQ(all.size(), 4u) << "no change is lost";
  EXPECT_TRUE(all[0].is_initial);
  EXPECT_FALSE(all[1].is_initial);
  EXPECT_TRUE(all[1].has_times);
}

TEST_F(OpcuaWatch, ADeadbandLeavesOutWhatChangesLess) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const Watched watched(node, arena.map({{"deadband", 5.0}}));
  ASSERT_TRUE(watched.told.has(20.5));
  for (const double value : {21.0, 40.0, 41.0, 60.0}) {
    node.write(value).or_throw();
  }
  ASSERT_TRUE(watched.told.has(60.0));
  EXPECT_THAT(watched.told.numbers(), ElementsAre(20.5, 40.0, 60.0));
}

TEST_F(OpcuaWatch, ADeadbandMayBeAPartOfTheRangeThatTheVariableHas) {
  StackArena arena;
  const Endpoint node = system_.open("ns=1;s=Line2.Level");  // 0 to 200: 10 % are 20
  const Watched watched(node, arena.map({{"deadband", "10%"}}));
  ASSERT_TRUE(watched.told.has(20));
  for (const double value : {35.0, 45.0, 60.0, 70.0}) {
    node.write(value).or_throw();
  }
  ASSERT_TRUE(watched.told.has(70));
  EXPECT_THAT(watched.told.numbers(), ElementsAre(20, 45, 70));
}

TEST_F(OpcuaWatch, APartOfARangeThatThereIsNotIsRefusedWithWhatIsMissing) {
  StackArena arena;
  const Watched watched(system_.open(kTemperature), arena.map({{"deadband", "10%"}}));
  EXPECT_THAT(std::string(watched.end().message()), HasSubstr("needs a variable with an EURange"));
}

TEST_F(OpcuaWatch, ATriggerSaysWhatIsAChange) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const Watched status(node, arena.map({{"trigger", "status"}}));
  const Watched timestamp(node, arena.map({{"trigger", "timestamp"}}));
  ASSERT_TRUE(status.told.has(20.5) && timestamp.told.has(20.5));
  node.write(21.5).or_throw();
  MessageBuilder again(21.5);
  again.time(Time(std::chrono::nanoseconds(1709164799123456700)));
  node.write(MessageView(again)).or_throw();
  MessageBuilder uncertain(22.5);
  uncertain.header(BP_H_STATUS, uint32_t{0x40000000});
  node.write(MessageView(uncertain)).or_throw();
  ASSERT_TRUE(status.told.has(22.5) && timestamp.told.has(22.5));
  EXPECT_THAT(status.told.numbers(), ElementsAre(20.5, 22.5)) << "of the value alone: none";
  EXPECT_THAT(timestamp.told.numbers(), ElementsAre(20.5, 21.5, 21.5, 22.5));
}

// The server's queue holds what changes between two reports.
TEST_F(OpcuaWatch, AQueueKeepsTheNewestOrTheOldestAndSaysThatItOverflowed) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const auto options = [&](bool discards_oldest) {
    return arena.map({{"publishing_ns", int64_t{300'000'000}},
                      {"queue", 2},
                      {"discard_oldest", discards_oldest}});
  };
  const Watched newest(node, options(true));
  const Watched oldest(node, options(false));
  ASSERT_TRUE(newest.told.has(20.5) && oldest.told.has(20.5));
  for (const double value : {1, 2, 3, 4}) {
    node.write(value).or_throw();
  }
  ASSERT_TRUE(newest.told.reaches(3) && oldest.told.reaches(3));
  EXPECT_THAT(newest.told.numbers(), ElementsAre(20.5, 3, 4));
  EXPECT_EQ(newest.told.all()[1].status, kOverflow) << "before the oldest that is left";
  EXPECT_EQ(oldest.told.numbers()[1], 1);
  EXPECT_EQ(oldest.told.all()[2].status, kOverflow);
}

TEST_F(OpcuaWatch, APublishingIntervalOfItsOwnBringsSeveralChangesTogether) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const Watched quick(node);
  const Watched slow(node, arena.map({{"publishing_ns", int64_t{2'000'000'000}}}));
  ASSERT_TRUE(quick.told.has(20.5) && slow.told.has(20.5));
  node.write(21.5).or_throw();
  node.write(22.5).or_throw();
  ASSERT_TRUE(quick.told.has(22.5));
  EXPECT_THAT(slow.told.numbers(), ElementsAre(20.5)) << "the next report is seconds away";
  EXPECT_TRUE(slow.told.has(22.5));
}

TEST_F(OpcuaWatch, ASamplingIntervalLeavesOutWhatChangesInBetween) {
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const Watched quick(node);
  const Watched slow(node, arena.map({{"sampling_ns", int64_t{1'000'000'000}}}));
  ASSERT_TRUE(quick.told.has(20.5) && slow.told.has(20.5));
  for (const double value : {1, 2, 3, 4}) {
    node.write(value).or_throw();
  }
  ASSERT_TRUE(quick.told.has(4) && slow.told.has(4));
  EXPECT_THAT(quick.told.numbers(), ElementsAre(20.5, 1, 2, 3, 4));
  EXPECT_LT(slow.told.all().size(), 5u);
}

TEST_F(OpcuaWatch, APartOfAnArrayIsWatched) {
  StackArena arena;
  const Endpoint node = system_.open("ns=1;s=Line1.Profile");
  const Pair range(BP_H_INDEX_RANGE, "1:2");
  Guarded<std::vector<std::vector<double>>> seen;
  const auto watching = node.watch(
      [&](MessageView message) {
        seen.lock()->assign(1, message.body().get<std::vector<double>>().value());
      },
      {.headers = {static_cast<const bp_pair*>(&range), 1}});
  ASSERT_TRUE(watching);
  EXPECT_TRUE(eventually([&] {
    return seen.copy() == std::vector<std::vector<double>>({{2, 3}});
  }));
}

// The server does not pause for a consumer that is slow, and the last value is the one that counts.
TEST_F(OpcuaWatch, ASlowConsumerHasTheNewestValueInTheEnd) {
  constexpr int kMore = 1100;  // than wait in our queue
  StackArena arena;
  const Endpoint node = system_.open(kTemperature);
  const Watched quick(node, arena.map({{"queue", 2000}}));
  Watched slow(node, arena.map({{"queue", 2000}}), {.credit = 1});
  ASSERT_TRUE(quick.told.has(20.5) && slow.told.has(20.5));
  // A server that is behind makes one of several changes.
  int last = 0;
  const auto is_full = [&] { return system_.metric("messages_dropped_total") > 0; };
  while (!is_full() && last < 20 * kMore) {
    for (int i = 0; i < kMore; ++i) {
      node.write(static_cast<double>(++last)).or_throw();
    }
    ASSERT_TRUE(quick.told.has(last));
  }
  EXPECT_TRUE(is_full());
  slow.credit(static_cast<uint32_t>(2 * last));
  EXPECT_TRUE(slow.told.has(last));
}

TEST_F(OpcuaWatch, AValueOfBadQualityIsAMessageWithItsStatus) {
  const Watched watched(system_.open("ns=1;s=Line1.Broken"));
  ASSERT_TRUE(watched.told.reaches(1));
  EXPECT_EQ(watched.told.all()[0].status, 0x808C0000u);
}

TEST_F(OpcuaWatch, AnUnknownNodeEndsTheWatchWithItsReason) {
  const Watched watched(system_.open("ns=1;s=Line1.Pressure"));
  EXPECT_EQ(watched.end().code(), BP_NOT_FOUND);
  EXPECT_THAT(std::string(watched.end().message()),
              HasSubstr("watching 'ns=1;s=Line1.Pressure': BadNodeIdUnknown"));
}

TEST_F(OpcuaWatch, AnOptionThatThereIsNotIsRefusedWithThoseThatThereAre) {
  StackArena arena;
  const Watched watched(system_.open(kTemperature), arena.map({{"interval", 5}}));
  EXPECT_THAT(std::string(watched.end().message()),
              HasSubstr("'sampling_ns', 'deadband', 'trigger'"));
  EXPECT_TRUE(watched.told.all().empty());
}

TEST_F(OpcuaWatch, ACancelledOneIsGoneFromTheServerAndOthersGoOn) {
  const Endpoint node = system_.open(kTemperature);
  const Endpoint items = system_.open("ns=1;s=Line2.Items");
  Watched first(node);
  const Watched second(node);
  ASSERT_TRUE(first.told.has(20.5) && second.told.has(20.5));
  EXPECT_EQ(items.read<int>().value(), 2);
  first.cancel();
  EXPECT_TRUE(eventually([&] { return items.read<int>().value() == 1; }));
  node.write(21.5).or_throw();
  EXPECT_TRUE(second.told.has(21.5));
  EXPECT_EQ(first.told.all().size(), 1u);
}

TEST_F(OpcuaWatch, AConsumerThatTakesNoMoreLeavesNothingAtTheServer) {
  const Endpoint fixed = system_.open("ns=1;s=Line1.Fixed");  // no change comes that would tell
  const Endpoint items = system_.open("ns=1;s=Line2.Items");
  std::atomic<bool> was_told{false};
  const auto watching = fixed.watch([&](MessageView) -> void {
    was_told = true;
    throw Error(BP_ABORTED, "enough");
  });
  ASSERT_TRUE(watching);
  ASSERT_TRUE(eventually([&] { return was_told.load(); }));
  EXPECT_TRUE(eventually([&] { return items.read<int>().value() == 0; }));
}

TEST_F(OpcuaWatch, WhatAConsumerHasNoCreditForWaitsAndComesInItsOrder) {
  const Endpoint node = system_.open(kTemperature);
  const Watched quick(node);
  Watched slow(node, {}, {.credit = 0});
  ASSERT_TRUE(quick.told.has(20.5));
  for (int i = 1; i <= 5; ++i) {
    node.write(static_cast<double>(i)).or_throw();
    ASSERT_TRUE(quick.told.has(i));
  }
  EXPECT_EQ(slow.told.all().size(), 0u);
  for (size_t n = 1; n <= 6; ++n) {
    slow.credit(1);
    ASSERT_TRUE(slow.told.reaches(n));
  }
  EXPECT_THAT(slow.told.numbers(), testing::ElementsAre(20.5, 1, 2, 3, 4, 5));
  EXPECT_TRUE(slow.told.all().front().is_initial);
}

TEST_F(OpcuaWatch, TheLatestPolicyKeepsTheNewestAlone) {
  const Endpoint node = system_.open(kTemperature);
  const Watched quick(node);
  Watched slow(node, {}, {.credit = 0, .overflow = BP_OVERFLOW_LATEST});
  ASSERT_TRUE(quick.told.has(20.5));
  for (int i = 1; i <= 5; ++i) {
    node.write(static_cast<double>(i)).or_throw();
    ASSERT_TRUE(quick.told.has(i));
  }
  ASSERT_TRUE(eventually([&] { return system_.metric("messages_dropped_total") == 5; }, kPatience));
  slow.credit(10);
  ASSERT_TRUE(slow.told.has(5));
  EXPECT_THAT(slow.told.numbers(), testing::ElementsAre(5));
}

TEST_F(OpcuaWatch, AnUnknownPolicyIsRefused) {
  const Watched watched(system_.open(kTemperature), {}, {.overflow = 9});
  EXPECT_EQ(watched.end().code(), BP_INVALID_ARGUMENT) << watched.end().message();
}

TEST_F(OpcuaWatch, OneThatIsCancelledWhileSomethingWaitsIsGoneAndOthersStay) {
  Watched watched(system_.open("ns=1;s=Line1.Broken"), {}, {.credit = 0});
  Watched one(system_.open(kTemperature), {}, {.credit = 0});
  ASSERT_TRUE(eventually(
      [&] { return system_.open("ns=1;s=Line2.Items").read<int>().value() == 2; }, kPatience));
  one.cancel();
  EXPECT_TRUE(eventually(
      [&] { return system_.open("ns=1;s=Line2.Items").read<int>().value() == 1; }, kPatience));
  watched.credit(1);
  EXPECT_TRUE(watched.told.reaches(1));
  EXPECT_FALSE(watched.has_ended());
}

}  // namespace
}  // namespace backplane::test
