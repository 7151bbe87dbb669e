// SPDX-License-Identifier: Apache-2.0
// A semaphore survives whoever is killed, wherever that is.
#include "backplane/sdk/semaphore.hpp"
#include "peer_fixture.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/long_test.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <list>
#include <random>
#include <semaphore.h>
#include <thread>

namespace backplane::test {
namespace {

using namespace std::chrono_literals;

class AKilledPeer : public WithPeers {
 protected:
  ~AKilledPeer() override { static_cast<void>(Semaphore::remove(key_)); }
};

INSTANTIATE_TEST_SUITE_P(Key, AKilledPeer, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V),
                         type_name);

/// It is killed at each of its steps in turn, beside nobody: whoever opens the semaphore next finds
/// it whole.
TEST_P(AKilledPeer, LeavesAllToTheNextAtWhicheverStep) {
  const int kills = kill_at_each_step("once", 2000, [&](int step) {
    Semaphore next = Semaphore::open(key_, {.initial = 2}).value();
    ASSERT_EQ(next.count().value(), 2u);
    ASSERT_TRUE(next.acquire_within(10s).is_ok());
    if (step % 2 == 0) {  // else the next peer finds what this one left
      Semaphore::remove(key_).or_throw();
    }
  });
  std::printf("%d kills, each at another step\n", kills);
}

/// The same beside one who waits for what the peer may have.
TEST_P(AKilledPeer, WakesWhoWaitsAtWhicheverStep) {
  constexpr int kMostSteps = 2000;
  int step = 1;
  for (; step < kMostSteps; ++step) {
    Semaphore sut =
        Semaphore::open(key_, {.which = Semaphore::Which::kReset, .initial = 2}).value();
    sut.acquire().or_throw();
    sut.acquire().or_throw();
    ChildProcess child(peer("hold", std::to_string(step)));
    SCOPED_TRACE("to be killed at step " + std::to_string(step));
    sut.release().or_throw();
    const bool is_through = child.wait_for_output("held", 10s);
    child.signal(SIGKILL);
    child.wait();
    ASSERT_TRUE(sut.acquire_within(10s).is_ok()) << child.err();
    ASSERT_EQ(sut.count().value(), 0u) << child.err();
    if (is_through) {
      break;
    }
    sut.release(2).or_throw();
    ASSERT_EQ(sut.count().value(), 2u) << child.err();
  }
  EXPECT_LT(step, kMostSteps);
  std::printf("%d kills, each at another step\n", step);
}

/// At random instants, under load.
TEST_P(AKilledPeer, UnderLoadTakesNothingWithIt) {
  const int kills = is_long_test() ? 1000 : 20;
  constexpr uint32_t kCount = 2;
  std::mt19937 random(GetParam());
  std::optional<Semaphore> sut(Semaphore::open(key_, {.initial = kCount}).value());
  std::list<ChildProcess> peers;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) {
    peers.emplace_back(peer("churn"));
  }
  for (int i = 0; i < kills; ++i) {
    ChildProcess& oldest = peers.front();
    ASSERT_TRUE(oldest.wait_for_output(".")) << "it does not get on after " << i << " kills";
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    oldest.signal(SIGKILL);
    oldest.wait();
    peers.pop_front();
    peers.emplace_back(peer("churn"));
  }
  peers.clear();
  EXPECT_TRUE(eventually([&] { return sut->count().value() == kCount; }, 2s))
      << sut->count().value();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%d kills under load in %.1f s: the count is %u of %u\n", kills, took.count(),
              sut->count().value(), kCount);
}

/// A process that is stopped in the middle of a change holds up the others, and takes nothing from
/// them.
TEST(AStoppedPeer, IsWaitedForInVainAndNothingIsLost) {
  for (const std::string where : {"announced", "changed", "half settled", "done"}) {
    const NativeKey key("/bp-test-stopped-" + std::to_string(getpid()));
    const Semaphore::Options three{.initial = 3};
    Semaphore beside = Semaphore::open(key, three).value();
    ChildProcess killed({BP_TEST_PEER, key.to_string(), "hold"});
    ChildProcess closing({BP_TEST_PEER, key.to_string(), "close"});
    ASSERT_TRUE(killed.wait_for_output("held") && closing.wait_for_output("held"));
    ChildProcess stopped({BP_TEST_PEER, key.to_string(), "hold", where});
    int status = 0;
    ASSERT_EQ(waitpid(stopped.pid(), &status, WUNTRACED), stopped.pid());
    ASSERT_TRUE(WIFSTOPPED(status));
    const Status late = beside.acquire_within(5ms);
    EXPECT_EQ(late.code(), BP_DEADLINE_EXCEEDED);
    EXPECT_NE(late.message().find("was stopped"), std::string_view::npos) << late.message();
    killed.signal(SIGKILL);
    killed.wait();
    closing.signal(SIGTERM);
    EXPECT_EQ(closing.wait(), 0) << closing.err();
    stopped.signal(SIGKILL);
    stopped.wait();
    EXPECT_TRUE(eventually([&] { return beside.count().value() == 3; }, 3s))
        << where << ": " << beside.count().value();
    Semaphore::remove(key).or_throw();
  }
}

/// One that has sem_wait(3) alone is woken, too.
TEST(AKilledPeerOfSemWait, IsFollowedByAWake) {
  const NativeKey key("/bp-test-foreign-" + std::to_string(getpid()));
  const Semaphore beside = Semaphore::open(key, {.initial = 1}).value();
  ChildProcess child({BP_TEST_PEER, key.to_string(), "hold"});
  ASSERT_TRUE(child.wait_for_output("held"));
  sem_t* const theirs = sem_open(key.name().c_str(), 0);
  ASSERT_NE(theirs, SEM_FAILED);
  std::atomic<bool> is_acquired{false};
  std::thread waiting([&] { is_acquired = sem_wait(theirs) == 0; });
  const auto is_waited_for = [&] {
    const auto* const word = reinterpret_cast<const std::atomic<uint64_t>*>(theirs);
    return *word >> 32 == 1;
  };
  EXPECT_TRUE(eventually(is_waited_for));
  child.signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return is_acquired.load(); }, 1s));
  if (!is_acquired) {
    sem_post(theirs);
  }
  waiting.join();
  sem_close(theirs);
  Semaphore::remove(key).or_throw();
}

}  // namespace
}  // namespace backplane::test
