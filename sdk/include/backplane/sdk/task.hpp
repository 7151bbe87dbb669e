// SPDX-License-Identifier: Apache-2.0
// Task<T>: a coroutine that starts when it is awaited; sync_wait() and spawn() to start one from
// outside.
#pragma once

#include "loop.hpp"

#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <mutex>
#include <optional>
#include <utility>

namespace backplane {

template <class T = void>
class Task;

namespace detail {

class TaskPromiseBase {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() const noexcept {
    struct Resume {
      std::coroutine_handle<> next;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<>) const noexcept { return next; }
      void await_resume() const noexcept {}
    };
    return Resume{continuation};
  }
  void unhandled_exception() noexcept { exception = std::current_exception(); }

  std::coroutine_handle<> continuation = std::noop_coroutine();
  std::exception_ptr exception;
};

template <class T>
class TaskPromise final : public TaskPromiseBase {
 public:
  Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T take() {
    if (exception) std::rethrow_exception(exception);
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class TaskPromise<void> final : public TaskPromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const {
    if (exception) std::rethrow_exception(exception);
  }
};

}  // namespace detail

/// Runs on the thread that awaits it, and after a co_await on the thread that completed what it
/// waited for. Owned by whoever holds it.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;

  explicit Task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
    coroutine_.promise().continuation = awaiting;
    return coroutine_;
  }
  T await_resume() const { return coroutine_.promise().take(); }

 private:
  std::coroutine_handle<promise_type> coroutine_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

/// A coroutine that nobody owns: it frees itself at its end.
struct DetachedTask {
  struct promise_type {
    DetachedTask get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept {
      std::terminate();
    }  // what it runs catches everything
  };
};

class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

template <class T>
DetachedTask run_for_waiter(Task<T>& task, std::optional<T>& result, std::exception_ptr& exception,
                            Gate& gate) {
  try {
    result.emplace(co_await task);
  } catch (...) {
    exception = std::current_exception();
  }
  gate.open();
}
inline DetachedTask run_for_waiter(Task<void>& task, std::exception_ptr& exception, Gate& gate) {
  try {
    co_await task;
  } catch (...) {
    exception = std::current_exception();
  }
  gate.open();
}
template <class OnError>
DetachedTask run_detached(Task<void> task, OnError on_error) {
  Status status;
  try {
    co_await task;
  } catch (...) {
    status = current_exception_status();
  }
  if (status.is_error()) {
    boundary(nullptr, [&] { on_error(status); });
  }
}

}  // namespace detail

/// Runs it and blocks until it has ended; its exceptions come out here. On a loop thread of `host`
/// it throws FAILED_PRECONDITION and does not begin.
template <class T>
T sync_wait(const Host& host, Task<T> task) {
  may_block(host).or_throw();
  detail::Gate gate;
  std::exception_ptr exception;
  if constexpr (std::is_void_v<T>) {
    detail::run_for_waiter(task, exception, gate);
    gate.wait();
    if (exception) std::rethrow_exception(exception);
  } else {
    std::optional<T> result;
    detail::run_for_waiter(task, result, exception, gate);
    gate.wait();
    if (exception) std::rethrow_exception(exception);
    return *std::move(result);
  }
}

/// Runs it on its own; `on_error(const Status&)` gets what it throws.
template <class OnError>
void spawn(Task<void> task, OnError on_error) {
  detail::run_detached(std::move(task), std::move(on_error));
}

}  // namespace backplane
