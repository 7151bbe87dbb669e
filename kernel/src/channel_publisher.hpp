// SPDX-License-Identifier: Apache-2.0
// One publisher of a channel (backplane/channel.h).
#pragma once

#include "channel.hpp"

#include <span>

namespace backplane::kernel {

class ChannelPublisher {
 public:
  // `what` publishers are, for errors.
  static bp_status open(std::shared_ptr<Channel> channel, const char* what,
                        std::unique_ptr<ChannelPublisher>& out, bp_error* error);

  bp_status loan(std::uint64_t size, void*& out, bp_error* error);
  bp_status publish(std::uint64_t size, std::int64_t deadline_ns, bp_error* error);

  // Publishes a copy of these, which fit into a slot's head, without waiting; what is loaned stays.
  bp_status publish_beside(std::span<const std::byte> bytes, bp_error* error);

  bool is_of_this_process() const noexcept { return place_.is_of_this_process(); }

 private:
  explicit ChannelPublisher(std::shared_ptr<Channel> channel)
      : place_(std::move(channel)), channel_(place_.channel()) {}

  bool claim(std::uint32_t slot) noexcept;
  std::uint32_t claim_any() noexcept;
  bool is_in_ring(std::uint32_t slot) const noexcept;
  void describe(ChannelSlot& slot, std::uint64_t size) const noexcept;
  bool has_room(std::uint64_t sequence) noexcept;
  bool wait_for_room(std::uint64_t sequence, std::int64_t deadline_ns) noexcept;
  void settle(std::uint32_t replaced) noexcept;

  static constexpr std::uint32_t kNone = ChannelSlot::kNone;
  static constexpr std::uint64_t kNothing = UINT64_MAX;

  ChannelPlace place_;
  const Channel& channel_;

  // The publisher's bit is in these. That of what was published last stays until the next: to take
  // it away at once would take its line from those that read it just then.
  std::uint32_t last_ = kNone;
  std::uint32_t slot_ = kNone;  // what is loaned
  std::uint32_t next_ = kNone;  // told in advance, so that subscribers look there

  std::uint64_t loaned_ = kNothing;  // bytes
  alignas(ChannelSlot::kInlineAlignment) std::byte small_[ChannelSlot::kInline];
  std::uint32_t search_ = 0;

  // Of a lossless channel: there is room below, unless somebody has joined since.
  std::uint64_t room_end_ = 0;
  std::uint32_t joins_ = UINT32_MAX;
};

}  // namespace backplane::kernel
