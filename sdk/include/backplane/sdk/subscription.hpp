// SPDX-License-Identifier: Apache-2.0
// Subscription: a running WATCH of a caller. Registration: a running SERVE. Both end when they are
// destroyed.
#pragma once

#include "loop.hpp"
#include "unique_op.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <thread>

namespace backplane {

namespace detail {

/// An operation that goes on until it is cancelled. Lives until its owner has gone and it has
/// completed.
class alignas(64) LongOp : public std::enable_shared_from_this<LongOp> {
 public:
  /// The status decides as that of `next` does; with BP_OP_ACK it settles the message, unless it is
  /// PENDING.
  using OnMessage = std::function<Status(MessageView)>;
  using OnEnd = std::function<void(const Status&)>;

  LongOp(const Host& host, OwnedMessage in, OnMessage on_message, OnEnd on_end)
      : on_message_(std::move(on_message)),
        host_(host),
        op_(host, this, [](bp_op* op) { of(op).end(op->status); }),
        in_(std::move(in)),
        on_end_(std::move(on_end)) {}
  LongOp(const LongOp&) = delete;
  LongOp& operator=(const LongOp&) = delete;

  /// OK: it runs, or has ended well at once. An error: it was refused, and calls nothing back.
  Status start(uint16_t verb, uint16_t flags, bp_ref target, uint32_t credit) {
    op_->verb = verb;
    op_->flags = flags;
    acknowledges_ = (flags & BP_OP_ACK) != 0;
    op_->target = target;
    op_->credit = credit;
    op_->deadline_ns = 0;
    op_->in = &in_.view().raw();
    op_->scratch = nullptr;
    op_->scratch_len = 0;
    op_->sink = &kSink;
    self_ = shared_from_this();
    const bp_status status = op_.submit();
    if (status < 0) {
      static_cast<void>(op_.take_owner());
      self_.reset();
      return op_.status(status);
    }
    if (status != BP_PENDING) {
      end(status);
    }
    return Status::ok();
  }

  void cancel() noexcept { op_.cancel(); }
  void credit(uint32_t n) noexcept { op_.credit(n); }
  void ack(uint64_t seq, bp_status status) noexcept { op_.ack(seq, status); }

  /// From now on no callback begins, and none runs but one that this is called from. Completes by
  /// itself.
  void close() noexcept {
    gate_.close();
    cancel();
  }
  /// Blocks until it has ended; not on the loop, which may have to end it.
  void wait() noexcept {
    if (on_loop(host_)) {
      return;
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_; });
  }
  /// The final status, or nothing while it runs.
  std::optional<Status> outcome() {
    const std::lock_guard lock(mutex_);
    return ended_ ? std::optional(outcome_) : std::nullopt;
  }
  OwnedMessage trailers() {
    const std::lock_guard lock(mutex_);
    return trailers_;
  }
  std::optional<Status> wait_for(std::chrono::nanoseconds timeout) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point end(
        std::chrono::nanoseconds(monotonic_after(on_loop(host_) ? timeout.zero() : timeout)));
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, end, [this] { return ended_; });
    return ended_ ? std::optional(outcome_) : std::nullopt;
  }

 private:
  static LongOp& of(bp_op* op) noexcept { return *static_cast<LongOp*>(op->user); }

  static bp_status next(bp_op* op, const bp_message* messages, uint32_t n) noexcept {
    return of(op).receive({messages, n});
  }
  bp_status receive(std::span<const bp_message> messages) noexcept {
    if (!gate_.enter()) {
      return BP_CANCELLED;
    }
    const bp_status status = acknowledges_ ? settle(messages) : deliver(messages);
    gate_.leave();
    return status;
  }
  bp_status deliver(std::span<const bp_message> messages) noexcept {
    Status status;
    boundary([&] { status = take(messages); },
             [&](Status failed) noexcept { status = std::move(failed); });
    const bp_status code = status.code();
    if (status.is_error()) {
      refusal_ = std::move(status);
    }
    return code;
  }
  Status take(std::span<const bp_message> messages) {
    for (const bp_message& message : messages) {
      if (gate_.is_closed()) {
        return Status(BP_CANCELLED);
      }
      if (Status status = on_message_(message); status.is_error()) {
        return status;
      }
    }
    return Status::ok();
  }
  bp_status settle(std::span<const bp_message> messages) noexcept {
    for (const bp_message& message : messages) {
      if (gate_.is_closed()) {
        return BP_CANCELLED;
      }
      Status status;
      boundary([&] { status = on_message_(message); },
               [&](Status failed) noexcept {
                 log_failure(host_, failed);  // the source gets no more than its code
                 status = std::move(failed);
               });
      if (!status.is_pending()) {
        ack(message.seq, status.code());
      }
    }
    return BP_OK;
  }
  void end(bp_status status) noexcept {
    const auto self = std::move(self_);
    Status outcome(status);
    OwnedMessage trailers;
    boundary(nullptr, [&] {
      // Whose callback failed knows more than the code that came back.
      outcome = refusal_.is_error() && refusal_.code() == status ? std::move(refusal_)
                                                                 : op_.status(status);
      trailers = OwnedMessage(MessageView(op_->out));
    });
    static_cast<void>(op_.take_owner());
    if (on_end_ && gate_.enter()) {
      boundary([&] { on_end_(outcome); },
               [this](const Status& failed) noexcept { log_failure(host_, failed); });
      gate_.leave();
    }
    const std::lock_guard lock(mutex_);
    outcome_ = std::move(outcome);
    trailers_ = std::move(trailers);
    ended_ = true;
    changed_.notify_all();
  }
  static constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, &next};

  // What each message needs comes first, in one line of the processor's cache.
  const OnMessage on_message_;
  CallGate gate_;              // one at a time: deliveries are serial, and the end comes after them
  bool acknowledges_ = false;  // constant after start()
  const Host& host_;
  UniqueOp op_;
  const OwnedMessage in_;
  const OnEnd on_end_;
  Status refusal_;                // of a callback that does not acknowledge; serial like the calls
  std::shared_ptr<LongOp> self_;  // while it is under way
  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  bool ended_ = false;
  Status outcome_;
  OwnedMessage trailers_;
};

}  // namespace detail

/// Destroying it cancels; its callbacks do not run any more then: a run under way on another thread
/// is waited for, so do not destroy it while holding a lock that the callback takes. Inside the
/// callback it does not wait. Movable; empty when moved from.
class [[nodiscard]] Subscription {
 public:
  Subscription() noexcept = default;
  explicit Subscription(std::shared_ptr<detail::LongOp> op) noexcept : op_(std::move(op)) {}
  Subscription(Subscription&&) noexcept = default;
  Subscription& operator=(Subscription&& other) noexcept {
    close();
    op_ = std::move(other.op_);
    return *this;
  }
  ~Subscription() { close(); }

  /// n more messages may come, where the options gave a limited credit. [any]
  void credit(uint32_t n) const noexcept {
    if (op_) op_->credit(n);
  }
  /// Settles a message whose callback returned PENDING. [any]
  void ack(uint64_t seq, bp_status status) const noexcept {
    if (op_) op_->ack(seq, status);
  }
  /// Asks it to end; outcome() then tells. [any]
  void cancel() const noexcept {
    if (op_) op_->cancel();
  }
  /// The final status once it has ended; of an empty one, nothing. [any]
  std::optional<Status> outcome() const { return op_ ? op_->outcome() : std::nullopt; }
  /// What came with the final status: headers, and the details of an error as body; empty while it
  /// runs. [any]
  OwnedMessage trailers() const { return op_ ? op_->trailers() : OwnedMessage(); }
  /// Blocks until it has ended, or time is over: then nothing. Does not wait on a loop thread.
  std::optional<Status> wait_for(std::chrono::nanoseconds timeout) const {
    return op_ ? op_->wait_for(timeout) : std::nullopt;
  }

 private:
  void close() noexcept {
    if (const auto op = std::move(op_)) {
      op->close();
    }
  }
  std::shared_ptr<detail::LongOp> op_;
};

/// Destroying it withdraws what is served, and blocks until no inbound operation is left: so not in
/// the handler. On a loop thread it cannot wait: what the handler refers to then stays until the
/// operations under way have ended.
class [[nodiscard]] Registration {
 public:
  Registration() noexcept = default;
  Registration(const Host& host, bp_ref handler, std::shared_ptr<detail::LongOp> op) noexcept
      : host_(&host), handler_(handler), serve_(std::move(op)) {}
  Registration(Registration&& other) noexcept
      : host_(other.host_),
        handler_(std::exchange(other.handler_, 0)),
        serve_(std::move(other.serve_)) {}
  Registration& operator=(Registration&& other) noexcept {
    close();
    host_ = other.host_;
    handler_ = std::exchange(other.handler_, 0);
    serve_ = std::move(other.serve_);
    return *this;
  }
  ~Registration() { close(); }

  /// The final status once the server has ended it. [any]
  std::optional<Status> outcome() const { return serve_ ? serve_->outcome() : std::nullopt; }

 private:
  void close() noexcept {
    if (const auto serve = std::move(serve_)) {
      serve->cancel();
      serve->wait();
    }
    if (const bp_ref handler = std::exchange(handler_, 0)) {
      host_->services().endpoint.close(host_->raw(), handler);
    }
  }
  const Host* host_ = nullptr;
  bp_ref handler_ = 0;
  std::shared_ptr<detail::LongOp> serve_;
};

}  // namespace backplane
