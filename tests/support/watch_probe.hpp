// SPDX-License-Identifier: Apache-2.0
// WatchProbe: a consumer of a WATCH that remembers what it got, grants credit and acknowledges as
// the test says.
#pragma once

#include "backplane/sdk/host.hpp"

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

namespace backplane::test {

class WatchProbe {
 public:
  struct Options {
    uint32_t credit = UINT32_MAX;
    std::optional<uint32_t> overflow;
    bool ack = false;
    /// Called for each message; its status is what `next` returns.
    std::function<Status(WatchProbe&, MessageView)> on_message;
    uint16_t verb = BP_V_WATCH;
    bool keep = true;  // false: messages are only counted, which allocates nothing
    std::optional<ValueView> options = {};  // BP_H_OPTIONS
  };

  WatchProbe(const Host& host, bp_ref target, Options options)
      : host_(host), options_(std::move(options)) {
    if (options_.overflow) request_.header(BP_H_OVERFLOW, *options_.overflow);
    if (options_.options) request_.header(BP_H_OPTIONS, *options_.options);
    op_ = service().op_new(host_.raw());
    op_->verb = options_.verb;
    op_->flags = options_.ack ? BP_OP_ACK : uint16_t{0};
    op_->credit = options_.credit;
    op_->target = target;
    op_->in = &request_.view();
    op_->error = &error_;
    op_->sink = &kSink;
    op_->user = this;
    op_->done = [](bp_op* op) { of(op).done_.store(true, std::memory_order_release); };
    const bp_status status = service().submit(host_.raw(), op_);
    if (status != BP_PENDING) done_ = true;
  }
  WatchProbe(const WatchProbe&) = delete;
  WatchProbe& operator=(const WatchProbe&) = delete;
  ~WatchProbe() {
    cancel();
    while (!done()) std::this_thread::yield();
    service().op_free(host_.raw(), op_);
  }

  void cancel() { service().cancel(host_.raw(), op_); }
  void credit(uint32_t n) { service().credit(host_.raw(), op_, n); }
  void ack(uint64_t seq, bp_status status = BP_OK) { service().ack(host_.raw(), op_, seq, status); }

  bool done() const { return done_.load(std::memory_order_acquire); }
  /// Once done.
  Status outcome() const { return Status::from(op_->status, error_); }
  std::vector<OwnedMessage> messages() {
    const std::lock_guard lock(mutex_);
    return messages_;
  }
  /// The bodies, as integers.
  std::vector<int> values() {
    std::vector<int> out;
    for (const OwnedMessage& message : messages()) out.push_back(message.as<int>().value());
    return out;
  }
  size_t count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  static WatchProbe& of(bp_op* op) { return *static_cast<WatchProbe*>(op->user); }
  static bp_status next(bp_op* op, const bp_message* messages, uint32_t n) {
    WatchProbe& self = of(op);
    EXPECT_FALSE(self.inside_.exchange(true)) << "two deliveries to one operation at once";
    Status status;
    for (uint32_t i = 0; i < n && status.is_ok(); ++i) {
      {
        const std::lock_guard lock(self.mutex_);
        ++self.count_;
        if (self.options_.keep) self.messages_.emplace_back(MessageView(messages[i]));
      }
      if (self.options_.on_message) status = self.options_.on_message(self, messages[i]);
    }
    self.inside_ = false;
    return status.code();
  }
  static constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, &next};
  const bp_endpoint_service& service() const { return host_.services().endpoint; }

  const Host& host_;
  const Options options_;
  MessageBuilder request_;
  bp_op* op_ = nullptr;
  bp_error error_{};
  std::atomic<bool> done_{false};
  std::atomic<bool> inside_{false};
  std::mutex mutex_;
  std::vector<OwnedMessage> messages_;
  size_t count_ = 0;
};

}  // namespace backplane::test
