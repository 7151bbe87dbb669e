// SPDX-License-Identifier: Apache-2.0
// What the segment of a channel holds (docs/channels.md has it as a drawing):
//
//     ChannelMemory | ring: `capacity` words | slots: their heads | the slots' memory
//
// Other processes write all of it at any time, and may be killed between any two instructions.
#pragma once

#include "robust_mutex.hpp"

#include <atomic>

namespace backplane::kernel {

struct ChannelShape {
  std::uint64_t sample_size = 0;
  std::uint32_t capacity = 0;  // a power of two
  std::uint32_t held = 0;
  std::uint32_t publishers = 0;
  std::uint32_t subscribers = 0;
  std::uint32_t flags = 0;  // BP_CHANNEL_LOSSLESS
  std::uint32_t permissions = 0;
  std::uint64_t response_size = 0;  // of a channel of requests (request.hpp), with its head
};

// The head of a slot: one line of the cache, in which small samples are, too.
struct alignas(64) ChannelSlot {
  static constexpr std::uint32_t kWords = 5;
  static constexpr std::uint64_t kInline = kWords * sizeof(std::uint64_t);
  static constexpr std::uint16_t kNone = 0xffff;
  static constexpr std::size_t kInlineAlignment = 32;  // of what users see of it

  // A bit for each place that has it: the publisher's from before it writes there until after it
  // is in the ring, a subscriber's while it reads. Who sets the first bit may write, if it is not
  // in the ring.
  std::atomic<std::uint64_t> holders;
  // (sequence + 1) * 2 where it is put into the ring, and 1 more when it is there; 0: none.
  std::atomic<std::uint64_t> position;
  std::atomic<std::uint32_t> size;
  std::atomic<std::uint16_t> next;  // the slot that its publisher publishes next; a hint
  std::atomic<std::uint16_t> is_inline;
  std::atomic<std::uint64_t> words[kWords];
};
static_assert(sizeof(ChannelSlot) == 64);

// Who waits, and for whom that was told: equal if nobody waits. Who is about to wait counts `waits`
// on, and then looks once more; who wakes reads it before, and writes it to `woken` after. So
// nobody takes a mark away that another would have to see: whoever is stopped or killed in between,
// the next wakes, too.
struct Waiting {
  std::atomic<std::uint32_t> waits;
  std::atomic<std::uint32_t> woken;

  // Calls `wake` if somebody waits.
  template <typename Wake>
  void wake_with(Wake wake) noexcept {
    const std::uint32_t seen = waits;
    if (seen == woken) return;
    wake();
    woken = seen;
  }
};

struct ChannelMemory {
  static constexpr std::uint64_t kMagic = 0x3230'6e68'635f'7062;  // "bp_chn02"
  static constexpr std::uint32_t kMostPlaces = 64;                // a bit of ChannelSlot::holders
  static constexpr std::uint32_t kMostSlots = 0xffff;
  static constexpr std::uint64_t kMostSampleSize = std::uint64_t{1} << 30U;
  static constexpr std::uint64_t kNotJoined = UINT64_MAX;

  struct alignas(64) Place {
    RobustMutex alive;
    std::atomic<std::uint32_t> id;
    Waiting polling;                                // at its socket
    std::atomic<std::uint64_t> address;             // of that (wake_socket.hpp); 0: none
    alignas(64) std::atomic<std::uint64_t> cursor;  // the sequence that it receives next
  };

  std::uint64_t magic;
  ChannelShape shape;

  // How many were published; who published the last, and was killed or is late, may not have
  // counted it: the ring knows.
  alignas(64) std::atomic<std::uint64_t> head;

  // A publisher writes here only if somebody waits.
  alignas(64) Waiting sleeping;  // subscribers, for `bell`
  Waiting polling;               // of all places
  std::atomic<std::uint32_t> bell;
  // Of a lossless channel:
  Waiting blocked;  // publishers, for `room`
  std::atomic<std::uint32_t> room;
  std::atomic<std::uint32_t> joins;   // of subscribers, so far
  std::atomic<std::uint32_t> leaves;  // of all places, so far, however they were left

  Place places[kMostPlaces];  // of publishers, then of subscribers

  // A word of the ring: which turn of the ring it is, from 1 on, and the slot. It is never the same
  // twice within 2^48 turns.
  static constexpr std::uint64_t word(std::uint64_t turn, std::uint32_t slot) noexcept {
    return turn << 16U | slot;
  }
  static constexpr std::uint64_t turn_of(std::uint64_t word) noexcept { return word >> 16U; }
  static constexpr std::uint32_t slot_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word & 0xffff);
  }
};

}  // namespace backplane::kernel
