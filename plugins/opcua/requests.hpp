// SPDX-License-Identifier: Apache-2.0
// Reads, writes and calls that wait for their answer; each is completed once, by whoever comes
// first: the answer, cancel, stop.
#pragma once

#include <backplane/sdk/message.hpp>
#include <backplane/sdk/pending.hpp>

namespace backplane::opcua {

class Requests {
 public:
  /// `host` outlives it.
  Requests(const Host& host, size_t most) : host_(host), most_(most), pending_(host) {}

  uint64_t next_key() noexcept { return ++last_key_; }
  /// PENDING; RESOURCE_EXHAUSTED: there are `max_requests`. [any]
  Status add(uint64_t key, Op op) {
    Status status = pending_.add(key, op);
    if (status.is_pending() && pending_.size() > most_ && pending_.take(key)) {
      return Status(BP_RESOURCE_EXHAUSTED, "there are ", most_,
                    " requests under way already: 'max_requests'");
    }
    return status;
  }
  /// True: the operation is the caller's again, and nobody else completes it. [any]
  bool take_back(uint64_t key) { return pending_.take(key).has_value(); }
  /// The key of what it has cancelled; nothing when that is none of these any more. [any]
  std::optional<uint64_t> cancel(Op op) noexcept {
    std::optional<uint64_t> key;
    boundary(
        [&] {
          if (const auto request = pending_.cancel(op)) {
            key = request->key;
          }
        },
        [](const Status&) noexcept {});
    return key;
  }
  void fail(uint64_t key, const Status& status) {
    if (const auto request = pending_.take(key)) {
      host_.complete(request->op, status);
    }
  }
  void reply(uint64_t key, MessageView message, Status status) {
    if (auto request = pending_.take(key)) {
      if (Status replied = request->op.reply(message); replied.is_error()) {
        status = std::move(replied);
      }
      host_.complete(request->op, status);
    }
  }
  /// `fill(MessageBuilder&)` makes the answer and returns the status; not called when the request
  /// is gone.
  template <class Fill>
  void answer(uint64_t key, Fill fill) {
    auto request = pending_.take(key);
    if (!request) {
      return;
    }
    Status status;
    try {
      MessageBuilder out;
      status = fill(out);
      request->op.reply(MessageView(out)).or_throw();
    } catch (...) {
      status = current_exception_status();
    }
    host_.complete(request->op, status);
  }
  /// Completes all, some of which the server may have, and refuses new ones.
  void close(const Status& status) {
    pending_.complete_all(
        Status(status.code(), status.message(), ": whether it was done is not known"));
    pending_.close(status);
  }

 private:
  const Host& host_;
  const size_t most_;
  std::atomic<uint64_t> last_key_{0};
  Pending<uint64_t> pending_;
};

}  // namespace backplane::opcua
