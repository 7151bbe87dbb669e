// SPDX-License-Identifier: Apache-2.0
// The kernel's event loop on Boost.Asio, and the registrations that plugins make on it
// (bp.executor/1).
#pragma once

#include "backplane/base.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace backplane::kernel {

class Executor {
 public:
  Executor();
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Starts loop threads; before that, posted tasks wait.
  void start(std::uint32_t threads);
  // Runs what is ready, then ends the loop threads. False: a task has not returned within the time;
  // the loop and all that its tasks may touch must then stay. Idempotent.
  bool stop(std::chrono::nanoseconds timeout) noexcept;
  [[nodiscard]] bool running() const noexcept { return !threads_.empty(); }

  // Waits until every task that was posted or running before this call has returned. False: not
  // within the time. Not on a loop thread.
  bool settle(std::chrono::nanoseconds timeout) noexcept;

  using Run = void (*)(void* user);
  using RunFd = void (*)(void* user, std::uint32_t events);

  bp_status post(Run run, void* user) noexcept;
  // Once, later, without an id: for the kernel itself.
  bp_status after(std::chrono::nanoseconds delay, Run run, void* user) noexcept;
  bp_status at(std::int64_t time_ns, Run run, void* user, std::uint64_t* id) noexcept;
  bp_status watch_fd(std::int32_t fd, std::uint32_t events, RunFd run, void* user,
                     std::uint64_t* id) noexcept;
  bp_status change_fd(std::uint64_t id, std::uint32_t events) noexcept;
  bp_status remove(std::uint64_t id) noexcept;
  [[nodiscard]] bool on_loop() const noexcept;

 private:
  struct Loop;  // Boost.Asio stays in the source file: it is slow to compile
  struct Timer;
  struct Descriptor;
  struct Registration;

  std::uint64_t add(std::shared_ptr<Registration> registration);
  void forget(std::uint64_t id) noexcept;

  std::unique_ptr<Loop> loop_;
  std::vector<std::thread> threads_;
  std::mutex ended_mutex_;
  std::condition_variable ended_;
  std::size_t ended_threads_ = 0;  // guarded by ended_mutex_

  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Registration>>
      registrations_;          // guarded by mutex_
  std::uint64_t next_id_ = 1;  // guarded by mutex_
};

// The monotonic clock in nanoseconds, as deadlines use it.
std::int64_t monotonic_now() noexcept;

}  // namespace backplane::kernel
