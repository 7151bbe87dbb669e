// SPDX-License-Identifier: Apache-2.0
#include "feed.hpp"

namespace backplane::opcua {
namespace {

uint32_t policy_of(Op op) {
  const auto policy = op.in().header<uint32_t>(BP_H_OVERFLOW).value_or(BP_OVERFLOW_DROP_OLDEST);
  if (policy > BP_OVERFLOW_FAIL) {
    throw Error(BP_INVALID_ARGUMENT, "unknown overflow policy ", policy,
                ": 0 block, 1 drop_oldest, 2 latest, 3 fail");
  }
  return policy;
}

Counter dropped(const Host& host, std::string_view reason) {
  return host.counter("messages_dropped_total", {{"reason", reason}});
}

}  // namespace

FeedCounters::FeedCounters(const Host& host)
    : oldest(dropped(host, "oldest")),
      latest(dropped(host, "latest")),
      overflow(dropped(host, "overflow")),
      ended(dropped(host, "ended")) {}

Feed::Feed(const Host& host, const FeedCounters& counters, Op op, uint64_t number)
    : host_(host), op_(op), counters_(counters), policy_(policy_of(op)) {
  op->impl[0] = number;
}

void Feed::drop_first(const Counter& reason) noexcept {
  bytes_ -= waiting_.front().bytes;
  waiting_.pop_front();
  reason.add();
}

Status Feed::keep(MessageView message) {
  const size_t bytes = sizeof(Waiting) + detail::tree_size(message.raw()).bytes;
  const auto is_full = [&] {
    return waiting_.size() >= kMostMessages || (!waiting_.empty() && bytes_ + bytes > kMostBytes);
  };
  switch (policy_) {
    case BP_OVERFLOW_LATEST:
      while (!waiting_.empty()) drop_first(counters_.latest);
      break;
    case BP_OVERFLOW_DROP_OLDEST:
      while (is_full()) drop_first(counters_.oldest);
      break;
    default:
      if (is_full()) {
        counters_.overflow.add();
        return policy_ == BP_OVERFLOW_BLOCK
                   ? Status::ok()
                   : Status(BP_RESOURCE_EXHAUSTED, "the watcher was too slow: more than ",
                            kMostMessages, " messages or ", kMostBytes,
                            " bytes waited; grant more credit or choose another overflow policy");
      }
      break;
  }
  waiting_.push_back({OwnedMessage(message), bytes});
  bytes_ += bytes;
  return go_on();
}

Status Feed::go_on() {
  // First: credit that comes from here on is told, what came before is there.
  std::atomic_ref waits(op_->impl[1]);
  waits.store(1, std::memory_order_seq_cst);
  while (!waiting_.empty()) {
    Status status = host_.deliver(op_, waiting_.front().message.view());
    if (status.is_pending()) {
      return Status::ok();
    }
    if (status.is_error()) {
      return status;
    }
    bytes_ -= waiting_.front().bytes;
    waiting_.pop_front();
  }
  waits.store(0, std::memory_order_seq_cst);
  return Status::ok();
}

void Feed::end(const Status& status) noexcept {
  while (!waiting_.empty()) drop_first(counters_.ended);
  host_.complete(op_, status);
}

}  // namespace backplane::opcua
