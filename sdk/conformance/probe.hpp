// SPDX-License-Identifier: Apache-2.0
// Probe: one operation on the raw ABI, as a caller that remembers all that happens to it.
#pragma once

#include "subject.hpp"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>

namespace backplane::conformance {

class Probe {
 public:
  /// Looks at a message; what it returns is the answer of `next`.
  using OnMessage = std::function<Status(Probe&, MessageView)>;

  /// Its end cancels the operation and waits; one that does not end leaks, as it may still be used.
  struct EndOrLeak {
    void operator()(Probe* probe) const noexcept;
  };
  using Ptr = std::unique_ptr<Probe, EndOrLeak>;

  static Ptr make(const Host& host, uint16_t verb, const Endpoint& target, uint16_t flags = 0) {
    return Ptr(new Probe(host, verb, target.ref(), flags));
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // Before submit().
  void send(MessageView message);
  void deadline_in(std::chrono::nanoseconds time);
  void credit_first(uint32_t n) noexcept { op_->credit = n; }
  void on_message(OnMessage callback) { on_message_ = std::move(callback); }
  void on_done(std::function<void(Probe&)> callback) { on_done_ = std::move(callback); }
  bp_op* raw() noexcept { return op_; }

  /// Starts it; may be used again once it has ended.
  bp_status submit();
  void cancel() { service().cancel(host_.raw(), op_); }
  void credit(uint32_t n) { service().credit(host_.raw(), op_, n); }
  void ack(uint64_t seq, bp_status status) { service().ack(host_.raw(), op_, seq, status); }

  /// True when it has ended within the time.
  bool ends_within(std::chrono::nanoseconds time);
  /// Waits; throws Failure when it does not end.
  Status outcome();
  bool has_ended() const;
  /// What it brought; the probe holds it until the next use.
  MessageView result() const noexcept { return op_->out; }
  /// How often `done` was called, of all uses.
  int completions() const { return completions_.load(); }
  int uses_that_pended() const { return pended_; }

  size_t count() const;
  std::vector<OwnedMessage> messages() const;
  /// Waits until n messages are there; false when they are not within the time.
  bool has_messages(size_t n, std::chrono::nanoseconds time = patience());

 private:
  Probe(const Host& host, uint16_t verb, bp_ref target, uint16_t flags);
  ~Probe();
  void release_result() noexcept;
  static Probe& of(bp_op* op) noexcept { return *static_cast<Probe*>(op->user); }
  static bp_status next(bp_op* op, const bp_message* messages, uint32_t n);
  static void done(bp_op* op);
  const bp_endpoint_service& service() const noexcept { return host_.services().endpoint; }

  const Host& host_;
  bp_error error_{};
  OwnedMessage in_;
  OnMessage on_message_;
  std::function<void(Probe&)> on_done_;
  bp_op* op_;
  std::atomic<int> completions_{0};
  int pended_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = true;  // guarded, like all below
  bp_status status_ = BP_OK;
  bool delivering_ = false;
  std::string wrong_;
  std::vector<OwnedMessage> messages_;
};

}  // namespace backplane::conformance
