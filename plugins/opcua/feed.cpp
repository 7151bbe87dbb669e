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

Feed::Feed(const Host& host, const FeedCounters& counters, Op op, uint64_t number, size_t sources)
    : host_(host), op_(op), counters_(counters), policy_(policy_of(op)), sources_(sources) {
  op->impl[0] = number;
}

void Feed::take_first() noexcept {
  latest_.erase(waiting_.front().source);
  bytes_ -= waiting_.front().bytes;
  waiting_.pop_front();
}

void Feed::drop_first(const Counter& reason) noexcept {
  take_first();
  reason.add();
}

void Feed::append(Waiting message) {
  bytes_ += message.bytes;
  waiting_.push_back(std::move(message));
}

/// False: none of its source waits.
bool Feed::renew(Waiting& message) {
  const auto at = latest_.find(message.source);
  if (at == latest_.end()) {
    return false;
  }
  Waiting& before = *at->second;
  message.message.set_seq(before.message.view().raw().seq);
  message.message.set_flags(message.message.view().raw().flags |
                            (before.message.view().raw().flags & BP_M_INITIAL));
  bytes_ += message.bytes - before.bytes;
  before = std::move(message);
  counters_.latest.add();
  return true;
}

/// As many as there is credit for.
Status Feed::give_some(std::span<const bp_message> messages, std::span<const size_t> sources) {
  Status status;
  for (size_t i = 0; i < messages.size() && !status.is_error(); ++i) {
    const bool may_go = messages.size() > 1 && waiting_.empty();
    status = may_go ? host_.deliver(op_, messages[i]) : Status::pending();
    if (status.is_pending()) {
      status = keep(messages[i], sources[i]);
    }
  }
  return status;
}

Status Feed::keep(MessageView message, size_t source) {
  const size_t bytes = sizeof(Waiting) + detail::tree_size(message.raw()).bytes;
  const size_t more = sources_ - std::min<size_t>(sources_, 1);
  const auto is_full = [&] {
    return waiting_.size() >= kMostMessages + more ||
           (!waiting_.empty() && bytes_ + bytes > kMostBytes + more * kBytesOfSource);
  };
  switch (policy_) {
    case BP_OVERFLOW_LATEST:
      if (Waiting last{OwnedMessage(message), bytes, source}; !renew(last)) {
        append(std::move(last));
        latest_[source] = &waiting_.back();
      }
      return go_on();
    case BP_OVERFLOW_DROP_OLDEST:
      while (is_full()) drop_first(counters_.oldest);
      break;
    default:
      if (is_full()) {
        counters_.overflow.add();
        return policy_ == BP_OVERFLOW_BLOCK
                   ? Status::ok()
                   : Status(BP_RESOURCE_EXHAUSTED, "the watcher was too slow: more than ",
                            kMostMessages + more, " messages or ",
                            kMostBytes + more * kBytesOfSource,
                            " bytes waited; grant more credit or choose another overflow policy");
      }
      break;
  }
  append({OwnedMessage(message), bytes, source});
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
    take_first();
  }
  waits.store(0, std::memory_order_seq_cst);
  return Status::ok();
}

void Feed::end(const Status& status) noexcept {
  while (!waiting_.empty()) drop_first(counters_.ended);
  host_.complete(op_, status);
}

}  // namespace backplane::opcua
