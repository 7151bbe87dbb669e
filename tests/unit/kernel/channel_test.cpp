// SPDX-License-Identifier: Apache-2.0
// The channel's algorithm under schedules that seldom happen: after each of its steps a thread may
// lose its turn. (tests/model/channel.pml has all schedules, of a small one.)
#include "backplane/sdk/channel.hpp"

#include "kill_point.hpp"
#include "support/eventually.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <random>
#include <sched.h>
#include <thread>
#include <time.h>
#include <unistd.h>

namespace backplane::kernel {
namespace {

using namespace std::chrono_literals;

void lose_turn(const char* /*step*/) {
  thread_local std::minstd_rand random(static_cast<unsigned>(gettid()));
  const auto chance = random() % 64;
  if (chance < 8) ::sched_yield();
  if (chance == 63) {
    const timespec little{0, 20'000};
    ::nanosleep(&little, nullptr);
  }
}

struct Shape {
  const char* name;
  size_t words;
  uint32_t capacity;
  bool is_lossless;
  std::chrono::nanoseconds spin;
};
void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

class AChannelAmongThreads : public testing::TestWithParam<Shape> {
 protected:
  AChannelAmongThreads() { at_kill_point = &lose_turn; }
  ~AChannelAmongThreads() override { at_kill_point = nullptr; }

  void publish(uint64_t who, uint64_t n) {
    Publisher publisher = channel_.publisher().value();
    std::vector<uint64_t> words(GetParam().words);
    for (uint64_t i = 1; i <= n; ++i) {
      std::fill(words.begin(), words.end(), i * kPublishers + who);
      ASSERT_TRUE(publisher.send(std::as_bytes(std::span(words))).is_ok());
    }
  }
  static bool is_whole(const Sample& sample) {
    const auto* const words = reinterpret_cast<const uint64_t*>(sample.data().data());
    const size_t n = sample.data().size() / sizeof *words;
    return n == GetParam().words &&
           std::all_of(words, words + n, [&](uint64_t word) { return word == *words; });
  }
  void subscribe(uint64_t all) {
    Subscriber subscriber = channel_.subscriber({.spin = GetParam().spin}).value();
    ++ready_;
    std::array<uint64_t, kPublishers> last{};
    std::optional<Sample> held;
    for (uint64_t next = 0; next < all;) {
      Sample sample = subscriber.receive_within(20s).value();
      ASSERT_TRUE(is_whole(sample)) << sample.sequence();
      ASSERT_EQ(sample.sequence(), next + sample.lost());
      ASSERT_TRUE(!GetParam().is_lossless || sample.lost() == 0);
      const uint64_t number = sample.as<uint64_t>();
      ASSERT_GT(number, last[number % kPublishers]) << "each publisher's are in order";
      last[number % kPublishers] = number;
      next = sample.sequence() + 1;
      // Held while others come, it stays what it was.
      ASSERT_TRUE(!held || GetParam().words <= 5 || is_whole(*held)) << held->sequence();
      held.reset();
      held.emplace(std::move(sample));
    }
  }

  static constexpr uint64_t kPublishers = 2;
  static constexpr uint64_t kMessages = 4000;  // of each
  const NativeKey key_{"bench", BP_KEY_ANONYMOUS};
  Channel channel_ = Channel::open(key_, {.sample_size = GetParam().words * sizeof(uint64_t),
                                          .capacity = GetParam().capacity,
                                          .publishers = kPublishers,
                                          .subscribers = 2,
                                          .lossless = GetParam().is_lossless})
                         .value();
  std::atomic<int> ready_{0};
};

INSTANTIATE_TEST_SUITE_P(Shape, AChannelAmongThreads,
                         testing::Values(Shape{"SmallOfOne", 5, 1, false, 0ns},
                                         Shape{"LargeOfOne", 30, 1, false, 0ns},
                                         Shape{"SmallOfTwo", 5, 2, false, 1us},
                                         Shape{"LargeOfTwo", 30, 2, false, 1us},
                                         Shape{"LosslessSmallOfOne", 5, 1, true, 0ns},
                                         Shape{"LosslessLargeOfTwo", 30, 2, true, 1us}),
                         [](const auto& shape) { return shape.param.name; });

TEST_P(AChannelAmongThreads, GivesWholeSamplesInOrder) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([this] { subscribe(kPublishers * kMessages); });
  }
  ASSERT_TRUE(test::eventually([&] { return ready_ == 2; }));
  for (uint64_t i = 0; i < kPublishers; ++i) {
    threads.emplace_back([this, i] { publish(i, kMessages); });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(channel_.info().published, kPublishers * kMessages);
}

/// Who joins a channel that is full gives room for what it does not take.
TEST(AFullChannel, IsJoinedWhilePublishersWait) {
  at_kill_point = &lose_turn;
  Channel channel = Channel::open(NativeKey("full", BP_KEY_ANONYMOUS),
                                  {.sample_size = 8, .capacity = 1, .lossless = true})
                        .value();
  std::atomic<bool> is_over{false};
  std::thread publishing([&] {
    Publisher publisher = channel.publisher().value();
    while (!is_over) publisher.send(uint64_t{1}).or_throw();
  });
  for (int i = 0; i < 1500; ++i) {
    Subscriber subscriber = channel.subscriber().value();
    for (int n = 0; n < 3; ++n) {
      const Result<Sample> sample = subscriber.receive_within(10s);
      ASSERT_TRUE(sample.is_ok()) << "join " << i << ": " << sample.status().to_string();
    }
  }
  is_over = true;
  publishing.join();
  at_kill_point = nullptr;
}

}  // namespace
}  // namespace backplane::kernel
