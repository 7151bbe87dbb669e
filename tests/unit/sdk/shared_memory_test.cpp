// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/shared_memory.hpp"

#include "support/as_nobody.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <optional>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace backplane {
namespace {

using test::as_nobody;
using test::in_child;
using testing::HasSubstr;
using Which = SharedMemory::Which;

NativeKey key_of(uint32_t type, const std::string& name = "memory") {
  return NativeKey::safe(NativeKey::Use::kSharedMemory, concat("bp-test-", getpid(), "-", name),
                         type)
      .value();
}

void put(SharedMemory& memory, std::string_view text) {
  std::memcpy(memory.data().data(), text.data(), text.size());
}
std::string text_of(const SharedMemory& memory, size_t size) {
  return {reinterpret_cast<const char*>(memory.const_data().data()), size};
}

/// With the types of keys that others find it by.
class ASegment : public testing::TestWithParam<uint32_t> {
 protected:
  ASegment() {
    setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);
    key_ = key_of(GetParam());
  }
  ~ASegment() override { static_cast<void>(SharedMemory::remove(key_)); }

  SharedMemory make(uint64_t size = 100) const {
    return SharedMemory::open(key_, {.which = Which::kNew, .size = size}).value();
  }
  bool is_posix() const { return GetParam() == BP_KEY_POSIX; }

  test::ScratchFolder folder_ = test::ScratchFolder::of_keys();
  NativeKey key_;
};

INSTANTIATE_TEST_SUITE_P(Key, ASegment, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V),
                         [](const auto& key) {
                           return key.param == BP_KEY_POSIX ? "Posix" : "SystemV";
                         });

TEST_P(ASegment, IsMadeOfASizeAndIsZero_SM1_SM5_SM6) {
  SharedMemory sut = make(5000);
  EXPECT_EQ(sut.size(), 5000u);
  const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
  EXPECT_TRUE(std::all_of(sut.data().begin(), sut.data().end(), is_zero));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(sut.data().data()) % 4096, 0u);
  std::fill(sut.data().begin(), sut.data().end(), std::byte{1});
}

TEST_P(ASegment, IsAttachedToReadAndToWrite_SM2) {
  SharedMemory sut = make();
  put(sut, "one");
  SharedMemory same = SharedMemory::attach(key_).value();
  EXPECT_EQ(same.size(), 100u);
  EXPECT_EQ(text_of(same, 3), "one");
  put(same, "two");
  EXPECT_EQ(text_of(sut, 3), "two");
  EXPECT_EQ(sut.as<char>(), 't');
}

TEST_P(ASegment, OpenedToReadIsNotWritten_SM2_SM5) {
  SharedMemory sut = make();
  put(sut, "one");
  SharedMemory reader = SharedMemory::attach(key_, true).value();
  EXPECT_EQ(text_of(reader, 3), "one");
  EXPECT_TRUE(reader.data().empty());
  EXPECT_THROW(reader.as<int>(), Error);
  EXPECT_EQ(std::as_const(reader).as<char>(), 'o');
  EXPECT_EQ(reader.lock().status().code(), BP_FAILED_PRECONDITION);
  EXPECT_DEATH(*static_cast<char*>(bp_memory_data(reader.raw())) = 'x', "");
}

TEST_P(ASegment, LivesAsLongAsSomebodyHasItOpen_SM3_SM12) {
  std::optional<SharedMemory> maker(make());
  put(*maker, "one");
  std::optional<SharedMemory> other(SharedMemory::attach(key_).value());
  maker.reset();
  EXPECT_EQ(text_of(SharedMemory::attach(key_).value(), 3), "one");
  other.reset();
  EXPECT_EQ(SharedMemory::attach(key_).status().code(), BP_NOT_FOUND);
}

TEST_P(ASegment, OfAKilledProcessIsNone_SM12) {
  EXPECT_EQ(in_child([&] {
              const SharedMemory left = make();
              raise(SIGKILL);
              return 0;
            }),
            -1);
  EXPECT_EQ(SharedMemory::attach(key_).status().code(), BP_NOT_FOUND);
  EXPECT_EQ(in_child([&] {
              SharedMemory left = make();
              put(left, "old");
              raise(SIGKILL);
              return 0;
            }),
            -1);
  SharedMemory sut = SharedMemory::open(key_, {.which = Which::kNew, .size = 7}).value();
  EXPECT_EQ(sut.size(), 7u);
  EXPECT_EQ(text_of(sut, 3), std::string(3, '\0'));
}

TEST_P(ASegment, SurvivesTheKillOfOneOfSeveral) {
  SharedMemory sut = make();
  put(sut, "one");
  EXPECT_EQ(in_child([&] {
              const SharedMemory left = SharedMemory::attach(key_).value();
              raise(SIGKILL);
              return 0;
            }),
            -1);
  EXPECT_EQ(text_of(SharedMemory::attach(key_).value(), 3), "one");
}

TEST_P(ASegment, IsKeptIfThatIsSaid_SM12) {
  {
    SharedMemory sut = SharedMemory::open(key_, {.size = 10, .kept = true}).value();
    put(sut, "one");
  }
  EXPECT_EQ(text_of(SharedMemory::attach(key_).value(), 3), "one");
  EXPECT_EQ(text_of(SharedMemory::attach(key_).value(), 3), "one");
  SharedMemory::remove(key_).or_throw();
  EXPECT_EQ(SharedMemory::attach(key_).status().code(), BP_NOT_FOUND);
}

TEST_P(ASegment, IsNotRemovedByAChildOfFork) {
  SharedMemory sut = make();
  EXPECT_EQ(in_child([&] {
              { const SharedMemory moved = std::move(sut); }
              return 0;
            }),
            0);
  EXPECT_TRUE(SharedMemory::attach(key_).is_ok());
}

TEST_P(ASegment, HasALockThatTellsOfAnOwnerWhoDied_SM7) {
  SharedMemory sut = make();
  {
    const ProcessLock lock = sut.lock().value();
    EXPECT_EQ(in_child([&] {
                SharedMemory other = SharedMemory::attach(key_).value();
                return -other.lock_within(std::chrono::milliseconds(10)).status().code();
              }),
              -BP_DEADLINE_EXCEEDED);
  }
  EXPECT_EQ(in_child([&] {
              SharedMemory other = SharedMemory::attach(key_).value();
              const ProcessLock lock = other.lock().value();
              raise(SIGKILL);
              return 0;
            }),
            -1);
  ProcessLock lock = sut.lock().value();
  EXPECT_TRUE(lock.owner_died());
  lock.repaired();
}

TEST_P(ASegment, IsOpenedAsSaid_SM8_SM10) {
  const auto code_of = [&](SharedMemory::Options options) {
    return SharedMemory::open(key_, options).status().code();
  };
  EXPECT_EQ(code_of({.which = Which::kExisting}), BP_NOT_FOUND);
  EXPECT_EQ(code_of({.which = Which::kNew}), BP_INVALID_ARGUMENT) << "no size";
  EXPECT_EQ(code_of({.which = Which::kAny}), BP_INVALID_ARGUMENT) << "no size";
  const SharedMemory sut = make(100);
  EXPECT_EQ(code_of({.which = Which::kNew, .size = 100}), BP_ALREADY_EXISTS);
  EXPECT_EQ(code_of({.which = Which::kAny, .size = 100}), BP_OK);
  EXPECT_EQ(code_of({.which = Which::kExisting, .size = 100}), BP_OK);
  EXPECT_EQ(code_of({.which = Which::kExisting, .size = 101}), BP_OUT_OF_RANGE);
  EXPECT_EQ(code_of({.size = 1, .read_only = true}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of({.size = 1, .fixed = true}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of({.size = 1, .permissions = 01000}), BP_INVALID_ARGUMENT);
}

TEST_P(ASegment, ThatThereIsNoMemoryForIsNotMade_SM10) {
  for (const uint64_t size : {uint64_t{1} << 50, ~uint64_t{0}}) {
    const Status status = SharedMemory::open(key_, {.size = size}).status();
    EXPECT_TRUE(status.code() == BP_RESOURCE_EXHAUSTED || status.code() == BP_INVALID_ARGUMENT)
        << status.to_string();
  }
  EXPECT_EQ(SharedMemory::attach(key_).status().code(), BP_NOT_FOUND);
}

TEST_P(ASegment, IsForThisUserAloneUnlessSaid_SM11) {
  if (getuid() != 0) {
    GTEST_SKIP() << "needs root, who can become another user";
  }
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  const SharedMemory sut = make();
  EXPECT_TRUE(as_nobody([&] {
    return SharedMemory::attach(key_).status().code() == BP_PERMISSION_DENIED &&
           SharedMemory::attach(key_, true).status().code() == BP_PERMISSION_DENIED &&
           SharedMemory::remove(key_).code() == BP_PERMISSION_DENIED;
  }));
  const NativeKey shown = key_of(GetParam(), "shown");
  const SharedMemory readable =
      SharedMemory::open(shown, {.which = Which::kNew, .size = 10, .permissions = 0644}).value();
  EXPECT_TRUE(as_nobody([&] {
    return SharedMemory::attach(shown, true).is_ok() &&
           SharedMemory::attach(shown).status().code() == BP_PERMISSION_DENIED;
  }));
}

TEST_P(ASegment, OfAnotherKindIsNone) {
  {
    const SharedMemory plain =
        SharedMemory::open(key_, {.which = Which::kNew, .size = 8192, .plain = true}).value();
    const Status status = SharedMemory::attach(key_).status();
    EXPECT_EQ(status.code(), BP_DATA_LOSS);
    EXPECT_THAT(status.message(), HasSubstr("BP_MEMORY_PLAIN"));
    EXPECT_EQ(SharedMemory::open(key_, {.which = Which::kExisting, .plain = true}).value().size(),
              8192u);
  }
}

TEST_P(ASegment, IsForOneWhoOpensAtATimeAmongMany) {
  constexpr int kProcesses = 4;
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(fork());
    if (children.back() == 0) {
      for (int j = 0; j < 200; ++j) {
        auto memory = SharedMemory::open(key_, {.size = sizeof(int) * 2});
        if (!memory) {
          _exit(1);
        }
        ProcessLock lock = memory->lock().value();
        auto* const counts = &memory->as<int>();
        ++counts[0];
        if (counts[0] != ++counts[1]) {
          _exit(2);
        }
      }
      _exit(0);
    }
  }
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(SharedMemory::attach(key_).status().code(), BP_NOT_FOUND);
}

TEST(APlainSegment, OfPosixIsOneOfShmOpen_NK11) {
  const NativeKey key = key_of(BP_KEY_POSIX, "plain");
  {
    SharedMemory ours =
        SharedMemory::open(key, {.which = Which::kNew, .size = 100, .plain = true}).value();
    put(ours, "ours");
    const int file = shm_open(key.name().c_str(), O_RDWR, 0);
    ASSERT_GE(file, 0);
    void* const theirs = mmap(nullptr, 100, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ASSERT_NE(theirs, MAP_FAILED);
    EXPECT_STREQ(static_cast<const char*>(theirs), "ours");
    std::strcpy(static_cast<char*>(theirs), "theirs");
    EXPECT_EQ(text_of(ours, 6), "theirs");
    EXPECT_EQ(ours.lock().status().code(), BP_FAILED_PRECONDITION);
    munmap(theirs, 100);
    close(file);
  }
  EXPECT_EQ(SharedMemory::attach(key).status().code(), BP_NOT_FOUND) << "its maker removes it";
}

TEST(APlainSegment, OfSystemVIsOneOfShmget_NK11) {
  const test::ScratchFolder folder = test::ScratchFolder::of_keys();
  const NativeKey key(folder.write("key", ""), BP_KEY_SYSTEM_V);
  const int id = shmget(ftok(key.name().c_str(), 'Q'), 100, IPC_CREAT | IPC_EXCL | 0600);
  ASSERT_GE(id, 0);
  char* const theirs = static_cast<char*>(shmat(id, nullptr, 0));
  std::strcpy(theirs, "theirs");
  {
    SharedMemory ours = SharedMemory::open(key, {.which = Which::kExisting, .plain = true}).value();
    EXPECT_EQ(ours.size(), 100u);
    EXPECT_EQ(text_of(ours, 6), "theirs");
  }
  EXPECT_EQ(text_of(SharedMemory::open(key, {.which = Which::kExisting, .plain = true}).value(), 6),
            "theirs")
      << "its maker keeps it";
  shmdt(theirs);
  const Status status = SharedMemory::attach(key).status();
  EXPECT_EQ(status.code(), BP_DATA_LOSS) << "nor is it removed where one of ours is looked for";
  shmctl(id, IPC_RMID, nullptr);
}

TEST(ASegmentOfSystemV, OfAnotherKindIsNotRemoved) {
  const test::ScratchFolder folder = test::ScratchFolder::of_keys();
  const NativeKey key(folder.write("key", ""), BP_KEY_SYSTEM_V);
  const int id = shmget(ftok(key.name().c_str(), 'Q'), 100'000, IPC_CREAT | IPC_EXCL | 0611);
  ASSERT_GE(id, 0);
  void* const theirs = shmat(id, nullptr, 0);
  std::strcpy(static_cast<char*>(theirs), "theirs");
  shmdt(theirs);
  EXPECT_EQ(SharedMemory::attach(key).status().code(), BP_DATA_LOSS);
  EXPECT_EQ(SharedMemory::open(key, {.size = 10}).status().code(), BP_DATA_LOSS);
  EXPECT_EQ(shmget(ftok(key.name().c_str(), 'Q'), 0, 0), id);
  shmctl(id, IPC_RMID, nullptr);
  {
    const SharedMemory kept =
        SharedMemory::open(key, {.size = 100'000, .permissions = 0611, .plain = true, .kept = true})
            .value();
  }
  EXPECT_EQ(SharedMemory::attach(key).status().code(), BP_DATA_LOSS);
  EXPECT_TRUE(SharedMemory::open(key, {.which = Which::kExisting, .plain = true}).is_ok());
  SharedMemory::remove(key).or_throw();
}

TEST(ASegmentOfSystemV, OfAnotherKindIsNotRemovedBeforeAnybodyHasAttachedIt) {
  const test::ScratchFolder folder = test::ScratchFolder::of_keys();
  const NativeKey key(folder.write("key", ""), BP_KEY_SYSTEM_V);
  const int id = shmget(ftok(key.name().c_str(), 'Q'), 100'000, IPC_CREAT | IPC_EXCL | 0600);
  ASSERT_GE(id, 0);
  EXPECT_EQ(SharedMemory::open(key, {.size = 10}).status().code(), BP_DATA_LOSS);
  EXPECT_EQ(shmget(ftok(key.name().c_str(), 'Q'), 0, 0), id);
  shmctl(id, IPC_RMID, nullptr);
}

TEST(ASegmentOfSystemV, WhoseMakerEndedBeforeItWasWholeIsMadeAnew) {
  constexpr int kHalfMade = 0611;
  const test::ScratchFolder folder = test::ScratchFolder::of_keys();
  const NativeKey key(folder.write("key", ""), BP_KEY_SYSTEM_V);
  const int id = shmget(ftok(key.name().c_str(), 'Q'), 100'000, IPC_CREAT | IPC_EXCL | kHalfMade);
  ASSERT_GE(id, 0);
  shmdt(shmat(id, nullptr, SHM_RDONLY));  // somebody has looked at it meanwhile
  const SharedMemory memory = SharedMemory::open(key, {.size = 10, .permissions = 0711}).value();
  const int now = shmget(ftok(key.name().c_str(), 'Q'), 0, 0);
  EXPECT_NE(now, id);
  shmid_ds about{};
  ASSERT_EQ(shmctl(now, IPC_STAT, &about), 0);
  EXPECT_EQ(about.shm_perm.mode & 0777u, 0600u) << "a whole one has no mode of half made ones";
}

/// Whoever lists has each attached for a moment: nobody takes that for an owner.
TEST(ASegmentOfSystemV, IsListedWithoutASign) {
  const test::ScratchFolder folder = test::ScratchFolder::of_keys();
  const NativeKey key(folder.write("key", ""), BP_KEY_SYSTEM_V);
  std::vector<pid_t> listers;
  for (int i = 0; i < 2; ++i) {
    const pid_t lister = fork();
    if (lister == 0) {
      alarm(60);
      while (SharedMemory::list().is_ok()) {
      }
      _exit(1);
    }
    listers.push_back(lister);
  }
  for (int i = 0; i < 200; ++i) {
    SharedMemory::open(key, {.which = Which::kNew, .size = 10}).or_throw();
    EXPECT_EQ(SharedMemory::attach(key).status().code(), BP_NOT_FOUND) << i;
  }
  for (const pid_t lister : listers) {
    kill(lister, SIGKILL);
    waitpid(lister, nullptr, 0);
  }
}

/// The maker of a segment may say that it is root's, and can still write into it.
TEST(ASegmentOfSystemV, OfAnotherUserIsOpenedOnlyIfItsMakerIsTrusted) {
  if (getuid() != 0) {
    GTEST_SKIP() << "needs root, who can become another user";
  }
  const test::ScratchFolder folder = test::ScratchFolder::of_keys();
  const NativeKey key(folder.write("key", "", 0666), BP_KEY_SYSTEM_V);
  test::ScratchFolder::set_mode(folder.path(), 0755);
  EXPECT_TRUE(as_nobody([&] {
    if (!SharedMemory::open(key, {.size = 10, .permissions = 0666, .kept = true}).is_ok()) {
      return false;
    }
    const int id = shmget(ftok(key.name().c_str(), 'Q'), 0, 0);
    shmid_ds about{};
    shmctl(id, IPC_STAT, &about);
    about.shm_perm.uid = 0;
    return shmctl(id, IPC_SET, &about) == 0;
  }));
  EXPECT_EQ(SharedMemory::attach(key).status().code(), BP_PERMISSION_DENIED);
  EXPECT_TRUE(SharedMemory::open(key, {.which = Which::kExisting, .trust_owner = true}).is_ok());
  SharedMemory::remove(key).or_throw();
}

TEST(ASegmentOfPosix, GrowsWhileItsLockIsHad) {
  const NativeKey key = key_of(BP_KEY_POSIX, "locked");
  SharedMemory sut = SharedMemory::open(key, {.which = Which::kNew, .size = 10}).value();
  SharedMemory other = SharedMemory::open(key_of(BP_KEY_POSIX, "other"), {.size = 10}).value();
  {
    const ProcessLock lock = sut.lock().value();
    for (uint64_t size = 1 << 16; size <= 1 << 26; size *= 4) {
      sut.grow(size).or_throw();
      sut.data().back() = std::byte{1};
      const ProcessLock second = other.lock().value();
    }
  }
  EXPECT_TRUE(sut.lock().is_ok());
  EXPECT_EQ(in_child([&] {
              SharedMemory again = SharedMemory::attach(key).value();
              const ProcessLock lock = again.lock().value();
              again.grow(1 << 27).or_throw();
              raise(SIGKILL);
              return 0;
            }),
            -1);
  ProcessLock lock = sut.lock().value();
  EXPECT_TRUE(lock.owner_died());
  lock.repaired();
  sut.refresh().or_throw();
  EXPECT_EQ(sut.size(), 1u << 27);
}

TEST(ASegmentOfPosix, IsNotWhatElseHasItsName) {
  const NativeKey key = key_of(BP_KEY_POSIX, "else");
  const std::string path = "/dev/shm" + key.name();
  const auto code_of = [&](bool read_only) {
    return SharedMemory::attach(key, read_only).status().code();
  };
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(code_of(false), BP_DATA_LOSS);
  EXPECT_EQ(code_of(true), BP_DATA_LOSS);
  unlink(path.c_str());
  ASSERT_EQ(symlink("/dev/null", path.c_str()), 0);
  EXPECT_EQ(code_of(false), BP_DATA_LOSS);
  unlink(path.c_str());
  ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
  EXPECT_EQ(code_of(false), BP_DATA_LOSS);
  rmdir(path.c_str());
}

TEST(ASegmentOfPosix, OfAnotherUserIsOpenedOnlyIfItsOwnerIsTrusted) {
  if (getuid() != 0) {
    GTEST_SKIP() << "needs root, who can become another user";
  }
  const NativeKey key = key_of(BP_KEY_POSIX, "planted");
  EXPECT_TRUE(as_nobody([&] {
    return SharedMemory::open(key, {.size = 10, .permissions = 0666, .kept = true}).is_ok();
  }));
  EXPECT_EQ(SharedMemory::attach(key).status().code(), BP_PERMISSION_DENIED);
  EXPECT_TRUE(SharedMemory::open(key, {.which = Which::kExisting, .trust_owner = true}).is_ok());
  EXPECT_TRUE(SharedMemory::open(key, {.which = Which::kExisting, .plain = true}).is_ok());
  SharedMemory::remove(key).or_throw();
}

/// A child with a /dev/shm of its own, of so many bytes.
template <class Body>
int in_small_shm(const char* bytes, Body body) {
  return in_child([&] {
    const bool is_own = unshare(CLONE_NEWNS) == 0 &&
                        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                        mount("shm", "/dev/shm", "tmpfs", 0, concat("size=", bytes).c_str()) == 0;
    return is_own ? body() : 77;
  });
}

TEST(ASegmentOfPosix, ThatThereIsNoSpaceForIsRefusedWhenItIsMade) {
  const NativeKey key = key_of(BP_KEY_POSIX, "full");
  const int code = in_small_shm("1m", [&] {
    const Status status = SharedMemory::open(key, {.size = 2 << 20}).status();
    SharedMemory small = SharedMemory::open(key, {.size = 1 << 19}).value();
    const Status grown = small.grow(2 << 20);
    std::fill(small.data().begin(), small.data().end(), std::byte{1});
    return status.code() == BP_RESOURCE_EXHAUSTED && grown.code() == BP_RESOURCE_EXHAUSTED &&
                   small.size() == 1 << 19
               ? 0
               : 1;
  });
  if (code == 77) {
    GTEST_SKIP() << "needs a mount namespace";
  }
  EXPECT_EQ(code, 0);
}

TEST(ASegmentOfPosix, IsMadeByOneOfManyWhereThereIsSpaceForOne) {
  const NativeKey key = key_of(BP_KEY_POSIX, "makers");
  const int code = in_small_shm("8m", [&] {
    for (int i = 0; i < 3; ++i) {
      if (fork() == 0) {
        for (int j = 0; j < 50; ++j) {
          const auto opened = SharedMemory::open(key, {.size = 5 << 20});
          if (!opened) {
            std::cerr << "open " << j << ": " << opened.status().to_string() << std::endl;
            _exit(1);
          }
        }
        _exit(0);
      }
    }
    int failed = 0;
    for (int i = 0, status = 0; i < 3; ++i) {
      wait(&status);
      failed += status == 0 ? 0 : 1;
    }
    return failed;
  });
  if (code == 77) {
    GTEST_SKIP() << "needs a mount namespace";
  }
  EXPECT_EQ(code, 0);
}

TEST(ASegmentOfPosix, GrowsForAll) {
  const NativeKey key = key_of(BP_KEY_POSIX, "grown");
  SharedMemory sut = SharedMemory::open(key, {.which = Which::kNew, .size = 10}).value();
  SharedMemory other = SharedMemory::attach(key).value();
  put(sut, "one");
  sut.grow(1 << 20).or_throw();
  EXPECT_EQ(sut.size(), 1u << 20);
  EXPECT_EQ(text_of(sut, 3), "one");
  sut.data().back() = std::byte{7};
  EXPECT_EQ(other.size(), 10u);
  other.refresh().or_throw();
  EXPECT_EQ(other.size(), 1u << 20);
  EXPECT_EQ(other.const_data().back(), std::byte{7});
  sut.grow(5).or_throw();
  EXPECT_EQ(sut.size(), 1u << 20);
  EXPECT_EQ(sut.grow(uint64_t{1} << 50).code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(sut.size(), 1u << 20);
  EXPECT_EQ(SharedMemory::attach(key, true).value().grow(2 << 20).code(), BP_FAILED_PRECONDITION);
}

TEST(ASegmentOfPosix, ThatWasCutIsTold) {
  const NativeKey key = key_of(BP_KEY_POSIX, "cut");
  const std::string path = "/dev/shm" + key.name();
  SharedMemory sut = SharedMemory::open(key, {.which = Which::kNew, .size = 10'000}).value();
  for (const off_t size : {8000, 4096, 10, 0}) {
    ASSERT_EQ(truncate(path.c_str(), size), 0);
    const Status status = sut.refresh();
    EXPECT_EQ(status.code(), BP_DATA_LOSS) << size;
    EXPECT_THAT(status.message(), HasSubstr("was cut"));
    EXPECT_EQ(SharedMemory::attach(key).status().code(), BP_DATA_LOSS) << size;
  }
}

TEST(ASegmentOfPosix, WithAHeaderThatWasWrittenOverIsTold) {
  const NativeKey key = key_of(BP_KEY_POSIX, "damaged");
  SharedMemory sut = SharedMemory::open(key, {.which = Which::kNew, .size = 100}).value();
  const int file = open(("/dev/shm" + key.name()).c_str(), O_RDWR | O_CLOEXEC);
  const auto put_number = [&](off_t at, uint64_t number) {
    EXPECT_EQ(pwrite(file, &number, sizeof number, at), ssize_t{sizeof number});
  };
  for (const uint64_t size : {uint64_t{0}, uint64_t{101}, ~uint64_t{0}, ~uint64_t{0} - 4095}) {
    put_number(16, size);
    EXPECT_EQ(SharedMemory::attach(key).status().code(), BP_DATA_LOSS) << size;
  }
  put_number(16, 100);
  EXPECT_TRUE(SharedMemory::attach(key).is_ok());
  put_number(0, 1);
  EXPECT_EQ(SharedMemory::attach(key).status().code(), BP_DATA_LOSS);
  close(file);
  SharedMemory::remove(key).or_throw();
}

TEST(ASegmentOfPosix, HasHugePagesWhereTheSystemGivesThem) {
  const NativeKey key = key_of(BP_KEY_POSIX, "huge");
  SharedMemory sut =
      SharedMemory::open(key, {.which = Which::kNew, .size = 4 << 20, .huge_pages = true}).value();
  std::fill(sut.data().begin(), sut.data().end(), std::byte{1});
}

TEST(AnAnonymousSegment, IsGivenAwayByItsDescriptor) {
  const NativeKey key("line1", BP_KEY_ANONYMOUS);
  SharedMemory sut = SharedMemory::open(key, {.size = 100}).value();
  put(sut, "one");
  const int descriptor = sut.descriptor().value();
  EXPECT_EQ(in_child([&] {
              SharedMemory other = SharedMemory::adopt(descriptor, {}).value();
              put(other, text_of(other, 3) == "one" ? "two" : "no!");
              return other.size() == 100 ? 0 : 1;
            }),
            0);
  EXPECT_EQ(text_of(sut, 3), "two");
  close(descriptor);
  EXPECT_EQ(SharedMemory::remove(key).code(), BP_UNIMPLEMENTED);
}

TEST(AnAnonymousSegment, IsNeverCut) {
  SharedMemory sut = SharedMemory::open(NativeKey("a", BP_KEY_ANONYMOUS), {.size = 8192}).value();
  const int descriptor = sut.descriptor().value();
  EXPECT_EQ(ftruncate(descriptor, 10), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE), -1) << "nor anything else";
  SharedMemory other = SharedMemory::adopt(descriptor, {}).value();
  sut.grow(100'000).or_throw();
  other.refresh().or_throw();
  EXPECT_EQ(other.size(), 100'000u);
  close(descriptor);
}

TEST(AnAnonymousSegment, MayHaveAFixedSize) {
  SharedMemory sut =
      SharedMemory::open(NativeKey("a", BP_KEY_ANONYMOUS), {.size = 10, .fixed = true}).value();
  EXPECT_EQ(sut.grow(20).code(), BP_UNIMPLEMENTED);
  const int descriptor = sut.descriptor().value();
  EXPECT_EQ(ftruncate(descriptor, 10'000), -1);
  close(descriptor);
}

TEST(AnAnonymousSegment, MayHaveOneWriter) {
  SharedMemory sut =
      SharedMemory::open(NativeKey("a", BP_KEY_ANONYMOUS), {.size = 10, .one_writer = true})
          .value();
  const int descriptor = sut.descriptor().value();
  EXPECT_EQ(SharedMemory::adopt(descriptor, {}).status().code(), BP_PERMISSION_DENIED);
  SharedMemory reader = SharedMemory::adopt(descriptor, {.read_only = true}).value();
  put(sut, "one");
  EXPECT_EQ(text_of(reader, 3), "one");
  sut.grow(100'000).or_throw();
  sut.data().back() = std::byte{7};
  reader.refresh().or_throw();
  EXPECT_EQ(reader.const_data().back(), std::byte{7});
  close(descriptor);
}

TEST(AnAnonymousSegment, IsNotAnyDescriptor) {
  const test::ScratchFolder folder;
  const int file = open(folder.write("file", std::string(10'000, 'x')).c_str(), O_RDWR | O_CLOEXEC);
  const Status status = SharedMemory::adopt(file, {}).status();
  EXPECT_EQ(status.code(), BP_FAILED_PRECONDITION);
  EXPECT_THAT(status.message(), HasSubstr("F_SEAL_SHRINK"));
  close(file);
  EXPECT_EQ(SharedMemory::adopt(file, {}).status().code(), BP_INVALID_ARGUMENT);
  const int foreign = memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(ftruncate(foreign, 8192), 0);
  EXPECT_EQ(SharedMemory::adopt(foreign, {}).status().code(), BP_FAILED_PRECONDITION);
  ASSERT_EQ(fcntl(foreign, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_EQ(SharedMemory::adopt(foreign, {}).status().code(), BP_DATA_LOSS);
  EXPECT_EQ(SharedMemory::adopt(foreign, {.plain = true}).value().size(), 8192u);
  close(foreign);
}

TEST(AnAnonymousSegment, HasHugePagesOrSaysThatThereAreNone) {
  const auto sut =
      SharedMemory::open(NativeKey("a", BP_KEY_ANONYMOUS), {.size = 10, .huge_pages = true});
  EXPECT_TRUE(sut.is_ok() || sut.status().code() == BP_RESOURCE_EXHAUSTED)
      << sut.status().to_string();
}

TEST(ASegmentsKey, IsOneThatTheSystemTakes_SM9) {
  const auto code_of = [](const NativeKey& key) {
    return SharedMemory::open(key, {.size = 1}).status().code();
  };
  EXPECT_EQ(code_of(NativeKey("")), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("/")), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("/..")), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("/a/b")), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("/" + std::string(256, 'a'))), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code_of(NativeKey("a", BP_KEY_WINDOWS)), BP_UNIMPLEMENTED);
  EXPECT_EQ(code_of(NativeKey("/no/such/folder/a", BP_KEY_SYSTEM_V)), BP_NOT_FOUND);
  EXPECT_EQ(code_of(NativeKey("/bp-test-" + std::string(246, 'a'))), BP_OK);
  EXPECT_EQ(code_of(NativeKey(std::string(250, 'a'), BP_KEY_ANONYMOUS)), BP_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace backplane
