// SPDX-License-Identifier: Apache-2.0
// Channels: who waits, many at once, and other processes.
#include "channel_fixture.hpp"
#include "support/as_nobody.hpp"
#include "support/eventually.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <optional>
#include <poll.h>
#include <thread>

namespace backplane {
namespace {

using test::as_nobody;
using test::eventually;
using test::in_child;
using testing::HasSubstr;

// ---- waiting ----

TEST_F(AChannel, IsWaitedForUntilADeadline) {
  Channel sut = of<Small>();
  for (const auto spin : {0ns, 100'000ns, kAlways}) {
    Subscriber subscriber = sut.subscriber({.spin = spin}).value();
    const auto before = std::chrono::steady_clock::now();
    EXPECT_EQ(subscriber.receive_within(20ms).status().code(), BP_DEADLINE_EXCEEDED);
    EXPECT_GE(std::chrono::steady_clock::now() - before, 20ms);
  }
}

/// Back and forth, so that each waits for each.
void play(Channel& there, Channel& back, std::chrono::nanoseconds spin, uint64_t n) {
  std::thread other([&] {
    Subscriber in = there.subscriber({.spin = spin}).value();
    Publisher out = back.publisher().value();
    for (uint64_t i = 0; i < n; ++i) {
      const Sample sample = in.receive_within(20s).value();
      out.send(sample.data()).or_throw();
    }
  });
  Subscriber in = back.subscriber({.spin = spin}).value();
  Publisher out = there.publisher().value();
  ASSERT_TRUE(eventually([&] { return there.info().n_subscribers == 1; }));
  for (uint64_t i = 0; i < n; ++i) {
    out.send(Large(i)).or_throw();
    const Result<Sample> sample = in.receive_within(20s);
    ASSERT_TRUE(sample.is_ok()) << i << ": " << sample.status().to_string();
    ASSERT_EQ(number_of(*sample), i);
    ASSERT_TRUE(sample->as<Large>().is_whole());
  }
  other.join();
}

TEST_F(AChannel, WakesWhoSleeps) {
  Channel there = of<Large>();
  const NativeKey key = key_of(BP_KEY_POSIX, "back");
  Channel back = Channel::open(key, {.sample_size = sizeof(Large)}).value();
  play(there, back, 0ns, 2000);
  play(there, back, 2us, 2000);
}

TEST_F(AChannel, IsSeenByWhoSpins) {
  Channel there = of<Large>();
  const NativeKey key = key_of(BP_KEY_POSIX, "back");
  Channel back = Channel::open(key, {.sample_size = sizeof(Large)}).value();
  play(there, back, kAlways, 500);
}

TEST_F(AChannel, WakesAnEventLoop) {
  Channel sut = of<Small>();
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  publisher.send(Small(0)).or_throw();
  const int descriptor = subscriber.descriptor().value();
  EXPECT_EQ(subscriber.descriptor().value(), descriptor);
  const auto is_readable = [&](int ms) {
    pollfd one{descriptor, POLLIN, 0};
    return poll(&one, 1, ms) == 1;
  };
  EXPECT_TRUE(is_readable(0)) << "one was there before";
  EXPECT_EQ(all_of(subscriber), from_to(0, 1));
  EXPECT_FALSE(is_readable(0)) << "it found none";
  std::thread publishing([&] {
    for (uint64_t i = 1; i < 1000; ++i) publisher.send(Small(i)).or_throw();
  });
  uint64_t expected = 1;
  while (expected < 1000 && is_readable(20'000)) {
    const std::vector<uint64_t> received = all_of(subscriber);
    if (!received.empty()) expected = received.back() + 1;
  }
  publishing.join();
  EXPECT_EQ(expected, 1000u);
}

TEST_F(AChannel, WakesAnEventLoopOnceAndNotEachTime) {
  Channel sut = of<Small>({.capacity = 1024});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  const int descriptor = subscriber.descriptor().value();
  EXPECT_EQ(subscriber.try_receive().status().code(), BP_DEADLINE_EXCEEDED);
  for (uint64_t i = 0; i < 1000; ++i) publisher.send(Small(i)).or_throw();
  char byte = 0;
  int wakes = 0;
  while (read(descriptor, &byte, 1) == 1) ++wakes;
  EXPECT_EQ(wakes, 1);
}

// ---- lossless ----

TEST_F(AChannel, ThatIsLosslessMakesPublishersWait) {
  Channel sut = of<Large>({.capacity = 4, .lossless = true});
  Publisher publisher = sut.publisher().value();
  for (uint64_t i = 0; i < 10; ++i) publisher.send(Large(i)).or_throw();  // for nobody
  Subscriber subscriber = sut.subscriber().value();
  for (uint64_t i = 10; i < 14; ++i) publisher.send(Large(i)).or_throw();
  publisher.loan<Large>() = Large(14);
  const Status full = publisher.publish_within(5ms);
  EXPECT_EQ(full.code(), BP_DEADLINE_EXCEEDED);
  EXPECT_THAT(full.to_string(), HasSubstr("is 4 samples behind"));
  EXPECT_EQ(number_of(subscriber.try_receive().value()), 10u);
  publisher.publish_within(5s).or_throw();  // what is still loaned
  EXPECT_EQ(all_of(subscriber), from_to(11, 15));
}

TEST_F(AChannel, ThatIsLosslessHasRoomBesidesAHistory) {
  Channel sut = of<Large>({.capacity = 4, .lossless = true});
  EXPECT_EQ(sut.subscriber({.history = 4}).status().code(), BP_INVALID_ARGUMENT);
  Subscriber subscriber = sut.subscriber({.history = 3}).value();
  Publisher publisher = sut.publisher().value();
  publisher.loan<Large>();
  EXPECT_TRUE(publisher.try_publish().is_ok());
}

TEST_F(AChannel, ThatIsLosslessGoesOnWithRoomForOne) {
  Channel sut = of<Large>({.capacity = 16, .lossless = true});
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  std::thread publishing([&] {
    for (uint64_t i = 0; i < 17; ++i) publisher.send(Large(i)).or_throw();
  });
  EXPECT_TRUE(eventually([&] { return sut.info().published == 16; }));
  EXPECT_EQ(number_of(subscriber.try_receive().value()), 0u);  // and no more
  publishing.join();
  EXPECT_EQ(sut.info().published, 17u);
}

TEST_F(AChannel, ThatIsLosslessWaitsForNobodyWhoLeft) {
  Channel sut = of<Large>({.capacity = 2, .lossless = true});
  Publisher publisher = sut.publisher().value();
  std::optional<Subscriber> subscriber(sut.subscriber().value());
  std::thread publishing([&] {
    for (uint64_t i = 0; i < 100; ++i) publisher.send(Large(i)).or_throw();
  });
  EXPECT_TRUE(eventually([&] { return sut.info().published == 2; }));
  subscriber.reset();
  publishing.join();
  EXPECT_EQ(sut.info().published, 100u);
}

TEST_F(AChannel, ThatIsLosslessLosesNothingWhileSubscribersComeAndGo) {
  Channel sut = of<Large>({.capacity = 4, .lossless = true});
  std::atomic<bool> is_over{false};
  std::thread publishing([&] {
    Publisher publisher = sut.publisher().value();
    for (uint64_t i = 0; !is_over; ++i) publisher.send(Large(i)).or_throw();
  });
  const auto subscribing = [&] {
    for (int i = 0; i < 50; ++i) {
      Subscriber subscriber = sut.subscriber({.history = 3}).value();
      std::optional<uint64_t> last;
      for (int n = 0; n < 20; ++n) {
        const Sample sample = subscriber.receive_within(20s).value();
        ASSERT_EQ(sample.lost(), 0u);
        ASSERT_TRUE(!last || number_of(sample) == *last + 1);
        ASSERT_TRUE(sample.as<Large>().is_whole());
        last = number_of(sample);
      }
    }
  };
  std::thread one(subscribing);
  std::thread two(subscribing);
  one.join();
  two.join();
  is_over = true;
  publishing.join();
}

// ---- many at once ----

template <class Object>
void publish_and_subscribe(Channel& sut, std::chrono::nanoseconds spin, uint64_t n) {
  const bool is_lossless = (sut.info().flags & BP_CHANNEL_LOSSLESS) != 0;
  constexpr uint64_t kPublishers = 3;
  std::vector<std::thread> threads;
  std::atomic<uint64_t> received{0};
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      Subscriber subscriber = sut.subscriber({.spin = spin}).value();
      std::array<uint64_t, kPublishers> last{};
      uint64_t next = 0;
      for (uint64_t seen = 0; seen < kPublishers * n;) {
        const Sample sample = subscriber.receive_within(20s).value();
        const Object& object = sample.as<Object>();
        ASSERT_TRUE(object.is_whole());
        ASSERT_EQ(sample.sequence(), next + sample.lost());
        ASSERT_TRUE(!is_lossless || sample.lost() == 0);
        const uint64_t from = object.words[0] % kPublishers;
        ASSERT_TRUE(object.words[0] >= last[from]) << "in order of each publisher";
        last[from] = object.words[0];
        next = sample.sequence() + 1;
        seen = next;
        ++received;
      }
    });
  }
  ASSERT_TRUE(eventually([&] { return sut.info().n_subscribers == 2; }));
  for (uint64_t p = 0; p < kPublishers; ++p) {
    threads.emplace_back([&, p] {
      Publisher publisher = sut.publisher().value();
      for (uint64_t i = 0; i < n; ++i) publisher.send(Object(i * kPublishers + p)).or_throw();
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(sut.info().published, kPublishers * n);
  EXPECT_TRUE(is_lossless ? received == 2 * kPublishers * n : received > 0) << received;
}

TEST_F(AChannel, IsForManyAtOnce) {
  Channel sut = open({.sample_size = sizeof(Large), .capacity = 4});
  publish_and_subscribe<Large>(sut, 0ns, 3000);
}
TEST_F(AChannel, IsForManyAtOnceWithSmallSamples) {
  Channel sut = open({.sample_size = sizeof(Small), .capacity = 4});
  publish_and_subscribe<Small>(sut, 0ns, 3000);
}
TEST_F(AChannel, IsForManyAtOnceThatSpin) {
  Channel sut = open({.sample_size = sizeof(Large), .capacity = 2});
  publish_and_subscribe<Large>(sut, kAlways, 1000);
}
TEST_F(AChannel, IsForManyAtOnceAndLossless) {
  Channel sut = open({.sample_size = sizeof(Large), .capacity = 2, .lossless = true});
  publish_and_subscribe<Large>(sut, 0ns, 1000);
}
TEST_F(AChannel, IsForManyAtOnceLosslessAndSmall) {
  Channel sut = open({.sample_size = sizeof(Small), .capacity = 8, .lossless = true});
  publish_and_subscribe<Small>(sut, 1us, 2000);
}

// ---- other processes ----

#ifndef __SANITIZE_THREAD__  // which has no threads in a child, and no thread with 64 locks
/// More than one socket may have sent that is not received.
TEST_F(AChannel, WakesHundredsOfEventLoops) {
  std::vector<Channel> channels;
  std::vector<Subscriber> subscribers;
  std::vector<Publisher> publishers;
  for (int i = 0; i < 30; ++i) {
    channels.push_back(
        Channel::open(key_of(BP_KEY_ANONYMOUS),
                      {.sample_size = 8, .capacity = 1, .publishers = 1, .subscribers = 20})
            .value());
    publishers.push_back(channels.back().publisher().value());
    for (int j = 0; j < 20; ++j) {
      subscribers.push_back(channels.back().subscriber().value());
      static_cast<void>(subscribers.back().descriptor().value());
      ASSERT_EQ(subscribers.back().try_receive().status().code(), BP_DEADLINE_EXCEEDED);
    }
  }
  for (Publisher& each : publishers) each.send(uint64_t{1}).or_throw();
  size_t n_readable = 0;
  for (Subscriber& each : subscribers) {
    pollfd one{each.descriptor().value(), POLLIN, 0};
    n_readable += poll(&one, 1, 0) == 1 ? 1 : 0;
  }
  EXPECT_EQ(n_readable, subscribers.size());
}

TEST_F(AChannel, HasAsManyPeersAsABitEach) {
  Channel sut = of<Large>({.capacity = 2, .publishers = 32, .subscribers = 32});
  std::vector<Publisher> publishers;
  std::vector<Subscriber> subscribers;
  for (int i = 0; i < 32; ++i) {
    publishers.push_back(sut.publisher().value());
    subscribers.push_back(sut.subscriber().value());
  }
  for (uint64_t i = 0; i < 32; ++i) {
    publishers[i].send(Large(i)).or_throw();
    for (Subscriber& each : subscribers) ASSERT_THAT(all_of(each), testing::ElementsAre(i));
  }
}

TEST_F(AChannel, GoesToAnotherProcess) {
  Channel sut = of<Large>({.lossless = true});
  const NativeKey key = key_;
  Publisher publisher = sut.publisher().value();
  std::atomic<int> code{-2};
  std::thread other([&] {
    code = in_child([&] {
      Channel same = Channel::attach(key).value();
      Subscriber subscriber = same.subscriber().value();
      for (uint64_t i = 0; i < 100; ++i) {
        const Result<Sample> sample = subscriber.receive_within(20s);
        if (!sample || number_of(*sample) != i || !sample->as<Large>().is_whole()) return 1;
      }
      return 0;
    });
  });
  EXPECT_TRUE(eventually([&] { return sut.info().n_subscribers == 1; }));
  for (uint64_t i = 0; i < 100; ++i) publisher.send(Large(i)).or_throw();
  other.join();
  EXPECT_EQ(code, 0);
}

TEST_F(AChannel, IsNotForAChildOfFork) {
  Channel sut = of<Large>();
  Publisher publisher = sut.publisher().value();
  Subscriber subscriber = sut.subscriber().value();
  publisher.send(Large(1)).or_throw();
  EXPECT_EQ(in_child([&] {
              const bool is_refused =
                  publisher.loan(1).status().code() == BP_FAILED_PRECONDITION &&
                  publisher.publish(0).code() == BP_FAILED_PRECONDITION &&
                  subscriber.try_receive().status().code() == BP_FAILED_PRECONDITION &&
                  subscriber.descriptor().status().code() == BP_FAILED_PRECONDITION &&
                  sut.publisher().status().code() == BP_FAILED_PRECONDITION &&
                  sut.subscriber().status().code() == BP_FAILED_PRECONDITION;
              { Publisher closed(std::move(publisher)); }
              { Subscriber closed(std::move(subscriber)); }
              return is_refused ? 0 : 1;
            }),
            0);
  EXPECT_EQ(sut.info().n_publishers, 1u) << "the child has closed nothing of its parent";
  EXPECT_THAT(all_of(subscriber), testing::ElementsAre(1u));
  publisher.send(Large(2)).or_throw();
  EXPECT_THAT(all_of(subscriber), testing::ElementsAre(2u));
}

TEST_F(AChannel, IsForThisUserAloneUnlessSaid) {
  if (getuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  Channel sut = of<Small>();
  const NativeKey key = key_;
  EXPECT_TRUE(
      as_nobody([&] { return Channel::attach(key).status().code() == BP_PERMISSION_DENIED; }));
  const NativeKey open_key = key_of(BP_KEY_POSIX, "open");
  Channel for_all =
      Channel::open(open_key, {.sample_size = sizeof(Small), .permissions = 0666}).value();
  Subscriber subscriber = for_all.subscriber().value();
  EXPECT_TRUE(as_nobody([&] {
    return Channel::attach(open_key).value().publisher().value().send(Small(9)).is_ok();
  }));
  EXPECT_THAT(all_of(subscriber), testing::ElementsAre(9u));
}
#endif

}  // namespace
}  // namespace backplane
