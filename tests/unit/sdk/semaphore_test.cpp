// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/semaphore.hpp"

#include "support/as_nobody.hpp"
#include "support/eventually.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <climits>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <semaphore.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace backplane {
namespace {

using namespace std::chrono_literals;
using test::as_nobody;
using test::eventually;
using test::in_child;
using testing::HasSubstr;
using Which = Semaphore::Which;

/// Keys of this process, which are gone with it.
NativeKey key_of(uint32_t type, const std::string& name = "semaphore") {
  return NativeKey::safe(NativeKey::Use::kSemaphore, concat("bp-test-", getpid(), "-", name), type)
      .value();
}

/// ThreadSanitizer ends a child of fork(2) that starts a thread.
#ifdef __SANITIZE_THREAD__
constexpr bool kChildrenHaveThreads = false;
#else
constexpr bool kChildrenHaveThreads = true;
#endif

class ASemaphore : public testing::TestWithParam<uint32_t> {
 protected:
  ASemaphore() {
    setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);
    key_ = key_of(GetParam());
  }
  ~ASemaphore() override { static_cast<void>(Semaphore::remove(key_)); }

  Semaphore open(uint32_t initial, Which which = Which::kAny) const {
    return Semaphore::open(key_, {.which = which, .initial = initial}).value();
  }
  bool is_posix() const { return GetParam() == BP_KEY_POSIX; }
  uint32_t most() const { return is_posix() ? uint32_t{INT_MAX} : 32767; }

  test::ScratchFolder folder_ = test::ScratchFolder::of_keys();
  NativeKey key_;
};

INSTANTIATE_TEST_SUITE_P(Key, ASemaphore, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V, 7),
                         [](const auto& key) {
                           return key.param == BP_KEY_POSIX      ? "Posix"
                                  : key.param == BP_KEY_SYSTEM_V ? "SystemV"
                                                                 : "SystemV7";
                         });

TEST_P(ASemaphore, Counts_SS1) {
  Semaphore sut = open(2);
  EXPECT_EQ(sut.count().value(), 2u);
  EXPECT_TRUE(sut.try_acquire().value());
  EXPECT_TRUE(sut.try_acquire().value());
  EXPECT_FALSE(sut.try_acquire().value());
  EXPECT_EQ(sut.count().value(), 0u);
}

TEST_P(ASemaphore, IsTheSameForTheSameKey_SS1) {
  Semaphore sut = open(0);
  Semaphore same = open(5);
  Semaphore other = Semaphore::open(key_of(GetParam(), "other")).value();
  sut.release(3).or_throw();
  EXPECT_EQ(same.count().value(), 3u);
  EXPECT_EQ(other.count().value(), 0u);
  Semaphore::remove(key_of(GetParam(), "other")).or_throw();
}

TEST_P(ASemaphore, WaitsUntilThereIsOne_SS2) {
  Semaphore sut = open(0);
  std::atomic<bool> is_acquired{false};
  std::thread waiting([&] {
    sut.acquire().or_throw();
    is_acquired = true;
  });
  EXPECT_EQ(sut.acquire_within(20ms).code(), BP_DEADLINE_EXCEEDED);
  EXPECT_FALSE(is_acquired);
  sut.release().or_throw();
  waiting.join();
  EXPECT_TRUE(is_acquired);
  EXPECT_EQ(sut.count().value(), 0u);
}

TEST_P(ASemaphore, WaitsForItsTimeAndNoLonger) {
  Semaphore sut = open(0);
  const auto begin = Semaphore::Clock::now();
  const Status status = sut.acquire_until(begin + 30ms);
  EXPECT_GE(Semaphore::Clock::now() - begin, 30ms);
  EXPECT_EQ(status.code(), BP_DEADLINE_EXCEEDED);
  EXPECT_THAT(status.message(), HasSubstr(key_.to_string()));
  EXPECT_EQ(sut.acquire_until(Semaphore::Clock::time_point::min()).code(), BP_DEADLINE_EXCEEDED);
}

TEST_P(ASemaphore, TakesAnyTimeThatHasPassed) {
  Semaphore sut = open(0);
  for (const int64_t past : {int64_t{-1}, INT64_MIN, int64_t{1}}) {
    EXPECT_EQ(bp_semaphore_acquire(sut.raw(), past, nullptr), BP_DEADLINE_EXCEEDED);
  }
}

TEST_P(ASemaphore, WakesAsManyAsItReleases_SS3) {
  Semaphore sut = open(0);
  std::atomic<int> awake{0};
  std::vector<std::thread> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back([&] {
      sut.acquire().or_throw();
      ++awake;
    });
  }
  sut.release(3).or_throw();
  EXPECT_TRUE(eventually([&] { return awake == 3; }));
  EXPECT_EQ(sut.count().value(), 0u);
  sut.release().or_throw();
  for (std::thread& thread : waiting) {
    thread.join();
  }
  EXPECT_EQ(awake, 4);
}

TEST_P(ASemaphore, IsOpenedOrMadeAsSaid_SS4) {
  const auto open_as = [&](Which which) {
    return Semaphore::open(key_, {.which = which, .initial = 4});
  };
  EXPECT_EQ(open_as(Which::kExisting).status().code(), BP_NOT_FOUND);
  Semaphore sut = open_as(Which::kNew).value();
  EXPECT_EQ(open_as(Which::kNew).status().code(), BP_ALREADY_EXISTS);
  sut.release(3).or_throw();
  EXPECT_EQ(open_as(Which::kExisting).value().count().value(), 7u);
  EXPECT_EQ(open_as(Which::kAny).value().count().value(), 7u);
  EXPECT_EQ(open_as(Which::kReset).value().count().value(), 4u);
  EXPECT_EQ(sut.count().value(), 4u);
}

TEST_P(ASemaphore, KeepsItsCountWithoutAnyProcess) {
  { open(3).acquire().or_throw(); }
  EXPECT_EQ(open(0, Which::kExisting).count().value(), 3u);
}

TEST_P(ASemaphore, ReturnsWhatAnEndedProcessHeld_SS5) {
  if (!kChildrenHaveThreads) {
    GTEST_SKIP() << "a child has no threads here";
  }
  EXPECT_EQ(in_child([&] {
              Semaphore held = open(3);
              held.acquire().or_throw();
              held.acquire().or_throw();
              const uint32_t left = held.count().value();
              raise(left == 1 ? SIGKILL : SIGABRT);
              return 0;
            }),
            -1);
  EXPECT_EQ(open(0).count().value(), 3u);
}

TEST_P(ASemaphore, ReturnsItWhileOthersWait_SS5) {
  if (!kChildrenHaveThreads) {
    GTEST_SKIP() << "a child has no threads here";
  }
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    Semaphore held = open(1);
    held.acquire().or_throw();
    static_cast<void>(write(ready[1], "x", 1));
    pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  Semaphore sut = open(0, Which::kExisting);
  EXPECT_FALSE(sut.try_acquire().value());
  const auto begin = Semaphore::Clock::now();
  kill(child, SIGKILL);
  EXPECT_TRUE(sut.acquire_within(20s).is_ok());
  EXPECT_LT(Semaphore::Clock::now() - begin, 1s);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
}

TEST_P(ASemaphore, ReturnsWhatIsHeldWithItsLastObjectInAProcess) {
  if (!kChildrenHaveThreads) {
    GTEST_SKIP() << "a child has no threads here";
  }
  Semaphore sut = open(2);
  in_child([&] {
    std::optional<Semaphore> first(open(0));
    std::optional<Semaphore> second(open(0));
    first->acquire().or_throw();
    first.reset();
    const uint32_t held = second->count().value();
    second.reset();
    return held == 1 ? 0 : 1;
  });
  EXPECT_EQ(sut.count().value(), 2u);
}

TEST_P(ASemaphore, DoesNotReturnEvents) {
  if (!kChildrenHaveThreads) {
    GTEST_SKIP() << "a child has no threads here";
  }
  Semaphore sut = open(2);
  EXPECT_EQ(in_child([&] {
              Semaphore events = Semaphore::open(key_, {.signal = true}).value();
              events.acquire().or_throw();
              return 0;
            }),
            0);
  EXPECT_EQ(sut.count().value(), 1u);
}

/// QSystemSemaphore of System V ends at 32767 steps in one direction, with what an ended process
/// released taken back.
TEST_P(ASemaphore, ReleasesForOthersWithoutEnd_SS5) {
  if (!kChildrenHaveThreads) {
    GTEST_SKIP() << "a child has no threads here";
  }
  Semaphore sut = open(0);
  EXPECT_EQ(in_child([&] {
              Semaphore events = open(0);
              for (int i = 0; i < 40'000; ++i) {
                events.release().or_throw();
                if (i < 39'990) {
                  Semaphore::open(key_, {.signal = true}).value().acquire().or_throw();
                }
              }
              return 0;
            }),
            0);
  EXPECT_EQ(sut.count().value(), 10u);
}

TEST_P(ASemaphore, CountsUpToItsBound) {
  Semaphore sut = open(most());
  const Status status = sut.release();
  EXPECT_EQ(status.code(), BP_OUT_OF_RANGE);
  EXPECT_THAT(status.message(), HasSubstr(std::to_string(most())));
  EXPECT_EQ(sut.release(UINT32_MAX).code(), BP_OUT_OF_RANGE);
  EXPECT_EQ(sut.count().value(), most());
  sut.acquire().or_throw();
  sut.release().or_throw();
  EXPECT_EQ(Semaphore::open(key_, {.initial = most() + 1}).status().code(), BP_OUT_OF_RANGE);
}

TEST_P(ASemaphore, HoldsMoreThanTheSystemCounts) {
  Semaphore sut = open(0);
  for (int i = 0; i < 4; ++i) {
    sut.release(10'000).or_throw();
    for (int j = 0; j < 10'000; ++j) {
      sut.acquire().or_throw();
    }
  }
  EXPECT_EQ(sut.count().value(), 0u);
  for (int i = 0; i < 4; ++i) {
    sut.release(10'000).or_throw();
    for (int j = 0; j < 10'000 && i < 3; ++j) {
      Semaphore::open(key_, {.signal = true}).value().acquire().or_throw();
    }
  }
  EXPECT_EQ(sut.count().value(), 10'000u);
}

TEST_P(ASemaphore, IsNotForAChildOfFork) {
  if (!kChildrenHaveThreads) {
    GTEST_SKIP() << "a child has no threads here";
  }
  Semaphore sut = open(1);
  EXPECT_EQ(in_child([&] {
              const Status status = sut.acquire();
              const bool is_told = status.code() == BP_FAILED_PRECONDITION &&
                                   sut.release().code() == BP_FAILED_PRECONDITION &&
                                   sut.count().status().code() == BP_FAILED_PRECONDITION;
              { const Semaphore moved = std::move(sut); }  // it may be closed
              Semaphore own = open(0);
              return is_told && own.acquire().is_ok() ? 0 : 1;
            }),
            0);
  EXPECT_TRUE(eventually([&] { return sut.count().value() == 1; }));
}

TEST_P(ASemaphore, IsForThisUserAloneUnlessSaid_SS7) {
  if (getuid() != 0 || !kChildrenHaveThreads) {
    GTEST_SKIP() << "needs root, who can become another user, and threads in a child";
  }
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  const Semaphore sut = open(1);
  const auto code_of = [&](const NativeKey& key) {
    return Semaphore::open(key, {.which = Which::kAny}).status().code();
  };
  EXPECT_TRUE(as_nobody([&] { return code_of(key_) == BP_PERMISSION_DENIED; }));
  EXPECT_TRUE(as_nobody([&] { return Semaphore::remove(key_).code() == BP_PERMISSION_DENIED; }));

  const NativeKey shared = key_of(GetParam(), "shared");
  const mode_t before = umask(0077);
  Semaphore ours = Semaphore::open(shared, {.initial = 1, .permissions = 0666}).value();
  umask(before);
  EXPECT_TRUE(as_nobody([&] {
    Semaphore theirs = Semaphore::open(shared, {.which = Which::kExisting}).value();
    return theirs.acquire().is_ok();
  }));
  EXPECT_TRUE(eventually([&] { return ours.count().value() == 1; }));
  Semaphore::remove(shared).or_throw();
}

TEST_P(ASemaphore, SaysWhatIsWrong_SS7) {
  bp_key key{};
  key_.raw(key).or_throw();
  bp_error error{};
  bp_semaphore* out = nullptr;
  const auto code_of = [&](const bp_semaphore_options& options) {
    return bp_semaphore_open(&key, &options, &out, &error);
  };
  constexpr uint32_t kSize = sizeof(bp_semaphore_options);
  EXPECT_EQ(code_of({0, 1, 0, 0, 0, 0}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of({kSize, 4, 0, 0, 0, 0}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of({kSize, 1, 0, 01000, 0, 0}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of({kSize, 1, 0, 0, 4, 0}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of({kSize, 1, 0, 0, 0, 1}), BP_INVALID_ARGUMENT);
  struct {
    bp_semaphore_options known;
    uint32_t unknown[2];
  } longer{{sizeof longer, 1, 0, 0, 0, 0}, {0, 1}};
  EXPECT_EQ(code_of(longer.known), BP_INVALID_ARGUMENT);
  EXPECT_EQ(out, nullptr);
  longer.unknown[1] = 0;
  EXPECT_EQ(code_of(longer.known), BP_OK);
  EXPECT_EQ(bp_semaphore_release(out, 0, &error), BP_INVALID_ARGUMENT);
  bp_semaphore_close(out);
  bp_semaphore_close(nullptr);
}

TEST(ASemaphoresKey, IsOneThatTheSystemTakes_SS6) {
  const auto code_of = [](const NativeKey& key) { return Semaphore::open(key).status().code(); };
  EXPECT_EQ(code_of(NativeKey("")), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("/")), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("/a/b")), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("/" + std::string(252, 'a'))), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("", BP_KEY_ANONYMOUS)), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey(std::string(300, 'a'), BP_KEY_ANONYMOUS)), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("a", BP_KEY_WINDOWS)), BP_UNIMPLEMENTED);
  EXPECT_EQ(code_of(NativeKey("/no/such/folder/a", BP_KEY_SYSTEM_V)), BP_NOT_FOUND);
  EXPECT_EQ(Semaphore::remove(NativeKey("/a/b")).code(), BP_INVALID_ARGUMENT);
  const NativeKey long_one("/bp-test-" + std::string(243, 'a'));
  EXPECT_EQ(code_of(long_one), BP_OK);
  EXPECT_EQ(Semaphore::remove(long_one).code(), BP_OK);
  EXPECT_EQ(Semaphore::remove(long_one).code(), BP_NOT_FOUND);
}

class AnAnonymousSemaphore : public testing::Test {
 protected:
  const NativeKey key_{"bp-test-semaphore", BP_KEY_ANONYMOUS};
  Semaphore sut_ = Semaphore::open(key_, {.initial = 2}).value();
};

TEST_F(AnAnonymousSemaphore, IsANewOneEachTimeAndCounts) {
  Semaphore other = Semaphore::open(key_, {.initial = 5}).value();
  EXPECT_TRUE(sut_.try_acquire().value());
  EXPECT_TRUE(sut_.try_acquire().value());
  EXPECT_FALSE(sut_.try_acquire().value());
  EXPECT_EQ(sut_.acquire_within(10ms).code(), BP_DEADLINE_EXCEEDED);
  sut_.release(2).or_throw();
  EXPECT_EQ(sut_.count().value(), 2u);
  EXPECT_EQ(other.count().value(), 5u);
}

TEST_F(AnAnonymousSemaphore, IsGivenAwayByItsDescriptor) {
  const int descriptor = sut_.descriptor().value();
  Semaphore same = Semaphore::adopt(descriptor).value();
  close(descriptor);
  EXPECT_TRUE(same.try_acquire().value());
  EXPECT_EQ(sut_.count().value(), 1u);
  const int again = same.descriptor().value();
  EXPECT_GE(again, 0);
  close(again);
}

TEST_F(AnAnonymousSemaphore, GetsBackWhatAKilledProcessHeld) {
  if (!kChildrenHaveThreads) {
    GTEST_SKIP() << "ThreadSanitizer ends children that have threads";
  }
  const int descriptor = sut_.descriptor().value();
  const pid_t child = fork();
  if (child == 0) {
    auto mine = Semaphore::adopt(descriptor);
    const bool is_held = mine && mine->acquire().is_ok() && mine->acquire().is_ok();
    _exit(is_held ? (raise(SIGKILL), 0) : 1);
  }
  close(descriptor);
  int how = 0;
  waitpid(child, &how, 0);
  ASSERT_TRUE(WIFSIGNALED(how)) << how;
  EXPECT_TRUE(eventually([&] { return sut_.count().value() == 2u; }, 1s));
  EXPECT_TRUE(sut_.acquire_within(1s).is_ok());
}

TEST_F(AnAnonymousSemaphore, HasNoNameInTheSystem) {
  EXPECT_EQ(Semaphore::remove(key_).code(), BP_UNIMPLEMENTED);
  Semaphore named = Semaphore::open(key_of(BP_KEY_POSIX)).value();
  EXPECT_EQ(named.descriptor().status().code(), BP_UNIMPLEMENTED);
  Semaphore::remove(key_of(BP_KEY_POSIX)).or_throw();
}

TEST_F(AnAnonymousSemaphore, IsNotAdoptedOfSomethingElse) {
  const auto code_of = [](int descriptor) { return Semaphore::adopt(descriptor).status().code(); };
  EXPECT_EQ(code_of(-1), BP_INVALID_ARGUMENT);
  const int memory = memfd_create("bp-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_EQ(code_of(memory), BP_FAILED_PRECONDITION) << "it can be cut";
  ASSERT_EQ(ftruncate(memory, 4096), 0);
  ASSERT_EQ(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_EQ(code_of(memory), BP_DATA_LOSS);
  close(memory);
  const int pipe_end = open("/dev/null", O_RDWR | O_CLOEXEC);
  EXPECT_EQ(code_of(pipe_end), BP_FAILED_PRECONDITION);
  close(pipe_end);
}

TEST(ASemaphoreOfSystemV, WakesWhoWaitsWhenItIsRemoved) {
  const test::ScratchFolder folder = test::ScratchFolder::of_keys();
  const NativeKey key(folder.path() / "removed", BP_KEY_SYSTEM_V);
  Semaphore sut = Semaphore::open(key).value();
  Status status;
  std::thread waiting([&] { status = sut.acquire(); });
  EXPECT_EQ(sut.acquire_within(20ms).code(), BP_DEADLINE_EXCEEDED);
  Semaphore::remove(key).or_throw();
  waiting.join();
  EXPECT_EQ(status.code(), BP_FAILED_PRECONDITION);
  EXPECT_THAT(status.message(), HasSubstr("was removed"));
}

TEST(ASemaphoreOfPosix, GoesOnWhenItIsRemoved) {
  const NativeKey key = key_of(BP_KEY_POSIX);
  Semaphore sut = Semaphore::open(key, {.initial = 1}).value();
  Semaphore::remove(key).or_throw();
  Semaphore next = Semaphore::open(key, {.initial = 5}).value();
  EXPECT_TRUE(sut.try_acquire().value());
  EXPECT_FALSE(sut.try_acquire().value());
  EXPECT_EQ(next.count().value(), 5u);
  Semaphore::remove(key).or_throw();
}

/// A program with sem_open(3) alone.
class ForeignPosix {
 public:
  ForeignPosix(const NativeKey& key, unsigned initial)
      : semaphore_(sem_open(key.name().c_str(), O_CREAT, 0600, initial)) {}
  ~ForeignPosix() { sem_close(semaphore_); }
  sem_t* get() const { return semaphore_; }
  int count() const {
    int out = -1;
    sem_getvalue(semaphore_, &out);
    return out;
  }

 private:
  sem_t* semaphore_;
};

TEST(ASemaphoreOfPosix, IsOneOfSemOpen) {
  const NativeKey key = key_of(BP_KEY_POSIX);
  const ForeignPosix theirs(key, 2);
  ASSERT_NE(theirs.get(), SEM_FAILED);
  Semaphore ours = Semaphore::open(key, {.which = Which::kExisting}).value();
  EXPECT_EQ(ours.count().value(), 2u);
  ours.acquire().or_throw();
  EXPECT_EQ(theirs.count(), 1);
  EXPECT_EQ(sem_trywait(theirs.get()), 0);
  EXPECT_FALSE(ours.try_acquire().value());
  std::thread waiting([&] { ours.acquire().or_throw(); });
  EXPECT_EQ(ours.acquire_within(20ms).code(), BP_DEADLINE_EXCEEDED);
  sem_post(theirs.get());
  waiting.join();
  std::thread foreign([&] { EXPECT_EQ(sem_wait(theirs.get()), 0); });
  EXPECT_EQ(ours.acquire_within(20ms).code(), BP_DEADLINE_EXCEEDED);
  ours.release().or_throw();
  foreign.join();
  EXPECT_EQ(theirs.count(), 0);
  Semaphore::remove(key).or_throw();
}

TEST(ASemaphoreOfPosix, IsOpenedBySemOpen) {
  const NativeKey key = key_of(BP_KEY_POSIX);
  Semaphore ours = Semaphore::open(key, {.initial = 3}).value();
  const ForeignPosix theirs(key, 0);
  ASSERT_NE(theirs.get(), SEM_FAILED);
  EXPECT_EQ(theirs.count(), 3);
  Semaphore::remove(key).or_throw();
}

TEST(ASemaphoreOfPosix, OfAnotherUserIsOpenedOnlyIfItsOwnerIsTrusted) {
  if (getuid() != 0) {
    GTEST_SKIP() << "needs root, who can become another user";
  }
  const NativeKey key = key_of(BP_KEY_POSIX, "planted");
  EXPECT_TRUE(as_nobody([&] {
    const mode_t before = umask(0);
    sem_t* const theirs = sem_open(key.name().c_str(), O_CREAT, 0666, 1);
    umask(before);
    return theirs != SEM_FAILED;
  }));
  EXPECT_EQ(Semaphore::open(key).status().code(), BP_PERMISSION_DENIED);
  EXPECT_TRUE(Semaphore::open(key, {.trust_owner = true}).is_ok());
  Semaphore::remove(key).or_throw();
}

/// How many of this process's are of that file.
int descriptors_of(const std::string& path) {
  int count = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    count += std::filesystem::read_symlink(each.path(), gone) == path ? 1 : 0;
  }
  return count;
}

/// Who waits for the file of one holds up nobody else: neither who opens another, nor fork(2).
TEST(ASemaphoreOfPosix, ThatAnotherProcessHasLockedHoldsUpNoOther) {
  const NativeKey locked = key_of(BP_KEY_POSIX, "locked");
  const NativeKey key = key_of(BP_KEY_POSIX, "free");
  const Semaphore made = Semaphore::open(key, {.initial = 1}).value();
  const ForeignPosix theirs(locked, 1);
  const std::string path = concat("/dev/shm/sem.", locked.name().substr(1));
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(file, LOCK_EX), 0);
  std::atomic<bool> is_opened = false;
  std::thread waiting([&] {
    Status status;
    do {
      status = Semaphore::open(locked).status();
    } while (status.code() == BP_DEADLINE_EXCEEDED);
    EXPECT_TRUE(status.is_ok()) << status.to_string();
    is_opened = true;
  });
  EXPECT_TRUE(eventually([&] { return descriptors_of(path) == 2; })) << "it waits for the file";
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Semaphore::open(key).is_ok());
    EXPECT_EQ(in_child([] { return 0; }), 0);
  }
  EXPECT_FALSE(is_opened);
  ASSERT_EQ(flock(file, LOCK_UN), 0);
  waiting.join();
  close(file);
  Semaphore::remove(locked).or_throw();
  Semaphore::remove(key).or_throw();
}

/// Of several threads that open one at a time, each gets the process's.
TEST_P(ASemaphore, OpenedByManyThreadsAtOnceIsOneOfTheProcess) {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> threads;
    std::atomic<int> ready = 0;
    std::array<std::optional<Semaphore>, 4> opened;
    for (auto& mine : opened) {
      threads.emplace_back([&] {
        ++ready;
        while (ready < 4) {
        }
        mine.emplace(open(4));
        EXPECT_TRUE(mine->acquire_within(10s).is_ok());
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    EXPECT_EQ(opened[0]->count().value(), 0u);
    for (auto& each : opened) {
      each.reset();
    }
    EXPECT_EQ(open(0).count().value(), 4u) << "returned with the last";
    Semaphore::remove(key_).or_throw();
  }
}

TEST(ASemaphoreOfPosix, SaysWhatIsNone) {
  const NativeKey key = key_of(BP_KEY_POSIX, "none");
  const std::string path = "/dev/shm/sem." + key.name().substr(1);
  const auto with = [&](const std::string& content) {
    const int file = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    EXPECT_EQ(write(file, content.data(), content.size()), ssize_t(content.size()));
    ::close(file);
    return Semaphore::open(key, {.which = Which::kExisting}).status();
  };
  EXPECT_THAT(with("short").to_string(), HasSubstr("DATA_LOSS: posix:/bp-test"));
  EXPECT_THAT(with(std::string(8192, 'x')).to_string(), HasSubstr("was damaged"));
  std::string magic(8192, '\0');
  magic.replace(32, 8, "bp_sem01");
  EXPECT_EQ(with(magic).code(), BP_DATA_LOSS) << "no process";
  magic[40] = 65;
  EXPECT_EQ(with(magic).code(), BP_DATA_LOSS) << "more than there is place for";
  unlink(path.c_str());
  ASSERT_EQ(symlink("/dev/null", path.c_str()), 0);
  EXPECT_EQ(Semaphore::open(key).status().code(), BP_INVALID_ARGUMENT);
  unlink(path.c_str());
}

TEST(ASemaphoreOfSystemV, IsOneOfSemget) {
  const test::ScratchFolder folder = test::ScratchFolder::of_keys();
  const NativeKey key(folder.path() / "foreign", BP_KEY_SYSTEM_V);
  ::close(::open(key.name().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const int id = semget(ftok(key.name().c_str(), 'Q'), 1, IPC_CREAT | IPC_EXCL | 0600);
  ASSERT_GE(id, 0);
  ASSERT_EQ(semctl(id, 0, SETVAL, 2), 0);
  Semaphore ours = Semaphore::open(key, {.initial = 9}).value();
  EXPECT_EQ(ours.count().value(), 2u);
  ours.acquire().or_throw();
  EXPECT_EQ(semctl(id, 0, GETVAL), 1);
  ours.release(2).or_throw();
  EXPECT_EQ(semctl(id, 0, GETVAL), 3);
  Semaphore::remove(key).or_throw();
  EXPECT_EQ(semctl(id, 0, GETVAL), -1);
}

}  // namespace
}  // namespace backplane
