// SPDX-License-Identifier: Apache-2.0
// A channel as a process has it open (backplane/channel.h). The algorithm is modelled in
// tests/model/channel.pml.
#pragma once

#include "backplane/channel.h"
#include "channel_memory.hpp"
#include "life_thread.hpp"
#include "place.hpp"
#include "shared_memory.hpp"

namespace backplane::kernel {

struct ChannelOptions {
  std::uint32_t which = BP_CHANNEL_EXISTING;
  ChannelShape shape;              // `flags`: what is required
  bool takes_any_shape = false;    // of one that there is: its opener looks at the shape itself
  std::uint32_t memory_flags = 0;  // BP_MEMORY_HUGE_PAGES, BP_MEMORY_TRUST_OWNER
  gid_t group = kNoGroup;          // as of MemoryOptions
};

class Channel {
 public:
  static bp_status open(const NativeKey& key, const ChannelOptions& options,
                        std::shared_ptr<Channel>& out, bp_error* error);
  static bp_status adopt(int descriptor, const ChannelOptions& options,
                         std::shared_ptr<Channel>& out, bp_error* error);

  Channel(std::unique_ptr<SharedMemory> memory, const ChannelShape& shape);

  // As they were when it was opened: what is in the segment may be written by anybody.
  const ChannelShape& shape() const noexcept { return shape_; }
  std::uint32_t n_slots() const noexcept { return n_slots_; }
  std::uint32_t n_places() const noexcept { return shape_.publishers + shape_.subscribers; }
  bool is_lossless() const noexcept { return (shape_.flags & BP_CHANNEL_LOSSLESS) != 0; }

  SharedMemory& segment() const noexcept { return *memory_; }
  ChannelMemory& memory() const noexcept { return *channel_; }
  ChannelMemory::Place& place(std::uint32_t i) const noexcept { return channel_->places[i]; }
  ChannelSlot& slot(std::uint32_t i) const noexcept { return slots_[i]; }
  std::byte* bytes_of(std::uint32_t slot) const noexcept { return bytes_ + slot * stride_; }

  // The word of the ring where a sequence is, was, or will be, and what it is when that is there.
  std::atomic<std::uint64_t>& word_at(std::uint64_t sequence) const noexcept {
    return ring_[sequence & mask_];
  }
  std::uint64_t turn(std::uint64_t sequence) const noexcept { return (sequence >> shift_) + 1; }
  std::uint64_t word(std::uint64_t sequence, std::uint32_t slot) const noexcept {
    return ChannelMemory::word(turn(sequence), slot);
  }

  // Wakes subscribers, if some wait.
  void ring_bell() const noexcept {
    channel_->sleeping.wake_with([this] { ring(channel_->bell); });
    channel_->polling.wake_with([this] { wake_pollers(); });
  }
  // Wakes publishers that wait until the ring is half read: one at a time they would sleep and wake
  // for each sample. A subscriber has as many to read until then.
  void give_room(std::uint64_t cursor) const noexcept {
    if (channel_->head - cursor > shape_.capacity / 2) return;
    channel_->blocked.wake_with([this] { ring(channel_->room); });
  }

  // Frees what the one at that place has. Whose life thread calls it has the place's `alive`.
  void reclaim(std::uint32_t place) const noexcept;

  bool is_of_this_process() const noexcept { return is_fork_generation(generation_); }
  bp_status damaged(bp_error* error) const;
  void get_info(bp_channel_info& out) const noexcept;

 private:
  static void ring(std::atomic<std::uint32_t>& word) noexcept;
  void wake_pollers() const noexcept;

  const std::unique_ptr<SharedMemory> memory_;
  const ChannelShape shape_;
  const std::uint32_t n_slots_;
  const std::uint64_t mask_;
  const int shift_;
  const std::uint64_t stride_;
  ChannelMemory* const channel_;
  std::atomic<std::uint64_t>* const ring_;
  ChannelSlot* const slots_;
  std::byte* const bytes_;
  const std::uint32_t generation_ = fork_generation();
};

// The place of a publisher or a subscriber, by which others see that it lives.
class ChannelPlace final : private LifeWatched {
 public:
  explicit ChannelPlace(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}
  ChannelPlace(const ChannelPlace&) = delete;
  ChannelPlace& operator=(const ChannelPlace&) = delete;
  // Frees what it has.
  ~ChannelPlace() override;

  // Before all else: takes one of those from `from` to `to`. RESOURCE_EXHAUSTED: none is free.
  // FAILED_PRECONDITION: the channel was opened before fork(2).
  bp_status take(std::uint32_t from, std::uint32_t to, const char* what, bp_error* error);

  bool is_of_this_process() const noexcept { return channel_->is_of_this_process(); }
  const Channel& channel() const noexcept { return *channel_; }
  ChannelMemory::Place& memory() const noexcept { return channel_->place(number_); }
  std::uint64_t bit() const noexcept { return std::uint64_t{1} << number_; }

 private:
  void look() noexcept override;
  bool try_take(std::uint32_t from, std::uint32_t to);

  const std::shared_ptr<Channel> channel_;
  std::uint32_t number_ = kNoPlace;
};

}  // namespace backplane::kernel
