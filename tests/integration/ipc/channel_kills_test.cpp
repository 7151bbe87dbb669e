// SPDX-License-Identifier: Apache-2.0
// A channel survives whoever is killed, wherever that is: the others lose nothing, wait for nobody,
// and have the memory of the dead again.
#include "block.hpp"
#include "peer_fixture.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/long_test.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <sys/wait.h>
#include <thread>

namespace backplane::test {
namespace {

using namespace std::chrono_literals;

/// Receives all, asleep in between, and looks at it.
class Watcher {
 public:
  explicit Watcher(Channel& channel)
      : channel_(channel), subscriber_(channel.subscriber().value()) {
    thread_ = std::thread([this] { watch(); });
  }
  ~Watcher() {
    is_over_ = true;
    Publisher publisher = channel_.publisher().value();
    publish_block(publisher, block_number(1, 0)).or_throw();  // which wakes it
    thread_.join();
  }
  /// How many, those that were lost too.
  uint64_t passed() const { return passed_; }
  uint64_t lost() const { return lost_; }
  std::string problem() const {
    const std::lock_guard lock(mutex_);
    return problem_;
  }

 private:
  void watch() {
    std::map<uint64_t, uint64_t> last;  // of each publisher
    while (!is_over_) {
      const Result<Sample> sample = subscriber_.receive();  // it is woken, or the test fails
      const Result<uint64_t> number = sample ? number_of(*sample) : sample.status();
      if (!number) {
        say(number.status().to_string());
        return;
      }
      const uint64_t count = (*number & UINT32_MAX) + 1;
      uint64_t& before = last[*number >> 32U];
      if (count <= before) say(concat("it was ", before, ", and is ", count));
      before = count;
      lost_ += sample->lost();
      passed_ = sample->sequence() + 1;
    }
  }
  void say(const std::string& what) {
    const std::lock_guard lock(mutex_);
    problem_ = what;
  }

  Channel& channel_;
  Subscriber subscriber_;
  std::atomic<bool> is_over_{false};
  std::atomic<uint64_t> passed_{0};
  std::atomic<uint64_t> lost_{0};
  mutable std::mutex mutex_;
  std::string problem_;
  std::thread thread_;
};

class AKilledPeerOfAChannel : public WithPeers {
 protected:
  ~AKilledPeerOfAChannel() override { static_cast<void>(Channel::remove(key_)); }

  void survives_each_step(bool is_lossless);
  void survives_under_load(bool is_lossless);

  /// What a killed one had is there again, and what it published arrives, asleep or not.
  static void expect_reclaimed(Channel& channel, const Watcher& watcher) {
    EXPECT_TRUE(eventually([&] {
      const bp_channel_info info = channel.info();
      return info.n_publishers == 1 && info.n_subscribers == 1;
    })) << "a second after its end";
    EXPECT_TRUE(eventually([&] { return watcher.passed() == channel.info().published; }))
        << watcher.passed() << " of " << channel.info().published << " passed";
    EXPECT_EQ(watcher.problem(), "");
  }
};

INSTANTIATE_TEST_SUITE_P(Key, AKilledPeerOfAChannel, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V),
                         type_name);

void AKilledPeerOfAChannel::survives_each_step(bool is_lossless) {
  Channel channel = Channel::open(key_, block_channel(is_lossless)).value();
  Watcher watcher(channel);
  Publisher publisher = channel.publisher().value();
  uint64_t count = 0;
  const int kills = kill_at_each_step("channel", 3000, [&](int step) {
    // What it published arrives though it woke nobody.
    ASSERT_TRUE(eventually([&] { return watcher.passed() >= channel.info().published; }));
    // Who comes next reclaims it; those that are there do within a second, which every tenth time
    // is waited for.
    if (step % 10 != 0) {
      channel.publisher().or_throw();
      channel.subscriber().or_throw();
    }
    // More than the ring, and more than all slots: what a dead one keeps would be missing.
    for (int i = 0; i < 40; ++i) {
      ASSERT_TRUE(publish_block(publisher, block_number(0, count++)).is_ok());
    }
    expect_reclaimed(channel, watcher);
    ASSERT_FALSE(HasFailure());
  });
  EXPECT_TRUE(!is_lossless || watcher.lost() == 0) << watcher.lost();
  EXPECT_GT(kills, 90);
  std::printf("%d kills, each at another step, of %llu samples\n", kills,
              static_cast<unsigned long long>(channel.info().published));
}
TEST_P(AKilledPeerOfAChannel, LeavesItToTheOthersAtWhicheverStep) { survives_each_step(false); }
TEST_P(AKilledPeerOfAChannel, LeavesALosslessOneAtWhicheverStep) { survives_each_step(true); }

/// Not killed, but stopped, wherever that is: who publishes is heard, and who subscribes hears.
TEST_P(AKilledPeerOfAChannel, OrAStoppedOneStopsNobody) {
  for (const char* step : {"positioned", "published", "told", "counted", "about to ring",
                           "rang nobody", "dropped", "claimed", "free", "held"}) {
    SCOPED_TRACE(step);
    Channel channel = Channel::open(key_, block_channel(false)).value();
    Watcher watcher(channel);
    ChildProcess stopped(peer(std::string_view(step) == "held" ? "subscribe" : "publish", step));
    Publisher publisher = channel.publisher().value();
    uint64_t count = 0;
    ASSERT_TRUE(eventually([&] {
      publish_block(publisher, block_number(0, count++)).or_throw();
      int status = 0;
      return waitpid(stopped.pid(), &status, WUNTRACED | WNOHANG) > 0 && WIFSTOPPED(status);
    }));
    for (int i = 0; i < 20; ++i) {
      publish_block(publisher, block_number(0, count++)).or_throw();
      ASSERT_TRUE(eventually([&] { return watcher.passed() >= channel.info().published; }, 5s));
    }
    EXPECT_EQ(watcher.problem(), "");
    stopped.signal(SIGKILL);
    EXPECT_EQ(stopped.wait(), 128 + SIGKILL);
  }
}

void AKilledPeerOfAChannel::survives_under_load(bool is_lossless) {
  const int kills = is_long_test() ? 1000 : 20;
  Channel channel = Channel::open(key_, block_channel(is_lossless)).value();
  Watcher watcher(channel);
  constexpr std::array<const char*, 4> kActions = {"publish", "subscribe", "publish", "subscribe"};
  // A killed one's place is free within a second: there is one more of each than there are peers.
  kill_under_load(kActions, kills);
  if (HasFatalFailure()) return;
  Publisher publisher = channel.publisher().value();
  for (uint64_t i = 0; i < 100; ++i) publish_block(publisher, block_number(0, i)).or_throw();
  expect_reclaimed(channel, watcher);
  EXPECT_TRUE(!is_lossless || watcher.lost() == 0) << watcher.lost();
  std::printf("%d kills under load, of %llu samples, of which one subscriber lost %llu\n", kills,
              static_cast<unsigned long long>(channel.info().published),
              static_cast<unsigned long long>(watcher.lost()));
}
TEST_P(AKilledPeerOfAChannel, UnderLoadTakesNothingWithIt) { survives_under_load(false); }
TEST_P(AKilledPeerOfAChannel, UnderLoadTakesNothingOfALosslessOneWithIt) {
  survives_under_load(true);
}

}  // namespace
}  // namespace backplane::test
