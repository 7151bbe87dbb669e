// SPDX-License-Identifier: Apache-2.0
// Requests and answers survive whoever is killed, wherever that is: the next call is answered, the
// others get what is theirs, and nothing is left.
#include "backplane/sdk/shared_memory.hpp"
#include "peer_fixture.hpp"
#include "question.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/long_test.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <sys/wait.h>
#include <thread>

namespace backplane::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kSoon = 2s;

/// Answers in a thread, and says what went wrong.
class Answering {
 public:
  explicit Answering(const NativeKey& key)
      : responder_(Responder::open(key, questions()).value()), thread_([this] { answer_all(); }) {}
  ~Answering() {
    is_over_ = true;
    thread_.join();
  }

 private:
  void answer_all() {
    while (!is_over_) {
      Result<Request> request = responder_.receive_within(20ms);
      if (!request) continue;
      const Status status = answer(std::move(*request));
      EXPECT_TRUE(status.is_ok()) << status.to_string();
    }
  }
  Responder responder_;
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

/// Asks in a thread, while others are killed; a thousand times a second at most: one who asks and
/// one who answers without a pause take a core for themselves, for half a minute with some kernels.
class Bystander {
 public:
  explicit Bystander(const NativeKey& key)
      : requester_(Requester::open(key).value()), thread_([this] { ask_all(); }) {}
  ~Bystander() {
    is_over_ = true;
    thread_.join();
  }
  uint64_t answered() const { return answered_; }

 private:
  void ask_all() {
    for (uint64_t i = 0; !is_over_; ++i) {
      const Status status = ask(requester_, block_number(1, i));
      std::this_thread::sleep_for(1ms);
      if (status.code() == BP_UNAVAILABLE) {  // who was asked was killed
        continue;
      }
      EXPECT_TRUE(status.is_ok()) << status.to_string();
      answered_ += status.is_ok() ? 1 : 0;
    }
  }
  Requester requester_;
  std::atomic<bool> is_over_{false};
  std::atomic<uint64_t> answered_{0};
  std::thread thread_;
};

class AKilledPeerOfRequests : public WithPeers {
 protected:
  AKilledPeerOfRequests() { first_.emplace(key_); }
  ~AKilledPeerOfRequests() override { static_cast<void>(Channel::remove(key_)); }

  /// The next is answered, and 40 more: what the dead one had would be missing.
  void expect_answers(Requester& requester) {
    for (int i = 0; i < 41; ++i) {
      const Status status = ask(requester, block_number(0, count_++));
      ASSERT_TRUE(status.is_ok()) << status.to_string();
    }
  }
  void expect_progress(const Bystander& bystander) {
    const uint64_t before = bystander.answered();
    EXPECT_TRUE(eventually([&] { return bystander.answered() > before + 1; }));
  }
  /// Its places are free again, and nobody's segments are gone.
  void expect_nothing_left(uint32_t requesters) {
    EXPECT_TRUE(eventually(
        [&] { return Channel::attach(key_).value().info().n_publishers == requesters; }, kSoon))
        << Channel::attach(key_).value().info().n_publishers << " requesters have places";
    EXPECT_TRUE(eventually([] { return leftovers().empty(); }, kSoon)) << leftovers();
  }
  static std::string leftovers() {
    std::string out;
    for (const MemoryInfo& each : SharedMemory::list().value()) {
      const bool is_one = each.key.find("backplane-answers-") != std::string::npos;
      if (is_one && !each.is_open) out += each.key + " ";
    }
    return out;
  }

  std::optional<Answering> first_;  // which makes the channel
  uint64_t count_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Key, AKilledPeerOfRequests, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V),
                         type_name);

constexpr int kMostSteps = 3000;

TEST_P(AKilledPeerOfRequests, WhoAskedStopsNobodyAtWhicheverStep) {
  Requester requester = Requester::open(key_).value();
  const Bystander bystander(key_);
  const int kills = kill_at_each_step("ask", kMostSteps, [&](int step) {
    expect_answers(requester);
    // Who comes next reclaims it; those that are there do within a second, which every tenth time
    // is waited for.
    if (step % 10 != 0) {
      Requester next = Requester::open(key_).value();
      expect_answers(next);
    }
    expect_progress(bystander);
    expect_nothing_left(2);
    ASSERT_FALSE(HasFailure());
  });
  EXPECT_GT(kills, 100);
  std::printf("%d kills, each at another step; a bystander was answered %llu times\n", kills,
              static_cast<unsigned long long>(bystander.answered()));
}

TEST_P(AKilledPeerOfRequests, WhoAnsweredIsFollowedByTheNextAtWhicheverStep) {
  Requester requester = Requester::open(key_).value();
  const Bystander bystander(key_);
  int kills = 0;
  // Half of the steps with each type of key, unless there is time: a requester needs a quarter of a
  // second to see that who answers is dead.
  const int stride = is_long_test() ? 1 : 2;
  for (int step = GetParam() == BP_KEY_POSIX ? 1 : stride; step < kMostSteps; step += stride) {
    first_.reset();
    ChildProcess child(peer("answer", std::to_string(step)));
    int code = -1;
    while ((code = child.wait(0ms)) == -1) {
      const Status status = ask(requester, block_number(0, count_++));
      if (status.code() == BP_UNAVAILABLE) std::this_thread::sleep_for(1ms);
      ASSERT_TRUE(status.is_ok() || status.code() == BP_UNAVAILABLE) << status.to_string();
    }
    if (code == 0) break;
    child.wait();  // for what it says
    SCOPED_TRACE("killed at step " + std::to_string(step) + ": " + child.err());
    ASSERT_EQ(code, 128 + SIGKILL);
    ++kills;
    first_.emplace(key_);
    expect_answers(requester);
    expect_progress(bystander);
    expect_nothing_left(2);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(kills, 100);
  std::printf("%d kills, each at another step; a bystander was answered %llu times\n", kills,
              static_cast<unsigned long long>(bystander.answered()));
}

/// At each step of requests, which the others may miss: they count those of all threads.
TEST_P(AKilledPeerOfRequests, StopsNobodyAtWhicheverStepOfRequests) {
  Requester requester = Requester::open(key_).value();
  const Bystander bystander(key_);
  const auto kill_at = [&](const char* step, const char* action) {
    ChildProcess child(peer(action, step));
    EXPECT_TRUE(eventually([&] {
      int status = 0;
      return waitpid(child.pid(), &status, WUNTRACED | WNOHANG) > 0 && WIFSTOPPED(status);
    })) << "it does not get there";
    child.signal(SIGKILL);
    EXPECT_EQ(child.wait(), 128 + SIGKILL);
  };
  for (const char* step : {"has a place", "may ask", "request headed", "asked", "answer found",
                           "answer returned", "leaving"}) {
    SCOPED_TRACE(step);
    kill_at(step, "ask");
    expect_answers(requester);
    expect_progress(bystander);
    expect_nothing_left(2);
  }
  for (const char* step :
       {"answers", "request taken", "answers opened", "answers joined", "answer loaned",
        "given back", "answered", "forgot one", "stopped answering"}) {
    SCOPED_TRACE(step);
    first_.reset();
    kill_at(step, "answer");
    first_.emplace(key_);
    expect_answers(requester);
    expect_progress(bystander);
    expect_nothing_left(2);
  }
}

TEST_P(AKilledPeerOfRequests, UnderLoadTakesNothingWithIt) {
  const int kills = is_long_test() ? 1000 : 20;
  std::optional<Bystander> bystander(key_);
  first_.reset();
  constexpr std::array<const char*, 4> kActions = {"asks", "answers", "asks", "asks"};
  kill_under_load(kActions, kills);
  if (HasFatalFailure()) return;
  first_.emplace(key_);
  Requester requester = Requester::open(key_).value();
  expect_answers(requester);
  expect_progress(*bystander);
  expect_nothing_left(2);
  std::printf("%d kills under load; a bystander was answered %llu times\n", kills,
              static_cast<unsigned long long>(bystander->answered()));
}

}  // namespace
}  // namespace backplane::test
