// SPDX-License-Identifier: Apache-2.0
#include "queue.hpp"

#include <gtest/gtest.h>

#include <random>

namespace backplane::route {
namespace {

struct Dropped {
  int value;
  Reason reason;
  bool operator==(const Dropped&) const = default;
};

/// A queue with the items that were made for it; what it drops goes back to the pool.
class QueueWith {
 public:
  explicit QueueWith(const QueueOptions& options) : queue(options) {}

  void push(int value, std::string_view path = {}, size_t padding = 0) {
    MessageBuilder message(value);
    const std::string filler(padding, 'x');
    if (!path.empty()) message.header(BP_H_PATH, path);
    if (padding != 0) message.header("filler", filler);
    queue.push(pool.take(message), [this](Item& item, Reason reason) {
      dropped.push_back({item.message.as<int>().value(), reason});
      pool.give_back(item);
    });
  }
  std::vector<int> pop_all() {
    std::vector<int> out;
    while (Item* const item = queue.pop()) {
      out.push_back(item->message.as<int>().value());
      pool.give_back(*item);
    }
    return out;
  }

  ItemPool pool;
  Queue queue;
  std::vector<Dropped> dropped;
};

TEST(AQueueThatBlocks, KeepsWhatCameInItsOrderAndTellsItsRoom) {
  QueueWith sut({Policy::kBlock, 3, 1 << 20});
  EXPECT_TRUE(sut.queue.limits_source());
  EXPECT_EQ(sut.queue.room(100), 3u);
  sut.push(1);
  sut.push(2);
  EXPECT_EQ(sut.queue.room(100), 1u);
  EXPECT_EQ(sut.pop_all(), (std::vector{1, 2}));
  EXPECT_TRUE(sut.dropped.empty());
}

TEST(AQueueThatBlocks, TellsNoRoomWhenTheBytesAreUsedUp) {
  QueueWith sut({Policy::kBlock, 100, 4096});
  EXPECT_EQ(sut.queue.room(1024), 4u);
  sut.push(1, {}, 3000);
  EXPECT_EQ(sut.queue.room(1024), 0u);
  EXPECT_EQ(sut.pop_all(), (std::vector{1}));
  EXPECT_EQ(sut.queue.bytes(), 0u);
  EXPECT_EQ(sut.queue.room(10000), 1u) << "one message always fits into an empty queue";
}

TEST(AQueueThatDropsTheOldest, HoldsTheNewest) {
  QueueWith sut({Policy::kDropOldest, 3, 1 << 20});
  EXPECT_FALSE(sut.queue.limits_source());
  for (int i = 1; i <= 5; ++i) sut.push(i);
  EXPECT_EQ(sut.pop_all(), (std::vector{3, 4, 5}));
  EXPECT_EQ(sut.dropped, (std::vector<Dropped>{{1, Reason::kOverflow}, {2, Reason::kOverflow}}));
}

TEST(AQueueThatDropsTheOldest, KeepsToItsBytes) {
  QueueWith sut({Policy::kDropOldest, 1000, 16384});
  for (int i = 0; i < 100; ++i) {
    sut.push(i, {}, 2000);
    EXPECT_LE(sut.queue.bytes(), 16384u);
  }
  EXPECT_GE(sut.queue.size(), 5u);
  EXPECT_EQ(sut.dropped.size() + sut.queue.size(), 100u);
}

TEST(AQueueThatDropsTheOldest, TakesOneThatIsLargerThanItself) {
  QueueWith sut({Policy::kDropOldest, 1000, 1024});
  sut.push(1);
  sut.push(2, {}, 5000);
  EXPECT_EQ(sut.pop_all(), (std::vector{2}));
}

TEST(AQueueOfTheLatest, HoldsOneMessageOfEachPath) {
  QueueWith sut({Policy::kLatest, 10, 1 << 20});
  sut.push(1, "a");
  sut.push(2, "b");
  sut.push(3, "a");
  sut.push(4);
  sut.push(5);
  EXPECT_EQ(sut.pop_all(), (std::vector{3, 2, 5}));
  EXPECT_EQ(sut.dropped, (std::vector<Dropped>{{1, Reason::kLatest}, {4, Reason::kLatest}}));
}

TEST(AQueueOfTheLatest, IsBoundedInPathsAndBytes) {
  QueueWith sut({Policy::kLatest, 4, 8192});
  for (int i = 0; i < 100; ++i) {
    sut.push(i, concat("path", i % 7), i % 3 == 0 ? 3000 : 10);
    EXPECT_LE(sut.queue.size(), 4u);
    EXPECT_LE(sut.queue.bytes(), 8192u);
  }
  EXPECT_EQ(sut.dropped.size() + sut.queue.size(), 100u);
}

TEST(AQueue, CountsItsBytesRightUnderRandomUse) {
  std::minstd_rand random(1);
  for (const Policy policy : {Policy::kBlock, Policy::kDropOldest, Policy::kLatest}) {
    QueueWith sut({policy, 16, 20000});
    size_t popped = 0;
    for (int i = 0; i < 1000; ++i) {
      sut.push(i, concat(random() % 5), random() % 3000);
      for (size_t n = random() % 3; n > 0; --n) {
        if (Item* const item = sut.queue.pop()) {
          sut.pool.give_back(*item);
          ++popped;
        }
      }
    }
    popped += sut.pop_all().size();
    EXPECT_EQ(sut.queue.bytes(), 0u);
    EXPECT_EQ(sut.dropped.size() + popped, 1000u);
  }
}

TEST(TheItemPool, KnowsWhatIsOut) {
  ItemPool sut;
  MessageBuilder message(1);
  message.seq(7);
  Item& item = sut.take(message);
  item.watch = 3;
  EXPECT_TRUE(sut.has(3, 7));
  EXPECT_FALSE(sut.has(3, 8));
  EXPECT_FALSE(sut.has(2, 7)) << "the same number of another watch is another message";
  sut.give_back(item);
  EXPECT_FALSE(sut.has(3, 7));
}

TEST(TheItemPool, UsesItsMemoryAgain) {
  ItemPool sut;
  Item* const first = &sut.take(MessageBuilder(1).view());
  sut.give_back(*first);
  EXPECT_EQ(&sut.take(MessageBuilder(2).view()), first);
}

TEST(TheTally, BalancesAfterEachStep) {
  Tally sut;
  std::minstd_rand random(2);
  for (int i = 0; i < 10000; ++i) {
    if (sut.in_flight == 0 || random() % 2 == 0) {
      sut.arrive();
    } else if (const auto what = random() % (kReasons + 2); what == 0) {
      sut.deliver();
    } else if (what == 1) {
      sut.store();
    } else {
      sut.drop(static_cast<Reason>(what - 2));
    }
    ASSERT_TRUE(sut.is_balanced());
  }
  EXPECT_GT(sut.dropped_in_all(), 0u);
}

TEST(TheReasons, HaveANameEach) {
  std::vector<std::string_view> names;
  for (size_t i = 0; i < kReasons; ++i) names.push_back(reason_name(static_cast<Reason>(i)));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  EXPECT_FALSE(names.front().empty());
}

}  // namespace
}  // namespace backplane::route
