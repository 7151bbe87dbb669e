// SPDX-License-Identifier: Apache-2.0
#include "executor.hpp"

#include "backplane/service/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

namespace backplane::kernel {
namespace {

using namespace std::chrono_literals;

class ExecutorTest : public ::testing::Test {
 protected:
  ExecutorTest() { sut.start(1); }
  // Waits until everything that was posted so far has run.
  void settle() {
    std::promise<void> done;
    sut.post([](void* user) { static_cast<std::promise<void>*>(user)->set_value(); }, &done);
    done.get_future().get();
  }
  Executor sut;
};

TEST_F(ExecutorTest, RunsPostedTasksInOrderOnTheLoop) {
  struct Log {
    Executor* executor;
    std::string order;
    bool on_loop = true;
  } log{&sut, {}};
  sut.post([](void* user) { static_cast<Log*>(user)->order += "a"; }, &log);
  sut.post([](void* user) { static_cast<Log*>(user)->order += "b"; }, &log);
  sut.post(
      [](void* user) {
        auto* l = static_cast<Log*>(user);
        l->on_loop = l->executor->on_loop();
      },
      &log);
  settle();
  EXPECT_EQ(log.order, "ab");
  EXPECT_TRUE(log.on_loop);
  EXPECT_FALSE(sut.on_loop());
}

TEST_F(ExecutorTest, RunsATimerOnceAtItsTime) {
  std::promise<std::int64_t> ran;
  std::uint64_t id = 0;
  const std::int64_t due = monotonic_now() + 20'000'000;
  sut.at(
      due,
      [](void* user) {
        static_cast<std::promise<std::int64_t>*>(user)->set_value(monotonic_now());
      },
      &ran, &id);
  EXPECT_GE(ran.get_future().get(), due);
  settle();
  EXPECT_EQ(sut.remove(id), BP_NOT_FOUND);
}

TEST_F(ExecutorTest, ARemovedTimerNeverRuns) {
  std::atomic<int> runs{0};
  std::uint64_t id = 0;
  sut.at(
      monotonic_now() + 30'000'000, [](void* user) { ++*static_cast<std::atomic<int>*>(user); },
      &runs, &id);
  EXPECT_EQ(sut.remove(id), BP_OK);
  std::promise<void> later;
  std::uint64_t other = 0;
  sut.at(
      monotonic_now() + 40'000'000,
      [](void* user) { static_cast<std::promise<void>*>(user)->set_value(); }, &later, &other);
  later.get_future().get();
  EXPECT_EQ(runs, 0);
}

TEST_F(ExecutorTest, SaysThatARemovedTimerIsRunningForTheLastTime) {
  struct Gate {
    std::promise<void> entered;
    std::promise<void> leave;
  } gate;
  std::uint64_t id = 0;
  sut.at(
      0,
      [](void* user) {
        auto* g = static_cast<Gate*>(user);
        g->entered.set_value();
        g->leave.get_future().get();
      },
      &gate, &id);
  gate.entered.get_future().get();
  EXPECT_EQ(sut.remove(id), BP_PENDING);
  gate.leave.set_value();
  settle();
}

class Watched : public ExecutorTest {
 protected:
  Watched() : fd(eventfd(0, EFD_NONBLOCK)) {}
  ~Watched() override {
    sut.stop(10s);  // a removed registration may still be in its last run
    close(fd);
  }
  void watch(std::uint32_t events) {
    ASSERT_EQ(sut.watch_fd(fd, events, &Watched::run, this, &id), BP_OK);
  }
  static void run(void* user, std::uint32_t events) {
    auto* self = static_cast<Watched*>(user);
    self->seen |= events;
    if (self->drain) {
      eventfd_t ignored = 0;
      eventfd_read(self->fd, &ignored);
    }
    const int now = ++self->runs;
    if (now == self->remove_at) self->removed = self->sut.remove(self->id);
  }
  void wait_for_runs(int n) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (runs < n && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_GE(runs, n);
  }
  const int fd;
  std::uint64_t id = 0;
  std::atomic<int> runs{0};
  std::atomic<std::uint32_t> seen{0};
  std::atomic<bool> drain{true};
  int remove_at = 0;
  std::atomic<bp_status> removed{-100};
};

TEST_F(Watched, RunsEachTimeTheDescriptorIsReadable) {
  watch(BP_FD_READ);
  for (int i = 1; i <= 3; ++i) {
    eventfd_write(fd, 1);
    wait_for_runs(i);
  }
  settle();
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(seen, BP_FD_READ);
  EXPECT_EQ(sut.remove(id), BP_OK);
}

TEST_F(Watched, IsLevelTriggered) {
  drain = false;
  watch(BP_FD_READ);
  eventfd_write(fd, 1);
  wait_for_runs(5);
  EXPECT_GE(sut.remove(id), BP_OK);
}

TEST_F(Watched, CanBePausedAndGoesOn) {
  watch(BP_FD_READ);
  EXPECT_EQ(sut.change_fd(id, 0), BP_OK);
  settle();
  eventfd_write(fd, 1);
  settle();
  settle();
  EXPECT_LE(runs, 1);
  sut.change_fd(id, BP_FD_READ | BP_FD_WRITE);
  wait_for_runs(2);
  EXPECT_EQ(seen & BP_FD_WRITE, BP_FD_WRITE);
  EXPECT_GE(sut.remove(id), BP_OK);
}

TEST_F(Watched, MayRemoveItselfAndLeavesTheDescriptorOpen) {
  remove_at = 1;
  drain = false;
  watch(BP_FD_READ);
  eventfd_write(fd, 1);
  wait_for_runs(1);
  settle();
  settle();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(removed, BP_OK);
  EXPECT_EQ(eventfd_write(fd, 1), 0);
}

TEST_F(ExecutorTest, RefusesADescriptorThatCannotBeWatched) {
  std::uint64_t id = 0;
  EXPECT_LT(sut.watch_fd(
                -1, BP_FD_READ, [](void*, std::uint32_t) {}, nullptr, &id),
            0);
  EXPECT_EQ(sut.change_fd(77, BP_FD_READ), BP_NOT_FOUND);
}

}  // namespace
}  // namespace backplane::kernel
