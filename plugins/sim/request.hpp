// SPDX-License-Identifier: Apache-2.0
// Request: one operation of ours, used again and again, one at a time; InFlight: how many are under
// way.
#pragma once

#include <backplane/sdk/unique_op.hpp>

#include <functional>

namespace backplane::sim {

/// Counts what must end before the instance may stop. [any]
class InFlight {
 public:
  /// False: it is stopping, nothing may begin any more.
  [[nodiscard]] bool begin() {
    const std::lock_guard lock(mutex_);
    count_ += stopping_ ? 0 : 1;
    return !stopping_;
  }
  /// Something else that must end, also when it is stopping.
  void hold() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  /// May call what stop() was given; the caller touches nothing of the instance afterwards.
  void end() {
    std::function<void()> stopped;
    {
      const std::lock_guard lock(mutex_);
      if (--count_ == 0 && stopping_) {
        stopped = std::exchange(stopped_, nullptr);
      }
    }
    if (stopped) {
      stopped();
    }
  }
  bool stopping() {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }
  /// Nothing begins any more; `stopped` is called once, when the last one has ended. Called again,
  /// it waits for what was held since.
  void stop(std::function<void()> stopped) {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      stopped_ = std::move(stopped);
      ++count_;
    }
    end();
  }

 private:
  std::mutex mutex_;
  size_t count_ = 0;
  bool stopping_ = false;
  std::function<void()> stopped_;
};

class Request {
 public:
  using Done = std::function<void(const Status&, const bp_message& out)>;
  using Next = std::function<void(MessageView)>;

  /// `done` runs once for each start() that returned true, perhaps inside it, on any thread, as
  /// does `next`, for each message of a watch.
  Request(const Host& host, InFlight& in_flight, Done done, Next next = {})
      : host_(host),
        in_flight_(in_flight),
        done_(std::move(done)),
        next_(std::move(next)),
        op_(host, this, [](bp_op* op) { of(op).finish(op->status); }) {
    op_->sink = &kSink;
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  /// False: it is under way already, or the instance is stopping.
  bool open(std::string_view address) { return begin() && run(op_.open(address)); }
  /// `in` stays valid until `done`.
  bool start(uint16_t verb, bp_ref target, const bp_message* in, int64_t deadline_ns = 0) {
    if (!begin()) {
      return false;
    }
    op_->verb = verb;
    op_->target = target;
    op_->in = in;
    op_->deadline_ns = deadline_ns;
    op_->credit = UINT32_MAX;
    return run(op_.submit());
  }
  bool busy() const noexcept { return busy_; }
  void cancel() noexcept {
    if (busy_) {
      op_.cancel();
    }
  }

 private:
  static Request& of(bp_op* op) noexcept { return *static_cast<Request*>(op->user); }
  static bp_status next(bp_op* op, const bp_message* messages, uint32_t n) noexcept {
    return boundary(nullptr, [&] {
      for (uint32_t i = 0; i < n; ++i) {
        of(op).next_(MessageView(messages[i]));
      }
    });
  }
  static constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, &next};

  bool begin() {
    if (busy_.exchange(true)) {
      return false;
    }
    busy_ = in_flight_.begin();
    return busy_;
  }
  bool run(bp_status status) {
    if (status != BP_PENDING) {
      finish(status);
    }
    return true;
  }
  void finish(bp_status code) noexcept {
    InFlight& in_flight = in_flight_;
    boundary(
        [&] {
          const Status status = op_.status(code);
          const bp_message out = op_->out;
          const Buffer owner = op_.take_owner();
          busy_ = false;
          done_(status, out);
        },
        [this](const Status& failure) {
          host_.log().error("a completion failed", {{"error", failure.message()}});
        });
    in_flight.end();
  }

  const Host& host_;
  InFlight& in_flight_;
  const Done done_;
  const Next next_;
  UniqueOp op_;
  std::atomic<bool> busy_{false};
};

}  // namespace backplane::sim
