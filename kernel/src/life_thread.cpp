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

class LifeThread {
 public:
  bool is_of_this_process() const noexcept { return generation_ == fork_generation(); }
  bool is_idle() const noexcept { return first == nullptr; }

  // Runs the job there and waits.
  void run(const std::function<void()>& job) {
    std::unique_lock lock(mutex_);
    if (!thread_.joinable()) start();
    job_ = &job;
    wake_.notify_all();
    wake_.wait(lock, [&] { return job_ == nullptr; });
  }
  void end() {
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

// Never destroyed: in a child made by fork(2) its thread is not there.
LifeThread& life_thread() {
  static std::vector<LifeThread*>* const all = new std::vector<LifeThread*>;
  if (all->empty() || !all->back()->is_of_this_process()) {
    auto made = std::make_unique<LifeThread>();
    all->push_back(made.get());
    static_cast<void>(made.release());
  }
  return *all->back();
}

}  // namespace

bool watch_lives(LifeWatched& watched, const std::function<bool()>& join) {
  LifeThread& thread = life_thread();
  bool joined = false;
  thread.run([&] {
    joined = join();
    if (!joined) return;
    watched.next = thread.first;
    thread.first = &watched;
  });
  if (thread.is_idle()) thread.end();
  return joined;
}

void unwatch_lives(LifeWatched& watched, const std::function<void()>& leave) noexcept {
  LifeThread& thread = life_thread();
  thread.run([&] {
    leave();
    LifeWatched** at = &thread.first;
    while (*at != &watched) at = &(*at)->next;
    *at = watched.next;
  });
  if (thread.is_idle()) thread.end();
}

}  // namespace backplane::kernel
