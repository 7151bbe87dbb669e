// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/mutex.hpp"

#include "support/eventually.hpp"
#include "support/in_child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace backplane {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using testing::HasSubstr;

struct Line {
  ProcessMutex mutex;
  ProcessCondition changed;
  int value = 0;
};

class AProcessMutex : public testing::Test {
 protected:
  AProcessMutex()
      : memory_(
            mmap(nullptr, sizeof(Line), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        line_(*new (memory_) Line) {}
  ~AProcessMutex() override { munmap(memory_, sizeof(Line)); }

  /// Another process, which ends as it is.
  template <class Body>
  static void in_child(Body body) {
    ASSERT_EQ(test::in_child([&] {
                body();
                return 0;
              }),
              0);
  }
  static void leave(Result<ProcessLock> lock) { new Result<ProcessLock>(std::move(lock)); }

  void* const memory_;
  Line& line_;
};

TEST_F(AProcessMutex, ExcludesOthers) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) {
        const ProcessLock lock = line_.mutex.lock().value();
        ++line_.value;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(line_.value, 4000);
}

TEST_F(AProcessMutex, ExcludesOtherProcesses) {
  in_child([&] { static_cast<void>(line_.mutex.lock().value()); });
  const ProcessLock lock = line_.mutex.lock().value();
  EXPECT_FALSE(lock.owner_died());
  in_child([&] {
    if (line_.mutex.lock_within(10ms).status().code() != BP_DEADLINE_EXCEEDED) _exit(1);
    if (line_.mutex.lock_until({}).status().code() != BP_DEADLINE_EXCEEDED) _exit(2);
  });
}

TEST_F(AProcessMutex, TellsOfAnOwnerWhoDied) {
  in_child([&] {
    leave(line_.mutex.lock());
    line_.value = 1;
  });
  {
    ProcessLock lock = line_.mutex.lock().value();
    EXPECT_TRUE(lock.owner_died());
    line_.value = 2;
    lock.repaired();
    EXPECT_FALSE(lock.owner_died());
  }
  EXPECT_FALSE(line_.mutex.lock().value().owner_died());
}

TEST_F(AProcessMutex, TellsWhoWaitsOfAnOwnerWhoDied) {
  int locked[2];
  int go[2];
  ASSERT_TRUE(pipe(locked) == 0 && pipe(go) == 0);
  const pid_t child = fork();
  if (child == 0) {
    leave(line_.mutex.lock());
    static_cast<void>(write(locked[1], "x", 1));
    char byte = 0;
    static_cast<void>(read(go[0], &byte, 1));
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(locked[0], &byte, 1), 1);
  EXPECT_EQ(line_.mutex.lock_within(10ms).status().code(), BP_DEADLINE_EXCEEDED);
  ASSERT_EQ(write(go[1], "x", 1), 1);
  ProcessLock lock = line_.mutex.lock_within(20s).value();
  EXPECT_TRUE(lock.owner_died());
  lock.repaired();
  waitpid(child, nullptr, 0);
  for (const int end : {locked[0], locked[1], go[0], go[1]}) {
    close(end);
  }
}

TEST_F(AProcessMutex, IsLostIfNobodyRepairs) {
  in_child([&] { leave(line_.mutex.lock()); });
  { const ProcessLock lock = line_.mutex.lock().value(); }
  const Status status = line_.mutex.lock().status();
  EXPECT_EQ(status.code(), BP_DATA_LOSS);
  EXPECT_THAT(status.message(), HasSubstr("make both anew"));
  new (&line_) Line;
  EXPECT_TRUE(line_.mutex.lock().is_ok());
}

TEST_F(AProcessMutex, IsLockedOnceByAThread) {
  const ProcessLock lock = line_.mutex.lock().value();
  EXPECT_EQ(line_.mutex.lock().status().code(), BP_FAILED_PRECONDITION);
#ifndef __SANITIZE_THREAD__  // which reports it
  std::thread([&] {
    EXPECT_EQ(bp_mutex_unlock(line_.mutex.raw(), nullptr), BP_FAILED_PRECONDITION);
  }).join();
#endif
}

TEST_F(AProcessMutex, OfOtherBytesIsNone) {
  bp_mutex wrong{};
  std::fill(std::begin(wrong.opaque), std::end(wrong.opaque), 0x5a5a'5a5a'5a5a'5a5a);
  wrong.opaque[0] = 0;  // nobody has it
  bp_error error{};
  EXPECT_EQ(bp_mutex_lock(&wrong, 1, nullptr, &error), BP_DATA_LOSS);
  bp_mutex zero{};
  EXPECT_EQ(bp_mutex_lock(&zero, 1, nullptr, &error), BP_DATA_LOSS);
}

TEST_F(AProcessMutex, TakesAnyTimeThatHasPassed) {
  const ProcessLock lock = line_.mutex.lock().value();
  in_child([&] {
    for (const int64_t past : {int64_t{-1}, INT64_MIN, int64_t{1}}) {
      if (bp_mutex_lock(line_.mutex.raw(), past, nullptr, nullptr) != BP_DEADLINE_EXCEEDED) {
        _exit(1);
      }
    }
  });
}

TEST_F(AProcessMutex, ConditionWaitsForItsPredicate) {
  std::thread waiting([&] {
    ProcessLock lock = line_.mutex.lock().value();
    EXPECT_TRUE(line_.changed.wait(lock, [&] { return line_.value == 3; }).is_ok());
    line_.value = 4;
    line_.changed.notify();
  });
  for (int value = 1; value <= 3; ++value) {
    const ProcessLock lock = line_.mutex.lock().value();
    line_.value = value;
    line_.changed.notify();
  }
  ProcessLock lock = line_.mutex.lock().value();
  EXPECT_TRUE(line_.changed.wait_within(lock, 20s, [&] { return line_.value == 4; }).is_ok());
  waiting.join();
}

TEST_F(AProcessMutex, ConditionWakesAllThatWait) {
  std::atomic<int> waiting{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      ProcessLock lock = line_.mutex.lock().value();
      ++waiting;
      EXPECT_TRUE(line_.changed.wait(lock, [&] { return line_.value == 1; }).is_ok());
    });
  }
  EXPECT_TRUE(eventually([&] { return waiting == 3; }));
  {
    const ProcessLock lock = line_.mutex.lock().value();
    line_.value = 1;
    line_.changed.notify();
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST_F(AProcessMutex, ConditionWaitsForItsTimeAndHasTheMutexThen) {
  ProcessLock lock = line_.mutex.lock().value();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(line_.changed.wait_within(lock, 30ms, [] { return false; }).code(),
            BP_DEADLINE_EXCEEDED);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 30ms);
  in_child([&] {
    if (line_.mutex.lock_until({}).status().code() != BP_DEADLINE_EXCEEDED) _exit(1);
  });
}

TEST_F(AProcessMutex, ConditionTellsOfAnOwnerWhoDied) {
  std::atomic<bool> is_waiting{false};
  std::thread waiting([&] {
    ProcessLock lock = line_.mutex.lock().value();
    is_waiting = true;
    const Status status = line_.changed.wait(lock, [&] { return line_.value == 2; });
    EXPECT_EQ(status.code(), BP_ABORTED) << status.to_string();
    EXPECT_TRUE(lock.owner_died());
    line_.value = 2;
    lock.repaired();
    EXPECT_TRUE(line_.changed.wait(lock, [&] { return line_.value == 2; }).is_ok());
  });
  EXPECT_TRUE(eventually([&] { return is_waiting.load(); }));
  in_child([&] {
    leave(line_.mutex.lock());  // it ends before it could notify
    line_.value = 1;
  });
  waiting.join();
  EXPECT_FALSE(line_.mutex.lock().value().owner_died());
}

TEST_F(AProcessMutex, ConditionWakesAfterANotifierThatWasKilledBeforeItsWake) {
  std::thread waiting([&] {
    ProcessLock lock = line_.mutex.lock().value();
    EXPECT_TRUE(line_.changed.wait_within(lock, 20s, [&] { return line_.value == 1; }).is_ok());
  });
  {
    const ProcessLock lock = line_.mutex.lock().value();
    line_.value = 1;  // and nothing more
  }
  waiting.join();
}

}  // namespace
}  // namespace backplane
