// SPDX-License-Identifier: Apache-2.0
// The kernel's event loop: one thread that runs tasks, timers and descriptors (bp.executor/1).
#pragma once

#include "backplane/base.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace backplane::kernel {

// Design notes. A descriptor is registered with epoll once, level-triggered, and stays registered:
// a wake costs one epoll_wait and nothing else (docs/adr/0005-event-loop.md). A registration is
// known by its number, which epoll gives back, so that an event which was fetched before its
// descriptor was removed finds nothing. Nothing is called with mutex_ held.
class Executor {
 public:
  Executor();
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Starts the loop thread; before that, what is posted waits.
  void start();
  // Runs what is posted, then ends the loop; timers and descriptors are dropped. False: a task has
  // not returned within the time; the loop and all that its tasks may touch must then stay.
  // Idempotent.
  bool stop(std::chrono::nanoseconds timeout) noexcept;
  [[nodiscard]] bool running() const noexcept { return thread_.joinable(); }

  // Waits until every task that was posted or running before this call has returned. False: not
  // within the time. Not on the loop.
  bool settle(std::chrono::nanoseconds timeout) noexcept;

  using Run = void (*)(void* user);
  using RunFd = void (*)(void* user, std::uint32_t events);
  // Who registered it, for remove_all_of.
  using Owner = const void*;

  // See bp_executor_service. Any thread.
  bp_status post(Run run, void* user) noexcept;
  bp_status at(Owner owner, std::int64_t time_ns, Run run, void* user, std::uint64_t* id) noexcept;
  bp_status watch_fd(Owner owner, std::int32_t fd, std::uint32_t events, RunFd run, void* user,
                     std::uint64_t* id) noexcept;
  bp_status change_fd(std::uint64_t id, std::uint32_t events) noexcept;
  bp_status remove(std::uint64_t id) noexcept;
  [[nodiscard]] bool on_loop() const noexcept;

  // Removes what an owner has left registered, and says how much that was. Any thread.
  struct Left {
    std::size_t timers = 0;
    std::size_t descriptors = 0;
  };
  Left remove_all_of(Owner owner) noexcept;

 private:
  struct Task {
    Run run;
    void* user;
  };
  struct Registration {
    Owner owner;
    void* user;
    Run run;       // of a timer, else NULL
    RunFd run_fd;  // of a descriptor, else NULL
    std::int64_t time_ns;
    std::int32_t fd;
    std::uint32_t events;
  };
  using Registrations = std::unordered_map<std::uint64_t, Registration>;

  void loop();
  // What the loop does next: runs running_tasks_, waits for what comes, or ends.
  enum class Next { tasks, sleep, end };
  Next take_tasks();
  void run_timers();
  void run_descriptor(std::uint64_t id, std::uint32_t epoll_events);
  void wake() noexcept;

  // With mutex_ held.
  std::uint64_t add(const Registration& registration);
  void erase(Registrations::iterator registration) noexcept;
  bp_status set_events(Registrations::iterator descriptor, std::uint32_t events) noexcept;
  void arm_timer() noexcept;

  const int poller_;
  const int waker_;
  const int timer_;
  std::thread thread_;
  std::atomic<bool> asleep_{false};  // in epoll_wait without a timeout
  std::vector<Task> running_tasks_;  // the loop's own
  // The registration that runs now: set with mutex_ held, so that remove() finds it registered or
  // running; cleared without, after the run.
  std::atomic<std::uint64_t> running_{0};

  std::mutex mutex_;
  std::condition_variable ended_changed_;
  bool ending_ = false;  // guarded by mutex_, like what follows
  bool ended_ = false;
  std::vector<Task> tasks_;
  Registrations registrations_;
  std::set<std::pair<std::int64_t, std::uint64_t>> due_;  // time and number of each timer
  std::int64_t armed_for_ = INT64_MAX;                    // what timer_ is set to
  std::uint64_t next_id_;
};

// The monotonic clock in nanoseconds, as deadlines use it.
std::int64_t monotonic_now() noexcept;

}  // namespace backplane::kernel
