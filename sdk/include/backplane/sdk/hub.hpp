// SPDX-License-Identifier: Apache-2.0
// Hub: one source, many WATCH operations: credit, bounded queues, overflow policy, initial value,
// joined acknowledgements.
//
// Design notes.
// - A watcher with credit and an empty queue gets the message inside publish(), on the source's
// thread: no copy, no allocation, no hop.
//   Otherwise the message is kept (shared by all queues) and delivered by whoever comes first: the
//   next publish, or the loop, which credit() and ack() wake; neither delivers itself.
// - `busy` of a watcher says that one thread delivers to it: the delivery is serial, and only that
// thread may end it. Everybody else
//   leaves what they want (more messages, more credit, a final status) in the watcher, and the busy
//   thread finds it when it looks again.
// - Nothing is called while the lock is held. Steps under the lock collect what is to be called in
// an Outbox.
// - complete() may close the endpoint that holds the hub: every entry point keeps the core alive
// until it returns.
// - A message's number (seq) is the source's own if it grows, else one more than the last; dropped
// messages have had theirs.
// - Each message with a `settled` callback has a Join: one part for each watcher with BP_OP_ACK
// that it was meant for, one for the publisher
//   itself while it hands the message out. The last part to be settled calls back.
#pragma once

#include "loop.hpp"

#include <memory>
#include <optional>

namespace backplane {

namespace detail {
class HubCore;
}

struct HubOptions {
  /// The most that waits for one watcher. A single message always fits, however long.
  size_t queue_messages = 1024;
  size_t queue_bytes = size_t{4} << 20;
  /// A new watcher first gets the last message published, marked BP_M_INITIAL.
  bool replay_last = false;
  /// Or, of a source on the loop that has its last message anyway: asked on the loop, no lock held,
  /// when there is a new watcher, who gets nothing before. Only if all is published on the loop.
  /// Nothing: there is none so far. What it throws ends the watch.
  std::function<std::optional<OwnedMessage>()> present = {};
  /// BP_OVERFLOW_* of a watcher that says none. A source whose last message matters, and that
  /// cannot pause, drops the oldest.
  uint32_t default_policy = BP_OVERFLOW_BLOCK;
  /// Names of the options that its endpoint reads of a WATCH (options.hpp), which outlive it: the
  /// hub refuses others.
  std::vector<std::string_view> options = {};
  /// How long a message that a watcher refused (ack < 0) waits until that watcher gets it again,
  /// marked BP_M_REDELIVERED.
  std::chrono::nanoseconds redeliver_after = std::chrono::seconds(1);
  /// publish() had said "pause", and there is room again. On any thread, no lock held; may publish.
  std::function<void()> on_ready = {};
};

/// A handle: copies share one hub, which lives as long as any of them. Needs bp.endpoint/1 and
/// bp.executor/1; the Host outlives it. An endpoint with a hub forwards to it:
///
///     Status watch(Op op) { return hub_.watch(op); }
///     void cancel(Op op) noexcept { hub_.cancel(op); }
///     void credit(Op op, uint32_t n) noexcept { hub_.credit(op, n); }
///     void ack(Op op, uint64_t seq, bp_status status) noexcept { hub_.ack(op, seq, status); }
///
/// What happens to a message for which a watcher's queue has no room is its choice (header
/// BP_H_OVERFLOW; HubOptions::default_policy unless said):
/// - BP_OVERFLOW_BLOCK: publish() says "pause" when the queue is full. A message published
/// regardless is not taken.
/// - BP_OVERFLOW_DROP_OLDEST: the oldest waiting message is dropped.
/// - BP_OVERFLOW_LATEST: one message waits at most, the newest.
/// - BP_OVERFLOW_FAIL: the watch ends with RESOURCE_EXHAUSTED.
/// Every message that a watcher does not get is counted in messages_dropped_total{reason="oldest" |
/// "latest" | "overflow" | "ended"}.
class Hub {
 public:
  /// Told once for each message published with it: OK when every watcher with BP_OP_ACK has
  /// acknowledged it (one that its policy dropped counts as acknowledged; watchers without
  /// BP_OP_ACK are not waited for). UNAVAILABLE at once when nobody watches. RESOURCE_EXHAUSTED: a
  /// full queue did not take it. CANCELLED: a watcher ended before it acknowledged. On any thread,
  /// no lock held, perhaps inside publish().
  using Settled = std::function<void(const Status&)>;

  explicit Hub(const Host& host, HubOptions options = {});

  // ---- the operations' side: as in endpoint.h, any thread ----
  /// PENDING; or the status with which the hub has ended; or INVALID_ARGUMENT for an unknown
  /// policy, or an option that there is not (HubOptions::options). May deliver the initial message.
  Status watch(Op op);
  void cancel(Op op) noexcept;
  void credit(Op op, uint32_t n) noexcept;
  void ack(Op op, uint64_t seq, bp_status status) noexcept;

  // ---- the source's side: any thread; two calls at once are put in some order ----
  /// Gives the message to all watchers. False: pause until on_ready, since a queue with policy
  /// BLOCK is full.
  bool publish(MessageView message, Settled settled = {}) noexcept;
  /// Each watch completes with `status` when it has taken (and acknowledged) what waits for it; new
  /// ones at once.
  void end(const Status& status) noexcept;
  /// Each watch completes with `status` now; what waits is dropped and counted. `stopped` is called
  /// once when no watch is left, perhaps before this returns.
  void stop(const Status& status, std::function<void()> stopped = {}) noexcept;
  /// Whether no queue with policy BLOCK would drop one of so many messages, of `bytes` together
  /// (by size_of()), if they were published now.
  bool has_room(size_t messages, size_t bytes) const noexcept;
  /// What a message takes of a queue's bytes. Throws Error: it cannot be kept.
  static size_t size_of(MessageView message);
  /// With `present`, and none: what changes now needs no message.
  size_t watchers() const noexcept;

 private:
  std::shared_ptr<detail::HubCore> core_;
};

}  // namespace backplane

#include "detail/hub_core.hpp"
