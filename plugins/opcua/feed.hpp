// SPDX-License-Identifier: Apache-2.0
// The messages of one WATCH whose source is the loop.
//
// Design notes.
// - A hub (hub.hpp) is for several watchers and for any thread, and takes its lock for each
//   message. Here is one watcher, and all is the loop's: a message that there is credit for is
//   given as it is, with no lock and no copy.
// - A watch of many sources has one feed, with room for one more message of each: so a first value
//   of each never pushes another out. The policy "latest" keeps the newest of each, in the place
//   and with the number of the one before: so they come in their order, and none waits for ever.
// - What other threads want of it they ask the loop for. The operation's own words (impl) say its
//   number, and whether something waits for credit: so an operation that grants credit all the time
//   asks the loop for nothing while nothing waits.
#pragma once

#include <backplane/sdk/host.hpp>
#include <backplane/sdk/message.hpp>

#include <atomic>
#include <list>
#include <map>
#include <optional>

namespace backplane::opcua {

/// Those of one instance share it.
struct FeedCounters {
  explicit FeedCounters(const Host& host);
  const Counter oldest, latest, overflow, ended;  // messages_dropped_total, by its reason
};

class Feed {
 public:
  /// The most that waits for credit, and how much more for each source. A single message always
  /// fits, however long.
  static constexpr size_t kMostMessages = 1024;
  static constexpr size_t kMostBytes = size_t{4} << 20;
  static constexpr size_t kBytesOfSource = 1024;

  /// `number` is that of no other operation, and not 0. Before the operation is pending. Throws
  /// Error (INVALID_ARGUMENT): an unknown policy (BP_H_OVERFLOW; DROP_OLDEST unless it is said).
  Feed(const Host& host, const FeedCounters& counters, Op op, uint64_t number, size_t sources);
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // ---- any thread, for a pending operation ----
  /// 0: it is not one of these.
  static uint64_t number_of(Op op) noexcept { return op->impl[0]; }
  /// More credit is of use: go_on() is to be called.
  static bool waits(Op op) noexcept {
    return std::atomic_ref(op->impl[1]).load(std::memory_order_seq_cst) != 0;
  }

  // ---- loop ----
  /// Of the next message.
  uint64_t next_seq() noexcept { return ++last_seq_; }
  /// A message of each source. An error: the operation is to end with it. What the policy drops is
  /// counted.
  Status give(std::span<const bp_message> messages, std::span<const size_t> sources) {
    if (waiting_.empty()) {
      Status status = host_.deliver(op_, messages);
      if (!status.is_pending()) {
        return status;
      }
    }
    return give_some(messages, sources);
  }
  /// Gives what waits, as far as the credit goes. An error: likewise.
  Status go_on();
  bool is_empty() const noexcept { return waiting_.empty(); }
  /// Completes the operation, the last that is done with it. What still waits is dropped.
  void end(const Status& status) noexcept;

 private:
  struct Waiting {
    OwnedMessage message;
    size_t bytes;
    size_t source;
  };

  Status give_some(std::span<const bp_message> messages, std::span<const size_t> sources);
  Status keep(MessageView message, size_t source);
  bool renew(Waiting& message);
  void append(Waiting message);
  void take_first() noexcept;
  void drop_first(const Counter& reason) noexcept;

  // What each message needs comes first.
  const Host& host_;
  const Op op_;
  uint64_t last_seq_ = 0;
  std::list<Waiting> waiting_;  // most often empty
  size_t bytes_ = 0;            // of `waiting_`
  const FeedCounters& counters_;
  const uint32_t policy_;
  const size_t sources_;
  std::map<size_t, Waiting*> latest_;  // by the source, with that policy
};

}  // namespace backplane::opcua
