// SPDX-License-Identifier: Apache-2.0
#include "life_thread.hpp"

#include "robust_mutex.hpp"
#include "support/in_child.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <deque>
#include <new>
#include <sys/mman.h>

namespace backplane::test {
namespace {

using kernel::RobustMutex;

struct Watched final : kernel::LifeWatched {
  void look() noexcept override {}
};

/// More than the system looks at when a thread ends.
TEST(LifeThread, TellsTheEndOfAsManyAsThereAre) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer ends children that have threads";
#endif
  constexpr size_t kMany = 5000;
  void* const memory = mmap(nullptr, kMany * sizeof(RobustMutex), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* const mutexes = static_cast<RobustMutex*>(memory);
  for (size_t i = 0; i < kMany; ++i) {
    (new (&mutexes[i]) RobustMutex)->init();
  }
  EXPECT_EQ(in_child([&] {
              std::deque<Watched> watched(kMany);
              for (size_t i = 0; i < kMany; ++i) {
                const bool joined = kernel::watch_lives(
                    watched[i], [&] { return mutexes[i].try_lock() == RobustMutex::Locked::kYes; });
                if (!joined) {
                  return 1;
                }
              }
              for (size_t i = 0; i < kMany; i += 2) {
                kernel::unwatch_lives(watched[i], [&] { mutexes[i].unlock(); });
              }
              raise(SIGKILL);
              return 0;
            }),
            -1);
  size_t told = 0;
  for (size_t i = 0; i < kMany; ++i) {
    const RobustMutex::Locked locked = mutexes[i].try_lock();
    EXPECT_EQ(locked, i % 2 == 0 ? RobustMutex::Locked::kYes : RobustMutex::Locked::kOwnerDied);
    told += locked == RobustMutex::Locked::kOwnerDied ? 1 : 0;
    mutexes[i].repaired();
    mutexes[i].unlock();
  }
  EXPECT_EQ(told, kMany / 2);
  munmap(memory, kMany * sizeof(RobustMutex));
}

}  // namespace
}  // namespace backplane::test
