// SPDX-License-Identifier: Apache-2.0
#include "life_thread.hpp"

#include "process_wide.hpp"

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <sched.h>
#include <thread>
#include <vector>

namespace backplane::kernel {
namespace {

// Within a second of a death what the dead one held is returned.
constexpr std::chrono::milliseconds kBetweenLooks(250);
constexpr std::uint32_t kMostOfAThread = 1000;

}  // namespace

class LifeThread {
 public:
  bool is_of_this_process() const noexcept { return generation_ == fork_generation(); }

  // Runs the job there and waits.
  void run(const std::function<void()>& job) {
    std::unique_lock lock(mutex_);
    if (!thread_.joinable()) start();
    job_ = &job;
    wake_.notify_all();
    wake_.wait(lock, [&] { return job_ == nullptr; });
  }
  void end_if_idle() {
    if (n_watched != 0) return;
    {
      const std::scoped_lock lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    thread_.join();
    thread_ = std::thread();
    ending_ = false;
  }

  LifeWatched* first = nullptr;  // the thread's; of others while run() waits or has waited
  std::uint32_t n_watched = 0;   // guarded by process_wide()

 private:
  // The application's signals are not for it.
  void start() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread_ = std::thread([this] { work(); });
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  // Who opens first may have a core and a priority of its own, with which this thread would wait
  // for it, or it for this thread.
  static void be_nobody_special() noexcept {
    const sched_param none{};
    pthread_setschedparam(pthread_self(), SCHED_OTHER, &none);
    cpu_set_t all;
    std::memset(&all, 0xff, sizeof all);
    pthread_setaffinity_np(pthread_self(), sizeof all, &all);  // as far as the process may
  }
  void work() noexcept {
    be_nobody_special();
    std::unique_lock lock(mutex_);
    auto next_look = std::chrono::steady_clock::now() + kBetweenLooks;
    while (!ending_) {
      wake_.wait_until(lock, next_look, [&] { return job_ != nullptr || ending_; });
      if (std::chrono::steady_clock::now() >= next_look) {
        for (LifeWatched* at = first; at != nullptr; at = at->next) at->look();
        next_look = std::chrono::steady_clock::now() + kBetweenLooks;
      }
      if (job_ != nullptr) {
        (*job_)();
        job_ = nullptr;
        wake_.notify_all();
      }
    }
  }

  const std::uint32_t generation_ = fork_generation();
  std::mutex mutex_;
  std::condition_variable wake_;
  const std::function<void()>* job_ = nullptr;  // guarded by mutex_
  bool ending_ = false;                         // guarded by mutex_
  std::thread thread_;
};

namespace {

// One with a place. Never destroyed: in a child made by fork(2) its thread is not there.
LifeThread& thread_for_one_more() {
  static std::vector<LifeThread*>* const all = new std::vector<LifeThread*>;
  for (LifeThread* const each : *all) {
    if (each->is_of_this_process() && each->n_watched < kMostOfAThread) return *each;
  }
  auto made = std::make_unique<LifeThread>();
  all->push_back(made.get());
  return *made.release();
}

}  // namespace

bool watch_lives(LifeWatched& watched, const std::function<bool()>& join) {
  const std::scoped_lock lock(process_wide());
  LifeThread& thread = thread_for_one_more();
  thread.run([&] {
    if (!join()) return;
    watched.thread = &thread;
    watched.next = thread.first;
    thread.first = &watched;
    ++thread.n_watched;
  });
  thread.end_if_idle();
  return watched.thread != nullptr;
}

void unwatch_lives(LifeWatched& watched, const std::function<void()>& leave) noexcept {
  const std::scoped_lock lock(process_wide());
  LifeThread& thread = *watched.thread;
  thread.run([&] {
    leave();
    LifeWatched** at = &thread.first;
    while (*at != &watched) at = &(*at)->next;
    *at = watched.next;
    --thread.n_watched;
  });
  thread.end_if_idle();
}

}  // namespace backplane::kernel
