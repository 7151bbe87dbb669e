// SPDX-License-Identifier: Apache-2.0
// The kernel's event loop from C++: Wakeup, Timer and FdWatch run a callback on it and may be
// destroyed at any time.
//
// Design notes. Each registration is a block on the heap, shared by its owner and by every run that
// the executor still owes. The executor never sees the owner, so nothing dangles. Callbacks of one
// registration never run twice at once. Destroying the owner on another thread waits for a run that
// is under way; inside its own callback it does not wait. So never destroy one while holding a lock
// that its callback takes. An exception that a callback lets out is logged. All of it needs
// bp.executor/1.
#pragma once

#include "detail/call_gate.hpp"
#include "host.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

namespace backplane {

/// CLOCK_MONOTONIC in nanoseconds, as deadlines and timers use it.
inline int64_t monotonic_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// The monotonic time `delay` from now; the end of time for what lies beyond, now for what is past.
inline int64_t monotonic_after(std::chrono::nanoseconds delay) noexcept {
  const int64_t now = monotonic_ns();
  return now + std::clamp<int64_t>(delay.count(), 0, INT64_MAX - now);
}

/// Whether the calling thread is a thread of the loop. [any]
inline bool on_loop(const Host& host) noexcept {
  return host.services().executor.on_loop(host.raw()) != 0;
}
/// OK where a thread may wait; FAILED_PRECONDITION on the loop, which would wait for itself. [any]
inline Status may_block(const Host& host) {
  return on_loop(host) ? Status(BP_FAILED_PRECONDITION,
                                "a blocking call on the loop would wait for itself: use then(), "
                                "co_await or spawn() there, or another thread")
                       : Status::ok();
}

namespace detail {

inline void log_failure(const Host& host, const Status& status) noexcept {
  boundary(
      [&] {
        host.log().error("a callback failed", {{"error", status.to_string()}});
      },
      [](const Status&) noexcept {});
}

/// What the executor's `user` points to.
template <class... Args>
class LoopBlock {
 public:
  LoopBlock(const Host& host, std::function<void(Args...)> body)
      : host_(host), body_(std::move(body)) {}
  virtual ~LoopBlock() = default;
  LoopBlock(const LoopBlock&) = delete;
  LoopBlock& operator=(const LoopBlock&) = delete;

  void retain() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete this;
    }
  }
  void call(Args... args) noexcept {
    if (!gate_.enter()) {
      return;
    }
    boundary([&] { body_(args...); }, [this](const Status& status) { log_failure(host_, status); });
    gate_.leave();
  }
  /// After it no call begins, and none is under way but one that this is called from.
  void close() noexcept { gate_.close(); }
  const Host& host() const noexcept { return host_; }
  const bp_executor_service& executor() const noexcept { return host_.services().executor; }

 private:
  const Host& host_;
  std::function<void(Args...)> body_;
  std::atomic<uint32_t> owners_{1};
  CallGate gate_;
};

}  // namespace detail

/// Runs `body` once on the loop. Allocates; a Wakeup does not. [any]
inline Status post(const Host& host, std::function<void()> body) {
  auto* block = new detail::LoopBlock<>(host, std::move(body));
  const auto run = [](void* user) noexcept {
    auto* self = static_cast<detail::LoopBlock<>*>(user);
    self->call();
    self->release();
  };
  const bp_status status = host.services().executor.post(host.raw(), run, block);
  if (status < 0) {
    block->release();
    return Status(status, "the loop took no task");
  }
  return Status::ok();
}

/// A callback that is posted again and again without allocating. Posts before its run began are one
/// run.
class Wakeup {
 public:
  Wakeup(const Host& host, std::function<void()> body) : block_(new Block(host, std::move(body))) {}
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;
  ~Wakeup() {
    block_->close();
    block_->release();
  }

  /// RESOURCE_EXHAUSTED: the loop took no task. [any][nb][nr]
  Status post() noexcept {
    if (block_->posted.exchange(true)) {
      return Status::ok();
    }
    block_->retain();
    const bp_status status = block_->executor().post(block_->host().raw(), &Block::run, block_);
    if (status < 0) {
      block_->posted = false;
      block_->release();
    }
    return Status(status);
  }

 private:
  struct Block final : detail::LoopBlock<> {
    using LoopBlock::LoopBlock;
    static void run(void* user) noexcept {
      auto* self = static_cast<Block*>(user);
      self->posted = false;
      self->call();
      self->release();
    }
    std::atomic<bool> posted{false};
  };
  Block* block_;
};

/// Runs its callback once at a time; may be armed again, also inside the callback.
class Timer {
 public:
  Timer(const Host& host, std::function<void()> body) : block_(new Block(host, std::move(body))) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() {
    block_->close();  // first: a body that runs may arm it again
    cancel();
    block_->release();
  }

  /// At a monotonic time; replaces the time that was set before. RESOURCE_EXHAUSTED: no memory.
  /// [any][nb][nr]
  Status at(int64_t time_ns) noexcept {
    const std::lock_guard lock(block_->mutex);
    disarm();
    block_->retain();
    const bp_status status =
        block_->executor().at(block_->host().raw(), time_ns, &Block::run, block_, &block_->id);
    block_->armed = status >= 0;
    if (!block_->armed) {
      block_->release();
    }
    return Status(status);
  }
  Status after(std::chrono::nanoseconds delay) noexcept { return at(monotonic_after(delay)); }
  /// Its callback does not begin any more; one that runs goes on. [any][nb][nr]
  void cancel() noexcept {
    const std::lock_guard lock(block_->mutex);
    disarm();
  }

 private:
  struct Block final : detail::LoopBlock<> {
    using LoopBlock::LoopBlock;
    static void run(void* user) noexcept {
      auto* self = static_cast<Block*>(user);
      bool cancelled = false;
      {
        const std::lock_guard lock(self->mutex);
        cancelled = self->overtaken > 0;
        cancelled ? --self->overtaken : self->armed = false;
      }
      if (!cancelled) {
        self->call();
      }
      self->release();
    }
    std::mutex mutex;
    uint64_t id = 0;
    bool armed = false;      // the run of `id` has not begun
    unsigned overtaken = 0;  // cancelled runs that the executor had begun already
  };

  void disarm() noexcept {
    if (!std::exchange(block_->armed, false)) {
      return;
    }
    if (block_->executor().remove(block_->host().raw(), block_->id) == BP_PENDING) {
      ++block_->overtaken;
    } else {  // also where the kernel has taken it from a stopped instance
      block_->release();
    }
  }

  Block* block_;
};

/// Runs its callback with BP_FD_* whenever the descriptor is ready, until destroyed. The descriptor
/// stays the caller's, and open until then.
class FdWatch {
 public:
  /// Throws Error when the loop does not take it.
  FdWatch(const Host& host, int fd, uint32_t events, std::function<void(uint32_t)> body)
      : block_(new Block(host, std::move(body))) {
    block_->retain();
    const bp_status status =
        block_->executor().watch_fd(host.raw(), fd, events, &Block::run, block_, &id_);
    if (status < 0) {
      block_->release();
      block_->release();
      throw Error(status, "the loop does not watch descriptor ", fd);
    }
  }
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;
  ~FdWatch() {
    block_->close();
    const bp_executor_service& executor = block_->executor();
    if (executor.remove(block_->host().raw(), id_) != BP_PENDING) {
      block_->release();
    } else {
      // The last run has begun or is over, and nobody can tell. Without memory for the task the
      // block stays.
      static_cast<void>(executor.post(block_->host().raw(), &Block::forget, block_));
    }
    block_->release();
  }

  /// What it is watched for from now on; 0 pauses. [any][nb][nr]
  Status change(uint32_t events) noexcept {
    return Status(block_->executor().change_fd(block_->host().raw(), id_, events));
  }

 private:
  struct Block final : detail::LoopBlock<uint32_t> {
    using LoopBlock::LoopBlock;
    static void run(void* user, uint32_t events) noexcept {
      auto* self = static_cast<Block*>(user);
      self->retain();  // the callback may destroy its owner
      self->call(events);
      self->release();
    }
    /// Tasks of one instance never run at once: this one comes after the last run.
    static void forget(void* user) noexcept { static_cast<Block*>(user)->release(); }
  };
  Block* block_;
  uint64_t id_ = 0;
};

}  // namespace backplane
