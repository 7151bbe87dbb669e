// SPDX-License-Identifier: Apache-2.0
#include "executor.hpp"

#include "backplane/service/executor.h"
#include "error.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <new>
#include <pthread.h>
#include <semaphore>
#include <time.h>

namespace backplane::kernel {
namespace {

namespace asio = boost::asio;

std::chrono::steady_clock::time_point time_point_of(std::int64_t monotonic_ns) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(monotonic_ns));
}

thread_local const Executor* loop_of_this_thread = nullptr;

}  // namespace

std::int64_t monotonic_now() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Executor::Loop {
  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> work{asio::make_work_guard(context)};
};

// What remove() must know. `runner` is the thread that runs it now; removed from inside its own
// run, it just never runs again.
struct Executor::Registration {
  virtual ~Registration() = default;
  virtual void cancel_wait() = 0;

  std::mutex mutex;
  bool removed = false;    // guarded by mutex
  std::thread::id runner;  // guarded by mutex; of the run under way
};

struct Executor::Timer final : Executor::Registration {
  explicit Timer(asio::io_context& context) : timer(context) {}
  void cancel_wait() override {
    boost::system::error_code ignored;
    timer.cancel(ignored);
  }
  asio::steady_timer timer;
};

// Waits on a duplicate of nothing: the descriptor stays its owner's, and is released before Asio
// would close it. Level-triggered: each wait is armed anew after the run, which makes Asio ask the
// kernel again.
struct Executor::Descriptor final : Executor::Registration,
                                    std::enable_shared_from_this<Executor::Descriptor> {
  Descriptor(asio::io_context& context, std::int32_t fd) : descriptor(context, fd) {}
  ~Descriptor() override { release(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void cancel_wait() override { release(); }

  void release() {
    if (descriptor.is_open()) descriptor.release();  // cancels its waits
  }

  // With `mutex` held.
  void arm() {
    if ((events & BP_FD_READ) != 0 && !waiting_read)
      arm(asio::posix::stream_descriptor::wait_read, waiting_read, BP_FD_READ);
    if ((events & BP_FD_WRITE) != 0 && !waiting_write)
      arm(asio::posix::stream_descriptor::wait_write, waiting_write, BP_FD_WRITE);
  }

  void arm(asio::posix::stream_descriptor::wait_type what, bool& waiting, std::uint32_t event) {
    waiting = true;
    descriptor.async_wait(
        what, [self = shared_from_this(), &waiting, event](const boost::system::error_code& error) {
          self->ready(waiting, event, error);
        });
  }

  void ready(bool& waiting, std::uint32_t event, const boost::system::error_code& error) {
    {
      std::unique_lock lock(mutex);
      waiting = false;
      if (removed || error) return;
      if ((events & event) == 0) return;
      if (runner != std::thread::id()) {  // the other direction runs on another thread: after it
        again |= event;
        return;
      }
      runner = std::this_thread::get_id();
    }
    for (;;) {
      run(user, event);
      const std::lock_guard lock(mutex);
      event = again & events;
      again = 0;
      if (removed) {
        runner = {};
        return;
      }
      if (event == 0) {
        runner = {};
        arm();
        return;
      }
    }
  }

  asio::posix::stream_descriptor descriptor;
  RunFd run = nullptr;
  void* user = nullptr;
  std::uint32_t events = 0;  // guarded by mutex, like what follows
  std::uint32_t again = 0;
  bool waiting_read = false;
  bool waiting_write = false;
};

Executor::Executor() : loop_(std::make_unique<Loop>()) {}

Executor::~Executor() { stop(std::chrono::hours(24)); }

void Executor::start(std::uint32_t threads) {
  for (std::uint32_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      pthread_setname_np(pthread_self(), "bp-loop");
      loop_of_this_thread = this;
      loop_->context.run();
      loop_of_this_thread = nullptr;
      const std::lock_guard lock(ended_mutex_);
      ++ended_threads_;
      ended_.notify_all();
    });
  }
}

bool Executor::stop(std::chrono::nanoseconds timeout) noexcept {
  loop_->work.reset();
  {
    const std::lock_guard lock(mutex_);
    for (auto& [id, registration] : registrations_) {
      const std::lock_guard inner(registration->mutex);
      registration->removed = true;
      registration->cancel_wait();
    }
    registrations_.clear();
  }
  {
    std::unique_lock lock(ended_mutex_);
    if (!ended_.wait_for(lock, timeout, [this] { return ended_threads_ == threads_.size(); }))
      return false;
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  ended_threads_ = 0;
  return true;
}

bool Executor::settle(std::chrono::nanoseconds timeout) noexcept {
  const auto reached = std::make_shared<std::binary_semaphore>(0);
  asio::post(loop_->context, [reached] { reached->release(); });
  return reached->try_acquire_for(timeout);
}

bp_status Executor::post(Run run, void* user) noexcept {
  return guarded([&] {
    asio::post(loop_->context, [run, user] { run(user); });
    return BP_OK;
  });
}

bp_status Executor::after(std::chrono::nanoseconds delay, Run run, void* user) noexcept {
  return guarded([&] {
    auto timer = std::make_shared<asio::steady_timer>(loop_->context, delay);
    timer->async_wait([timer, run, user](const boost::system::error_code&) { run(user); });
    return BP_OK;
  });
}

std::uint64_t Executor::add(std::shared_ptr<Registration> registration) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t id = next_id_++;
  registrations_.emplace(id, std::move(registration));
  return id;
}

void Executor::forget(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  registrations_.erase(id);
}

bp_status Executor::at(std::int64_t time_ns, Run run, void* user, std::uint64_t* id) noexcept {
  return guarded([&] {
    auto timer = std::make_shared<Timer>(loop_->context);
    timer->timer.expires_at(time_point_of(time_ns));
    const std::uint64_t new_id = add(timer);
    *id = new_id;  // before it can run
    const std::lock_guard lock(timer->mutex);
    timer->timer.async_wait(
        [this, timer, run, user, new_id](const boost::system::error_code& error) {
          if (error) return;
          {
            const std::lock_guard inner(timer->mutex);
            if (timer->removed) return;
            timer->runner = std::this_thread::get_id();
          }
          run(user);
          {
            const std::lock_guard inner(timer->mutex);
            timer->runner = {};
          }
          forget(new_id);
        });
    return BP_OK;
  });
}

bp_status Executor::watch_fd(std::int32_t fd, std::uint32_t events, RunFd run, void* user,
                             std::uint64_t* id) noexcept {
  return guarded([&] {
    auto descriptor = std::make_shared<Descriptor>(loop_->context, fd);
    descriptor->run = run;
    descriptor->user = user;
    *id = add(descriptor);
    const std::lock_guard lock(descriptor->mutex);
    descriptor->events = events;
    descriptor->arm();
    return BP_OK;
  });
}

bp_status Executor::change_fd(std::uint64_t id, std::uint32_t events) noexcept {
  return guarded([&]() -> bp_status {
    std::shared_ptr<Descriptor> descriptor;
    {
      const std::lock_guard lock(mutex_);
      const auto found = registrations_.find(id);
      if (found == registrations_.end()) return BP_NOT_FOUND;
      descriptor = std::dynamic_pointer_cast<Descriptor>(found->second);
    }
    if (descriptor == nullptr) return BP_INVALID_ARGUMENT;
    const std::lock_guard lock(descriptor->mutex);
    if (descriptor->removed) return BP_NOT_FOUND;
    descriptor->events = events;
    if (descriptor->runner == std::thread::id()) descriptor->arm();
    return BP_OK;
  });
}

bp_status Executor::remove(std::uint64_t id) noexcept {
  return guarded([&]() -> bp_status {
    std::shared_ptr<Registration> registration;
    {
      const std::lock_guard lock(mutex_);
      const auto found = registrations_.find(id);
      if (found == registrations_.end()) return BP_NOT_FOUND;
      registration = found->second;
      registrations_.erase(found);
    }
    const std::lock_guard lock(registration->mutex);
    registration->removed = true;
    registration->cancel_wait();
    const bool elsewhere = registration->runner != std::thread::id() &&
                           registration->runner != std::this_thread::get_id();
    return elsewhere ? BP_PENDING : BP_OK;
  });
}

bool Executor::on_loop() const noexcept { return loop_of_this_thread == this; }

}  // namespace backplane::kernel
