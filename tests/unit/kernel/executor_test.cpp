// SPDX-License-Identifier: Apache-2.0
#include "executor.hpp"

#include "backplane/service/executor.h"
#include "support/eventually.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <fcntl.h>
#include <future>
#include <string>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace backplane::kernel {
namespace {

using namespace std::chrono_literals;

class ExecutorTest : public ::testing::Test {
 protected:
  ExecutorTest() { sut.start(); }
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
      nullptr, due,
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
      nullptr, monotonic_now() + 30'000'000,
      [](void* user) { ++*static_cast<std::atomic<int>*>(user); }, &runs, &id);
  EXPECT_EQ(sut.remove(id), BP_OK);
  std::promise<void> later;
  std::uint64_t other = 0;
  sut.at(
      nullptr, monotonic_now() + 40'000'000,
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
      nullptr, 0,
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
    ASSERT_EQ(sut.watch_fd(this, fd, events, &Watched::run, this, &id), BP_OK);
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
    EXPECT_TRUE(test::eventually([&] { return runs >= n; })) << runs << " of " << n;
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

TEST_F(Watched, APausedDescriptorThatHangsUpIsSilent) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  std::uint64_t pipe_id = 0;
  ASSERT_EQ(sut.watch_fd(this, ends[0], BP_FD_READ, &Watched::run, this, &pipe_id), BP_OK);
  ASSERT_EQ(sut.change_fd(pipe_id, 0), BP_OK);
  close(ends[1]);
  settle();
  settle();
  EXPECT_EQ(runs, 0);
  sut.change_fd(pipe_id, BP_FD_READ);
  wait_for_runs(1);
  EXPECT_EQ(seen, BP_FD_READ);
  EXPECT_GE(sut.remove(pipe_id), BP_OK);
  settle();
  close(ends[0]);
}

TEST_F(Watched, AHangUpIsToldToWhoWaitsForWritingAlone) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  close(ends[0]);
  std::uint64_t pipe_id = 0;
  ASSERT_EQ(sut.watch_fd(this, ends[1], BP_FD_WRITE, &Watched::run, this, &pipe_id), BP_OK);
  wait_for_runs(1);
  EXPECT_EQ(seen, BP_FD_WRITE);
  EXPECT_GE(sut.remove(pipe_id), BP_OK);
  settle();
  close(ends[1]);
}

TEST_F(Watched, IsNotRunForAnEventThatWasFetchedBeforeItsRemoval) {
  // Both become ready while the loop is busy, so that one epoll_wait gives both; each removes the
  // other.
  struct Rival {
    Executor* executor = nullptr;
    int fd = eventfd(1, EFD_NONBLOCK);
    std::uint64_t id = 0;
    Rival* other = nullptr;
    std::atomic<int> runs{0};
    static void run(void* user, std::uint32_t) {
      auto* self = static_cast<Rival*>(user);
      ++self->runs;
      self->executor->remove(self->id);
      self->executor->remove(self->other->id);
    }
  } a, b;
  a.executor = b.executor = &sut;
  a.other = &b;
  b.other = &a;
  std::promise<void> go;
  std::shared_future<void> gate = go.get_future().share();
  sut.post([](void* user) { static_cast<std::shared_future<void>*>(user)->wait(); }, &gate);
  ASSERT_EQ(sut.watch_fd(this, a.fd, BP_FD_READ, &Rival::run, &a, &a.id), BP_OK);
  ASSERT_EQ(sut.watch_fd(this, b.fd, BP_FD_READ, &Rival::run, &b, &b.id), BP_OK);
  go.set_value();
  settle();
  settle();
  EXPECT_EQ(a.runs + b.runs, 1);
  close(a.fd);
  close(b.fd);
}

TEST_F(Watched, GetsItsTurnBetweenTasksThatPostThemselves) {
  struct Busy {
    Executor* executor;
    std::atomic<bool> go_on{true};
    static void run(void* user) {
      auto* self = static_cast<Busy*>(user);
      if (self->go_on) self->executor->post(&Busy::run, self);
    }
  } busy{&sut};
  sut.post(&Busy::run, &busy);
  watch(BP_FD_READ);
  eventfd_write(fd, 1);
  wait_for_runs(1);
  busy.go_on = false;
  EXPECT_GE(sut.remove(id), BP_OK);
  settle();
  settle();  // it may have posted itself between the two
}

TEST_F(Watched, PostsBehindTheTasksThatWaitAlready) {
  struct Log {
    Executor& executor;
    int fd;
    std::string order;
    std::promise<void> over;
  } log{sut, fd, {}, {}};
  const auto on_ready = [](void* user, std::uint32_t) {
    auto* l = static_cast<Log*>(user);
    l->order += "d";
    eventfd_t ignored = 0;
    eventfd_read(l->fd, &ignored);
    const auto last = [](void* of) {
      auto* ended = static_cast<Log*>(of);
      ended->order += "c";
      ended->over.set_value();
    };
    l->executor.post(last, l);
  };
  ASSERT_EQ(sut.watch_fd(this, fd, BP_FD_READ, on_ready, &log, &id), BP_OK);
  sut.post(
      [](void* user) {
        auto* l = static_cast<Log*>(user);
        l->order += "a";
        l->executor.post([](void* of) { static_cast<Log*>(of)->order += "b"; }, l);
        eventfd_write(l->fd, 1);
      },
      &log);
  log.over.get_future().get();
  EXPECT_EQ(log.order, "adbc");
}

TEST_F(Watched, AnOwnerThatLeavesIsForgottenWithAllItsRegistrations) {
  const int other_owner = 0;
  watch(BP_FD_READ);
  std::uint64_t mine = 0;
  std::uint64_t others = 0;
  const std::int64_t later = monotonic_now() + 3'600'000'000'000;
  sut.at(
      this, later, [](void*) {}, nullptr, &mine);
  sut.at(
      &other_owner, later, [](void*) {}, nullptr, &others);
  const Executor::Left left = sut.remove_all_of(this);
  EXPECT_EQ(left.timers, 1u);
  EXPECT_EQ(left.descriptors, 1u);
  EXPECT_EQ(sut.remove(id), BP_NOT_FOUND);
  EXPECT_EQ(sut.remove(mine), BP_NOT_FOUND);
  EXPECT_EQ(sut.remove(others), BP_OK);
}

TEST_F(ExecutorTest, AnEarlierTimerIsNotHeldUpByALaterOne) {
  std::uint64_t late = 0;
  std::uint64_t early = 0;
  sut.at(
      nullptr, monotonic_now() + 3'600'000'000'000, [](void*) {}, nullptr, &late);
  settle();  // asleep until then
  std::promise<void> ran;
  sut.at(
      nullptr, monotonic_now() + 1'000'000,
      [](void* user) { static_cast<std::promise<void>*>(user)->set_value(); }, &ran, &early);
  EXPECT_EQ(ran.get_future().wait_for(10s), std::future_status::ready);
}

TEST_F(ExecutorTest, RunsWhatManyThreadsPostInTheOrderOfEach) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 2000;
  struct Poster {
    int next = 0;  // of the loop
    bool in_order = true;
    struct Task {
      Poster* poster;
      int number;
    };
    std::vector<Task> tasks;
  };
  std::vector<Poster> posters(kThreads);
  std::vector<std::thread> threads;
  for (Poster& poster : posters) {
    for (int i = 0; i < kTasks; ++i) poster.tasks.push_back({&poster, i});
    threads.emplace_back([this, &tasks = poster.tasks] {
      for (Poster::Task& task : tasks) {
        sut.post(
            [](void* user) {
              const auto& [owner, number] = *static_cast<Poster::Task*>(user);
              owner->in_order &= number == owner->next++;
            },
            &task);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  settle();
  for (const Poster& poster : posters) {
    EXPECT_EQ(poster.next, kTasks);
    EXPECT_TRUE(poster.in_order);
  }
}

TEST_F(ExecutorTest, StopRunsWhatIsPostedAndDropsWhatIsNotDue) {
  std::atomic<int> runs{0};
  std::uint64_t id = 0;
  sut.at(
      nullptr, monotonic_now() + 3'600'000'000'000,
      [](void* user) { *static_cast<std::atomic<int>*>(user) += 100; }, &runs, &id);
  sut.post([](void* user) { ++*static_cast<std::atomic<int>*>(user); }, &runs);
  EXPECT_TRUE(sut.stop(10s));
  EXPECT_TRUE(sut.stop(10s)) << "idempotent";
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(sut.running());
}

TEST_F(ExecutorTest, StopRunsWhatATaskPostsWhenTheEndHasBegun) {
  struct Log {
    Executor* executor;
    bool has_ended = true;
    std::string order;
  } log{&sut, true, {}};
  sut.post(
      [](void* user) {
        auto* l = static_cast<Log*>(user);
        l->has_ended = l->executor->stop(0ns);
        l->order += "a";
        l->executor->post([](void* last) { static_cast<Log*>(last)->order += "b"; }, l);
      },
      &log);
  EXPECT_TRUE(sut.stop(10s));
  EXPECT_FALSE(log.has_ended) << "it was not over while the task ran";
  EXPECT_EQ(log.order, "ab");
}

TEST_F(ExecutorTest, StopSaysWhenATaskDoesNotReturn) {
  std::promise<void> go;
  std::shared_future<void> gate = go.get_future().share();
  sut.post([](void* user) { static_cast<std::shared_future<void>*>(user)->wait(); }, &gate);
  EXPECT_FALSE(sut.stop(20ms));
  go.set_value();
  EXPECT_TRUE(sut.stop(10s));
}

TEST_F(Watched, RefusesADescriptorThatCannotBeWatched) {
  const auto run = [](void*, std::uint32_t) {};
  std::uint64_t other = 0;
  EXPECT_EQ(sut.watch_fd(this, -1, BP_FD_READ, run, nullptr, &other), BP_INVALID_ARGUMENT);
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(sut.watch_fd(this, file, BP_FD_READ, run, nullptr, &other), BP_INVALID_ARGUMENT);
  close(file);
  watch(BP_FD_READ);
  EXPECT_EQ(sut.watch_fd(this, fd, BP_FD_READ, run, nullptr, &other), BP_ALREADY_EXISTS);
  EXPECT_EQ(sut.change_fd(77, BP_FD_READ), BP_NOT_FOUND);
  EXPECT_EQ(sut.remove(0), BP_NOT_FOUND);
  std::uint64_t timer = 0;
  sut.at(
      nullptr, monotonic_now() + 3'600'000'000'000, [](void*) {}, nullptr, &timer);
  EXPECT_EQ(sut.change_fd(timer, BP_FD_READ), BP_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace backplane::kernel
