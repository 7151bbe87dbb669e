// SPDX-License-Identifier: Apache-2.0
// One subscriber of a channel (backplane/channel.h).
#pragma once

#include "channel.hpp"
#include "wake_socket.hpp"

#include <vector>

namespace backplane::kernel {

class ChannelSubscriber {
 public:
  static bp_status open(std::shared_ptr<Channel> channel, std::uint32_t history,
                        std::uint64_t spin_ns, std::unique_ptr<ChannelSubscriber>& out,
                        bp_error* error);

  bp_status receive(std::int64_t deadline_ns, bp_sample& out, bp_error* error);
  // False: it was not held.
  bool release(const bp_sample& sample) noexcept;
  int descriptor(bp_error* error);
  // Makes its descriptor readable: for one that stopped before it found nothing.
  void wake_itself() noexcept;
  // The sequence of what is published next, or a little before it.
  std::uint64_t newest() const noexcept { return channel_.memory().head; }
  std::uint64_t next() const noexcept { return cursor_; }  // that it receives
  // ChannelMemory::joins, since it came.
  std::uint32_t joins() const noexcept { return joins_; }

  bool is_of_this_process() const noexcept { return place_.is_of_this_process(); }

 private:
  explicit ChannelSubscriber(std::shared_ptr<Channel> channel)
      : place_(std::move(channel)), channel_(place_.channel()) {}

  enum class Found { kYes, kNothing, kDamaged };

  void begin(std::uint32_t history) noexcept;
  bool is_there() const noexcept;
  Found look_at_hint(bp_sample& out) noexcept;
  Found look_at_ring(bp_sample& out) noexcept;
  bool copy(const ChannelSlot& slot, bp_sample& out) noexcept;
  bool hold(std::uint32_t slot, bp_sample& out) noexcept;
  Found take(std::uint32_t slot, bp_sample& out) noexcept;
  void skip_lost() noexcept;
  void advance(std::uint64_t cursor) noexcept;
  Found spin(std::int64_t deadline_ns, bp_sample& out) noexcept;
  bool wait(std::int64_t deadline_ns) noexcept;

  ChannelPlace place_;
  const Channel& channel_;
  std::uint64_t cursor_ = 0;  // the sequence that is received next
  std::uint64_t lost_ = 0;    // before it
  std::uint32_t joins_ = 0;
  std::uint32_t hint_ = 0;      // the slot where it will be, perhaps
  bool is_hint_right_ = false;  // it was, of the last
  std::uint32_t n_held_ = 0;
  std::uint64_t spin_ns_ = 0;
  struct alignas(ChannelSlot::kInlineAlignment) Copy {
    std::byte bytes[ChannelSlot::kInline];
    bool is_held = false;
  };
  std::vector<Copy> copies_;  // as many as may be held
  std::vector<std::uint32_t> free_copies_;
  WakeSocket socket_;
};

}  // namespace backplane::kernel
