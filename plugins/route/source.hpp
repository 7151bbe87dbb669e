// SPDX-License-Identifier: Apache-2.0
// The watched end of a route: opens, watches, watches again; credit and acknowledgement.
#pragma once

#include "link.hpp"
#include "options.hpp"

namespace backplane::route {

/// Inside the turn only, but for its own callbacks.
class Source {
 public:
  /// `taken` gets each message, borrowed for the call, with the number of the watch that it came
  /// from.
  Source(Core& core, const SourceOptions& options, std::chrono::nanoseconds retry_max,
         std::function<void(MessageView, uint64_t watch)> taken);
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  void open() { link_.open(); }
  /// At most `room` messages may come besides those that have come; nothing: any number. Before
  /// open(), and whenever it has changed.
  void set_room(std::optional<uint64_t> room);
  /// The message is taken care of; nothing happens when its watch is over.
  void settle(uint64_t watch, uint64_t seq);
  /// Ends the watch, for good. What it has and nobody has settled is the endpoint's again.
  void stop();
  bool has_stopped() const noexcept { return is_stopping_ && !is_watching_; }
  void close() { link_.close(); }
  bool is_closed() const noexcept { return link_.is_idle(); }
  /// When closed: gives back its operations.
  void release() noexcept {
    op_.reset();
    link_.release();
  }

  bool is_watching() const noexcept { return is_watching_; }
  /// Whether the present watch is acknowledged.
  bool acknowledges() const noexcept { return acknowledges_; }
  const Link& link() const noexcept { return link_; }

 private:
  static bp_status next(bp_op* op, const bp_message* messages, uint32_t n) noexcept;
  void take(std::span<const bp_message> messages);
  void watch();
  void ended(bp_status status);

  static constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0, &Source::next};

  Core& core_;
  const OwnedMessage asked_;
  const std::function<void(MessageView, uint64_t)> taken_;
  bool acknowledges_ = false;  // the present watch
  bool is_watching_ = false;
  bool is_stopping_ = false;
  uint64_t watch_ = 0;  // their count
  std::optional<uint64_t> room_ = 0;
  uint64_t credit_ = 0;  // granted and not used, if room is limited
  const Counter lost_;
  UniqueOp op_;
  Link link_;
};

}  // namespace backplane::route
