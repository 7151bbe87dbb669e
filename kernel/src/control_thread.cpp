// SPDX-License-Identifier: Apache-2.0
#include "control_thread.hpp"

#include <future>
#include <pthread.h>
#include <utility>

namespace backplane::kernel {

ControlThread::ControlThread() : thread_([this] { work(); }) {}

ControlThread::~ControlThread() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void ControlThread::post(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void ControlThread::run(const std::function<void()>& job) {
  if (std::this_thread::get_id() == thread_.get_id()) {
    job();
    return;
  }
  std::packaged_task<void()> task(job);
  std::future<void> done = task.get_future();
  post([&task] { task(); });
  done.get();
}

void ControlThread::work() {
  pthread_setname_np(pthread_self(), "bp-control");
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

}  // namespace backplane::kernel
