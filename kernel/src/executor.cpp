// SPDX-License-Identifier: Apache-2.0
#include "executor.hpp"

#include "backplane/service/executor.h"
#include "error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <pthread.h>
#include <semaphore>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <system_error>
#include <unistd.h>

namespace backplane::kernel {
namespace {

// What epoll calls the loop's own descriptors.
constexpr std::uint64_t kWaker = 0;
constexpr std::uint64_t kTimer = 1;
constexpr std::uint64_t kFirstId = 2;

constexpr std::size_t kBatch = 64;

thread_local const Executor* loop_of_this_thread = nullptr;

int checked(int descriptor, const char* what) {
  if (descriptor < 0) throw std::system_error(errno, std::system_category(), what);
  return descriptor;
}

std::uint32_t epoll_events_of(std::uint32_t events) {
  return ((events & BP_FD_READ) != 0 ? std::uint32_t{EPOLLIN} : 0u) |
         ((events & BP_FD_WRITE) != 0 ? std::uint32_t{EPOLLOUT} : 0u);
}

// A hang-up or an error concerns whoever waits, in either direction.
std::uint32_t events_of(std::uint32_t epoll_events) {
  return ((epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 ? BP_FD_READ : 0u) |
         ((epoll_events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 ? BP_FD_WRITE : 0u);
}

int control(int poller, int change, std::uint64_t id, int descriptor, std::uint32_t epoll_events) {
  epoll_event event{};
  event.events = epoll_events;
  event.data.u64 = id;
  return epoll_ctl(poller, change, descriptor, &event);
}

bp_status status_of_epoll_ctl(int error) {
  switch (error) {
    case EEXIST:
      return BP_ALREADY_EXISTS;
    case ENOMEM:
    case ENOSPC:
      return BP_RESOURCE_EXHAUSTED;
    default:  // closed, or a regular file
      return BP_INVALID_ARGUMENT;
  }
}

}  // namespace

std::int64_t monotonic_now() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// ---------------------------------------------------------------- life

Executor::Executor()
    : poller_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      waker_(checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      timer_(checked(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd")),
      next_id_(kFirstId) {
  // The waker is edge-triggered, and never read: each write is an edge.
  checked(control(poller_, EPOLL_CTL_ADD, kWaker, waker_, EPOLLIN | EPOLLET), "epoll_ctl");
  checked(control(poller_, EPOLL_CTL_ADD, kTimer, timer_, EPOLLIN), "epoll_ctl");
}

Executor::~Executor() {
  stop(std::chrono::hours(24));
  close(timer_);
  close(waker_);
  close(poller_);
}

void Executor::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "bp-loop");
    loop_of_this_thread = this;
    loop();
    const std::lock_guard lock(mutex_);
    ended_ = true;
    ended_changed_.notify_all();
  });
}

bool Executor::stop(std::chrono::nanoseconds timeout) noexcept {
  if (!running()) return true;
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    while (!registrations_.empty()) erase(registrations_.begin());
    wake();
    if (!ended_changed_.wait_for(lock, timeout, [this] { return ended_; })) return false;
  }
  thread_.join();
  return true;
}

bool Executor::settle(std::chrono::nanoseconds timeout) noexcept {
  const auto reached = std::make_shared<std::binary_semaphore>(0);
  auto task = std::make_unique<std::shared_ptr<std::binary_semaphore>>(reached);
  const bp_status posted = post(
      [](void* user) {
        const std::unique_ptr<std::shared_ptr<std::binary_semaphore>> mine(
            static_cast<std::shared_ptr<std::binary_semaphore>*>(user));
        (*mine)->release();
      },
      task.get());
  if (posted != BP_OK) return false;
  static_cast<void>(task.release());  // the task's
  return reached->try_acquire_for(timeout);
}

// ---------------------------------------------------------------- the loop

// Tasks, then descriptors and timers, in turn: what a task posts comes after those. A turn without
// tasks takes the lock once.
void Executor::loop() {
  std::array<epoll_event, kBatch> ready;
  for (Next next = take_tasks();;) {
    if (next == Next::tasks) {
      for (const Task& task : running_tasks_) task.run(task.user);
      running_tasks_.clear();
      next = take_tasks();
    }
    if (next == Next::end) return;
    const int n = epoll_wait(poller_, ready.data(), kBatch, next == Next::sleep ? -1 : 0);
    asleep_.store(false, std::memory_order_relaxed);
    for (int i = 0; i < n; ++i) {
      const epoll_event& event = ready[static_cast<std::size_t>(i)];
      if (event.data.u64 == kTimer) {
        run_timers();
      } else if (event.data.u64 != kWaker) {
        run_descriptor(event.data.u64, event.events);
      }
    }
    if (next == Next::sleep) next = take_tasks();
  }
}

Executor::Next Executor::take_tasks() {
  const std::lock_guard lock(mutex_);
  if (!tasks_.empty()) {
    running_tasks_.swap(tasks_);
    return Next::tasks;
  }
  if (ending_) return Next::end;
  // Who posts from here on holds the lock later than this, and so sees it.
  asleep_.store(true, std::memory_order_relaxed);
  return Next::sleep;
}

void Executor::run_timers() {
  const std::int64_t now = monotonic_now();
  for (;;) {
    Task task{};
    {
      const std::lock_guard lock(mutex_);
      running_.store(0, std::memory_order_release);
      if (due_.empty() || due_.begin()->first > now) {
        arm_timer();
        return;
      }
      const auto first = registrations_.find(due_.begin()->second);
      task = {first->second.run, first->second.user};
      running_.store(first->first, std::memory_order_relaxed);
      erase(first);
    }
    task.run(task.user);
  }
}

void Executor::run_descriptor(std::uint64_t id, std::uint32_t epoll_events) {
  RunFd run = nullptr;
  void* user = nullptr;
  std::uint32_t events = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = registrations_.find(id);
    if (found == registrations_.end()) return;
    events = events_of(epoll_events) & found->second.events;
    if (events == 0) return;
    run = found->second.run_fd;
    user = found->second.user;
    running_.store(id, std::memory_order_relaxed);
  }
  run(user, events);
  running_.store(0, std::memory_order_release);
}

bool Executor::on_loop() const noexcept { return loop_of_this_thread == this; }

// ---------------------------------------------------------------- registering

void Executor::wake() noexcept { eventfd_write(waker_, 1); }

bp_status Executor::post(Run run, void* user) noexcept {
  return guarded([&] {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back({run, user});
    }
    if (asleep_.exchange(false, std::memory_order_relaxed)) wake();
    return BP_OK;
  });
}

std::uint64_t Executor::add(const Registration& registration) {
  const std::uint64_t id = next_id_++;
  registrations_.emplace(id, registration);
  return id;
}

void Executor::erase(Registrations::iterator registration) noexcept {
  const auto& [id, what] = *registration;
  if (what.run != nullptr) {
    due_.erase({what.time_ns, id});  // timer_ stays armed: waking once for nothing is cheaper
  } else {
    set_events(registration, 0);
  }
  registrations_.erase(registration);
}

void Executor::arm_timer() noexcept {
  const std::int64_t first = due_.empty() ? INT64_MAX : due_.begin()->first;
  if (first == armed_for_) return;
  armed_for_ = first;
  itimerspec when{};  // zero disarms
  if (first != INT64_MAX) {
    const std::int64_t time_ns = std::max<std::int64_t>(first, 1);
    when.it_value = {time_ns / 1'000'000'000, time_ns % 1'000'000'000};
  }
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
}

bp_status Executor::at(Owner owner, std::int64_t time_ns, Run run, void* user,
                       std::uint64_t* id) noexcept {
  return guarded([&] {
    const std::lock_guard lock(mutex_);
    *id = add({owner, user, run, nullptr, time_ns, -1, 0});
    try {
      due_.emplace(time_ns, *id);
    } catch (...) {
      registrations_.erase(*id);
      throw;
    }
    arm_timer();
    return BP_OK;
  });
}

bp_status Executor::watch_fd(Owner owner, std::int32_t fd, std::uint32_t events, RunFd run,
                             void* user, std::uint64_t* id) noexcept {
  return guarded([&] {
    const std::lock_guard lock(mutex_);
    *id = add({owner, user, nullptr, run, 0, fd, 0});
    const auto added = registrations_.find(*id);
    const bp_status status = set_events(added, events);
    if (status != BP_OK) registrations_.erase(added);
    return status;
  });
}

bp_status Executor::change_fd(std::uint64_t id, std::uint32_t events) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = registrations_.find(id);
  if (found == registrations_.end()) return BP_NOT_FOUND;
  return found->second.run_fd == nullptr ? BP_INVALID_ARGUMENT : set_events(found, events);
}

// A paused descriptor is not with epoll, which tells of a hang-up whatever one asks for.
bp_status Executor::set_events(Registrations::iterator descriptor, std::uint32_t events) noexcept {
  auto& [id, what] = *descriptor;
  if (events == what.events) return BP_OK;
  const int change = events == 0 ? EPOLL_CTL_DEL : what.events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (control(poller_, change, id, what.fd, epoll_events_of(events)) != 0)
    return status_of_epoll_ctl(errno);
  what.events = events;
  return BP_OK;
}

bp_status Executor::remove(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = registrations_.find(id);
  // 0: whatever ran is over, and what it did is seen by who is told so.
  const bool is_running = id != 0 && id == running_.load(std::memory_order_acquire);
  if (found == registrations_.end() && !is_running) return BP_NOT_FOUND;
  if (found != registrations_.end()) erase(found);
  return is_running && !on_loop() ? BP_PENDING : BP_OK;
}

Executor::Left Executor::remove_all_of(Owner owner) noexcept {
  Left left;
  const std::lock_guard lock(mutex_);
  for (auto next = registrations_.begin(); next != registrations_.end();) {
    const auto registration = next++;
    if (registration->second.owner != owner) continue;
    ++(registration->second.run != nullptr ? left.timers : left.descriptors);
    erase(registration);
  }
  return left;
}

}  // namespace backplane::kernel
