// SPDX-License-Identifier: Apache-2.0
// The thread of everything marked [control]: one call at a time, in order.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace backplane::kernel {

class ControlThread {
 public:
  ControlThread();
  ~ControlThread();  // runs what is queued, then ends
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  void post(std::function<void()> job);
  // Runs the job there and waits for it; on the control thread itself, at once.
  void run(const std::function<void()>& job);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;  // guarded by mutex_
  bool ending_ = false;                     // guarded by mutex_
  std::thread thread_;
};

}  // namespace backplane::kernel
