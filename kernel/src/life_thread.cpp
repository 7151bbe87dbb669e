// SPDX-License-Identifier: Apache-2.0
#include "life_thread.hpp"

#include "process_wide.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
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
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
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
  void work() noexcept {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      if (!wake_.wait_for(lock, kBetweenLooks, [&] { return job_ != nullptr || ending_; })) {
        for (LifeWatched* at = first; at != nullptr; at = at->next) at->look();
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
