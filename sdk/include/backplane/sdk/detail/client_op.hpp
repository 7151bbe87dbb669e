// SPDX-License-Identifier: Apache-2.0
// ClientOp: the kernel's part of a caller's operation: made, filled, submitted, its result taken.
// Its three children wait for the completion each in their way.
#pragma once

#include "../loop.hpp"

#include <condition_variable>
#include <coroutine>
#include <mutex>

namespace backplane {

class Endpoint;

namespace detail {

/// What an operation without a value gives is a Status.
template <class T>
using Outcome = std::conditional_t<std::is_void_v<T>, Status, Result<T>>;

/// Points into a message.
template <class T>
inline constexpr bool kBorrows =
    std::is_same_v<T, std::string_view> || std::is_same_v<T, std::span<const std::byte>> ||
    std::is_base_of_v<bp_value, T> || std::is_same_v<T, MessageView>;

/// What a ClientOp is to do; `verb` 0 opens `address`.
struct ClientRequest {
  uint16_t verb = 0;
  uint16_t flags = 0;
  bp_ref target = 0;
  std::string_view address{};
  std::optional<std::chrono::nanoseconds> timeout{};
};

class ClientOp {
 public:
  explicit ClientOp(const Host& host) noexcept : host_(host), op_(services().op_new(host.raw())) {}
  ClientOp(const ClientOp&) = delete;
  ClientOp& operator=(const ClientOp&) = delete;

  /// `in` stays valid until completion. completed() runs only if this returns true: pending.
  bool start(const ClientRequest& request, const bp_message& in) noexcept {
    if (op_ == nullptr) {
      code_ = BP_RESOURCE_EXHAUSTED;
      return false;
    }
    op_->verb = request.verb;
    op_->flags = request.flags;
    op_->credit = UINT32_MAX;
    op_->deadline_ns = request.timeout ? monotonic_after(*request.timeout) : 0;
    op_->target = request.target;
    op_->in = &in;
    op_->scratch = scratch_;
    op_->scratch_len = sizeof scratch_;
    op_->error = &error_;
    op_->sink = &kSink;
    op_->user = this;
    op_->done = [](bp_op* op) {
      auto* self = static_cast<ClientOp*>(op->user);
      self->code_ = op->status;
      self->completed();
    };
    // From here on, while it is pending, only completed() may touch this.
    const bp_status status = request.verb == 0
                                 ? services().open(host_.raw(), to_str(request.address), &in, op_)
                                 : services().submit(host_.raw(), op_);
    if (status == BP_PENDING) {
      return true;
    }
    code_ = status;
    return false;
  }

  /// Once, after completion.
  template <class T>
  Outcome<T> take() {
    static_assert(!kBorrows<T>,
                  "the result ends with the operation: take std::string, "
                  "std::vector or OwnedMessage, which own what they have");
    if (code_ < 0) {
      return Status::from(code_, error_);
    }
    if constexpr (std::is_same_v<T, std::vector<OwnedMessage>>) {
      return std::move(entries_);
    } else if constexpr (std::is_same_v<T, OwnedMessage>) {
      return OwnedMessage(MessageView(op_->out));
    } else if constexpr (std::is_void_v<T>) {
      return Status::ok();
    } else if constexpr (std::is_same_v<T, Endpoint>) {
      return T(host_, op_->out.body.as.u);
    } else {
      return ValueView(op_->out.body).template as_result<T>();
    }
  }

 protected:
  const Host& host() const noexcept { return host_; }
  ~ClientOp() {
    if (op_ != nullptr) {
      static_cast<void>(Buffer::adopt(op_->out.owner));  // whatever the outcome was
      services().op_free(host_.raw(), op_);
    }
  }

 private:
  virtual void completed() noexcept = 0;

  const bp_endpoint_service& services() const noexcept { return host_.services().endpoint; }
  static bp_status next(bp_op* op, const bp_message* messages, uint32_t n) noexcept {
    auto* self = static_cast<ClientOp*>(op->user);
    return boundary(nullptr, [&] {
      for (uint32_t i = 0; i < n; ++i) {
        self->entries_.emplace_back(MessageView(messages[i]));
      }
    });
  }
  static constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, &next};

  const Host& host_;
  bp_op* op_;
  bp_status code_ = BP_OK;
  bp_error error_{};
  std::vector<OwnedMessage> entries_;  // of a browse
  alignas(16) std::byte scratch_[256];
};

class BlockingOp final : public ClientOp {
 public:
  using ClientOp::ClientOp;
  void run(const ClientRequest& request, const bp_message& in) {
    if (start(request, in)) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return done_; });
    }
  }

 private:
  void completed() noexcept override {
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_one();  // under the lock, because this is gone as soon as the other wakes
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
};

template <class T, class Callback>
class DetachedOp final : public ClientOp {
 public:
  DetachedOp(const Host& host, OwnedMessage in, Callback callback)
      : ClientOp(host), in_(std::move(in)), callback_(std::move(callback)) {}
  void run(const ClientRequest& request) {
    if (!start(request, in_.view().raw())) {
      completed();
    }
  }

 private:
  void completed() noexcept override {
    const std::unique_ptr<DetachedOp> self(this);
    boundary([this] { callback_(this->template take<T>()); },
             [this](const Status& failed) noexcept { log_failure(this->host(), failed); });
  }
  const OwnedMessage in_;
  Callback callback_;
};

/// What `co_await` works with. The coroutine goes on in the thread that completes the operation; at
/// once when it is complete.
template <class T>
class AwaitedOp final : public ClientOp {
 public:
  AwaitedOp(const Host& host, const ClientRequest& request, const bp_message& in) noexcept
      : ClientOp(host), request_(request), in_(in) {}
  bool await_ready() noexcept { return !start(request_, in_); }
  bool await_suspend(std::coroutine_handle<> coroutine) noexcept {
    void* expected = nullptr;
    return waiting_.compare_exchange_strong(expected, coroutine.address(),
                                            std::memory_order_acq_rel);
  }
  Outcome<T> take_outcome() { return this->template take<T>(); }
  auto await_resume() {
    if constexpr (std::is_void_v<T>) {
      this->template take<T>().or_throw();
    } else {
      return this->template take<T>().value();
    }
  }

 private:
  void completed() noexcept override {
    if (void* const coroutine = waiting_.exchange(this, std::memory_order_acq_rel)) {
      std::coroutine_handle<>::from_address(coroutine).resume();
    }
  }
  const ClientRequest request_;
  const bp_message& in_;
  std::atomic<void*> waiting_{nullptr};  // the coroutine; this: completed
};

/// The same, giving the outcome instead of throwing.
template <class T>
struct AwaitedOutcome {
  AwaitedOp<T> op;
  bool await_ready() noexcept { return op.await_ready(); }
  bool await_suspend(std::coroutine_handle<> coroutine) noexcept {
    return op.await_suspend(coroutine);
  }
  Outcome<T> await_resume() { return op.take_outcome(); }
};

}  // namespace detail
}  // namespace backplane
