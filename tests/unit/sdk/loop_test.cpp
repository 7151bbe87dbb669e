// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/loop.hpp"

#include "backplane/sdk/unique_handle.hpp"
#include "support/fake_host.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <unistd.h>

namespace backplane {
namespace {

using std::chrono::seconds;
using test::FakeHost;

struct TheLoop : ::testing::Test {
  FakeHost fake;
  Host host{fake.raw()};
  int runs = 0;
};

TEST_F(TheLoop, RunsAPostedFunctionOnceAndLater) {
  EXPECT_TRUE(post(host, [this] {
                EXPECT_TRUE(on_loop(host));
                ++runs;
              }).is_ok());
  EXPECT_EQ(runs, 0);
  EXPECT_FALSE(on_loop(host));
  EXPECT_EQ(fake.loop.run(), 1u);
  EXPECT_EQ(runs, 1);
}

TEST_F(TheLoop, LogsAnExceptionOfACallback) {
  EXPECT_TRUE(post(host, [] { throw Error(BP_ABORTED, "why"); }).is_ok());
  fake.loop.run();
  ASSERT_EQ(fake.logs().size(), 1u);
  EXPECT_EQ(fake.logs()[0].level, BP_LOG_ERROR);
}

TEST_F(TheLoop, JoinsPostsOfAWakeupThatHasNotRun) {
  Wakeup sut(host, [this] { ++runs; });
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(sut.post().is_ok());
  fake.loop.run();
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(sut.post().is_ok());
  fake.loop.run();
  EXPECT_EQ(runs, 2);
}

TEST_F(TheLoop, AllowsAWakeupToPostItselfAgain) {
  std::optional<Wakeup> sut;
  sut.emplace(host, [&] {
    if (++runs < 3) {
      EXPECT_TRUE(sut->post().is_ok());
    }
  });
  EXPECT_TRUE(sut->post().is_ok());
  fake.loop.run();
  EXPECT_EQ(runs, 3);
}

TEST_F(TheLoop, NeverRunsAWakeupThatWasDestroyed) {
  {
    Wakeup sut(host, [this] { ++runs; });
    EXPECT_TRUE(sut.post().is_ok());
  }
  fake.loop.run();
  EXPECT_EQ(runs, 0);
}

TEST_F(TheLoop, AllowsACallbackToDestroyItsOwner) {
  std::optional<Wakeup> wakeup;
  std::optional<Timer> timer;
  const std::string text(100, 'x');
  wakeup.emplace(host, [&, text] {
    wakeup.reset();
    EXPECT_EQ(text.size(), 100u) << "the callback outlives its owner";
  });
  timer.emplace(host, [&, text] {
    timer.reset();
    EXPECT_EQ(text.size(), 100u);
  });
  EXPECT_TRUE(wakeup->post().is_ok());
  EXPECT_TRUE(timer->after(seconds(1)).is_ok());
  fake.loop.advance(seconds(2));
  EXPECT_FALSE(wakeup || timer);
  EXPECT_EQ(fake.loop.registrations(), 0u);
}

TEST_F(TheLoop, RunsATimerOnceAtItsTime) {
  Timer sut(host, [this] { ++runs; });
  EXPECT_TRUE(sut.after(seconds(5)).is_ok());
  fake.loop.advance(seconds(4));
  EXPECT_EQ(runs, 0);
  fake.loop.advance(seconds(2));
  EXPECT_EQ(runs, 1);
  fake.loop.advance(seconds(60));
  EXPECT_EQ(runs, 1);
}

TEST_F(TheLoop, ReplacesAndCancelsATimersTime) {
  Timer sut(host, [this] { ++runs; });
  EXPECT_TRUE(sut.after(seconds(5)).is_ok());
  EXPECT_TRUE(sut.after(seconds(10)).is_ok());
  fake.loop.advance(seconds(6));
  EXPECT_EQ(runs, 0);
  fake.loop.advance(seconds(6));
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(sut.after(seconds(5)).is_ok());
  sut.cancel();
  fake.loop.advance(seconds(60));
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(fake.loop.registrations(), 0u);
}

TEST_F(TheLoop, LeavesNothingOfATimerThatArmsItselfWhileItIsDestroyed) {
  fake.loop.start_thread();
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> begun{false};
    std::atomic<bool> is_ending{false};
    Timer* armed = nullptr;
    Timer sut(host, [&] {
      begun = true;
      while (!is_ending) std::this_thread::yield();
      // The destructor has begun by then; if not, there is nothing to see in this round.
      const int64_t end = monotonic_ns() + 2'000'000;
      while (monotonic_ns() < end) std::this_thread::yield();
      EXPECT_TRUE(armed->after(seconds(0)).is_ok());
    });
    armed = &sut;
    EXPECT_TRUE(sut.after(seconds(0)).is_ok());
    while (!begun) std::this_thread::yield();
    is_ending = true;
  }
  fake.loop.stop_thread();
  EXPECT_EQ(fake.loop.registrations(), 0u);
}

TEST_F(TheLoop, AllowsATimerToArmItselfAgain) {
  std::optional<Timer> sut;
  sut.emplace(host, [&] {
    if (++runs < 3) {
      EXPECT_TRUE(sut->at(fake.loop.now() + 1'000'000'000).is_ok());
    }
  });
  EXPECT_TRUE(sut->after(seconds(1)).is_ok());
  for (int i = 0; i < 10; ++i) fake.loop.advance(seconds(2));
  EXPECT_EQ(runs, 3);
}

TEST_F(TheLoop, WatchesADescriptorUntilDestroyed) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reader(ends[0]), writer(ends[1]);
  {
    FdWatch sut(host, reader.get(), BP_FD_READ, [&](uint32_t events) {
      EXPECT_EQ(events, BP_FD_READ);
      char byte = 0;
      EXPECT_EQ(::read(reader.get(), &byte, 1), 1);
      ++runs;
    });
    fake.loop.run();
    EXPECT_EQ(runs, 0);
    ASSERT_EQ(::write(writer.get(), "ab", 2), 2);
    fake.loop.run();
    EXPECT_EQ(runs, 2);
    EXPECT_TRUE(sut.change(0).is_ok());
    ASSERT_EQ(::write(writer.get(), "c", 1), 1);
    fake.loop.run();
    EXPECT_EQ(runs, 2);
  }
  EXPECT_EQ(fake.loop.registrations(), 0u);
}

TEST_F(TheLoop, WaitsForACallbackThatRunsWhenAnotherThreadDestroysIt) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reader(ends[0]), writer(ends[1]);
  ASSERT_EQ(::write(writer.get(), "x", 1), 1);
  fake.loop.start_thread();
  for (int round = 0; round < 200; ++round) {
    auto wakeup_data = std::make_unique<int>(0);
    auto timer_data = std::make_unique<int>(0);
    auto fd_data = std::make_unique<int>(0);
    Wakeup wakeup(host, [&] { ++*wakeup_data; });
    Timer timer(host, [&] { ++*timer_data; });
    FdWatch watch(host, reader.get(), BP_FD_READ, [&](uint32_t) { ++*fd_data; });
    EXPECT_TRUE(wakeup.post().is_ok());
    EXPECT_TRUE(timer.at(0).is_ok());
    if (round % 3 == 0) std::this_thread::yield();
  }  // the sanitizers see a callback that outlives its data
  EXPECT_EQ(runs, 0);
}

TEST(AServiceTable, AnswersUnimplementedWhereTheHostHasNothing) {
  struct Bare {
    static const void* none(const bp_host*, const char*) { return nullptr; }
  };
  const uint32_t level = BP_LOG_TRACE;
  const bp_host raw{BP_SIZE_TO(bp_host, get_service), 0, &level, {"bare", 4}, &Bare::none, {}};
  const Host sut(&raw);
  EXPECT_EQ(post(sut, [] {}).code(), BP_UNIMPLEMENTED);
  EXPECT_EQ(sut.buffer(10).status().code(), BP_UNIMPLEMENTED);
  EXPECT_EQ(sut.credential("tls", "key").status().code(), BP_UNIMPLEMENTED);
  sut.counter("x_total").add();
  sut.log().info("nobody hears this");
  sut.report(BP_STATE_UP, "");
  EXPECT_FALSE(on_loop(sut));
  EXPECT_THROW(FdWatch(sut, 0, BP_FD_READ, [](uint32_t) {}), Error);
}

TEST(AServiceTable, ReadsNoFurtherThanTheHostsTableGoes) {
  struct Old {
    static const void* get(const bp_host*, const char* id) {
      static const bp_metrics_service kMetrics = {
          BP_SIZE_TO(bp_metrics_service, define), 0,
          [](const bp_host*, bp_str, uint32_t, const bp_pair*, uint32_t, uint64_t*) {
            return BP_OK;
          },
          reinterpret_cast<void (*)(const bp_host*, uint64_t, int64_t)>(1), nullptr};
      return std::string_view(id) == BP_S_METRICS ? &kMetrics : nullptr;
    }
  };
  const uint32_t level = 0;
  const bp_host raw{BP_SIZE_TO(bp_host, get_service), 0, &level, {"old", 3}, &Old::get, {}};
  const Host sut(&raw);
  sut.counter("x_total").add();  // a stub, not the pointer behind the table's end
  EXPECT_EQ(sut.services().metrics.struct_size, sizeof(bp_metrics_service));
}

TEST_F(TheLoop, IsNotNeededForMetricsStateAndCredentials) {
  fake.set_credential("broker", "password", "secret");
  EXPECT_EQ(host.credential("broker", "password").value().text(), "secret");
  EXPECT_EQ(host.credential("broker", "key").status().message(),
            "credential 'broker', field 'key': no such field");
  host.counter("messages_total", {{"topic", "a"}}).add(3);
  EXPECT_EQ(fake.metric("messages_total{topic=a}"), 3);
  host.report(BP_STATE_UP, "listening");
  EXPECT_EQ(fake.reports().back().detail, "listening");
  host.log().trace("too fine");
  EXPECT_TRUE(fake.logs().empty());
}

}  // namespace
}  // namespace backplane
