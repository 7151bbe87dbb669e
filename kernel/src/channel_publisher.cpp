// SPDX-License-Identifier: Apache-2.0
#include "channel_publisher.hpp"

#include "error.hpp"
#include "futex.hpp"
#include "kill_point.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <sched.h>

namespace backplane::kernel {
namespace {

constexpr int kRounds = 100;    // over all slots, for one that is free
constexpr int kTurns = 10'000;  // of others, for one of this; more than that is no contest
constexpr std::int64_t kBetweenLooks = 1'000'000;
constexpr auto kReleased = std::memory_order_release;

}  // namespace

bp_status ChannelPublisher::open(std::shared_ptr<Channel> channel, const char* what,
                                 std::unique_ptr<ChannelPublisher>& out, bp_error* error) {
  std::unique_ptr<ChannelPublisher> made(new ChannelPublisher(std::move(channel)));
  const bp_status status = made->place_.take(0, made->channel_.shape().publishers, what, error);
  if (status < 0) return status;
  made->slot_ = made->claim_any();
  made->next_ = made->claim_any();
  out = std::move(made);
  return BP_OK;
}

bp_status ChannelPublisher::loan(std::uint64_t size, void*& out, bp_error* error) {
  if (size > channel_.shape().sample_size) {
    return set_error(error, BP_OUT_OF_RANGE,
                     "a sample of " + std::to_string(size) + " bytes: the channel " +
                         channel_.segment().name() + " has room for " +
                         std::to_string(channel_.shape().sample_size));
  }
  if (slot_ == kNone && (slot_ = claim_any()) == kNone) return channel_.damaged(error);
  loaned_ = size;
  out = size <= ChannelSlot::kInline ? small_ : channel_.bytes_of(slot_);
  return BP_OK;
}

bp_status ChannelPublisher::publish(std::uint64_t size, std::int64_t deadline_ns, bp_error* error) {
  if (loaned_ == kNothing) {
    return set_error(error, BP_FAILED_PRECONDITION, "nothing is loaned that could be published");
  }
  if (size > loaned_) {
    return set_error(error, BP_OUT_OF_RANGE,
                     std::to_string(size) + " bytes of a loan of " + std::to_string(loaned_));
  }
  ChannelMemory& memory = channel_.memory();
  ChannelSlot& slot = channel_.slot(slot_);
  describe(slot, size);
  for (int i = 0; i < kTurns; ++i) {
    std::uint64_t sequence = memory.head;
    std::atomic<std::uint64_t>& word = channel_.word_at(sequence);
    std::uint64_t before = word;
    if (ChannelMemory::turn_of(before) >= channel_.turn(sequence)) {
      // Who published that is late, or was killed.
      memory.head.compare_exchange_strong(sequence, sequence + 1);
      continue;
    }
    if (channel_.is_lossless() && !has_room(sequence)) {
      i = 0;
      if (wait_for_room(sequence, deadline_ns)) continue;
      return set_error(error, BP_DEADLINE_EXCEEDED,
                       "a subscriber of " + channel_.segment().name() + " is " +
                           std::to_string(channel_.shape().capacity) + " samples behind");
    }
    slot.position.store((sequence + 1) * 2, kReleased);
    kill_point("positioned");
    if (!word.compare_exchange_strong(before, channel_.word(sequence, slot_))) continue;
    kill_point("published");
    slot.position.store((sequence + 1) * 2 + 1, kReleased);
    kill_point("told");
    memory.head.compare_exchange_strong(sequence, sequence + 1);
    kill_point("counted");
    channel_.ring_bell();
    kill_point("rang");
    settle(ChannelMemory::slot_of(before));
    return BP_OK;
  }
  return channel_.damaged(error);
}

bp_status ChannelPublisher::publish_beside(std::span<const std::byte> bytes, bp_error* error) {
  const std::uint64_t loaned = loaned_;
  std::array<std::byte, ChannelSlot::kInline> small;
  std::copy(std::begin(small_), std::end(small_), small.begin());
  std::swap(slot_, next_);  // and back by what follows each publication
  void* memory = nullptr;
  bp_status status = loan(bytes.size(), memory, error);
  if (status == BP_OK) {
    std::memcpy(memory, bytes.data(), bytes.size());
    status = publish(bytes.size(), kPast, error);
  }
  if (status < 0) std::swap(slot_, next_);
  loaned_ = loaned;
  std::copy(small.begin(), small.end(), small_);
  return status;
}

// What is in its head. A subscriber may be reading what was there.
void ChannelPublisher::describe(ChannelSlot& slot, std::uint64_t size) const noexcept {
  const bool is_inline = loaned_ <= ChannelSlot::kInline;
  slot.size.store(static_cast<std::uint32_t>(size), kReleased);
  slot.next.store(static_cast<std::uint16_t>(next_), kReleased);
  slot.is_inline.store(is_inline ? 1 : 0, kReleased);
  if (!is_inline) return;
  for (std::uint32_t i = 0; i * sizeof(std::uint64_t) < size; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, small_ + i * sizeof word, sizeof word);
    slot.words[i].store(word, kReleased);
    kill_point("written");
  }
}

// After a publication: what it replaced is likely free.
void ChannelPublisher::settle(std::uint32_t replaced) noexcept {
  if (last_ != kNone) channel_.slot(last_).holders &= ~place_.bit();
  kill_point("dropped");
  last_ = slot_;
  slot_ = next_;
  loaned_ = kNothing;
  next_ = replaced < channel_.n_slots() && claim(replaced) ? replaced : claim_any();
}

bool ChannelPublisher::is_in_ring(std::uint32_t slot) const noexcept {
  const std::uint64_t position = channel_.slot(slot).position / 2;
  return position != 0 && channel_.word_at(position - 1) == channel_.word(position - 1, slot);
}

// True: it is this publisher's to write. It was nobody's, and it is not in the ring; if it was
// there until now, then who has it set their bit before it left.
bool ChannelPublisher::claim(std::uint32_t slot) noexcept {
  ChannelSlot& claimed = channel_.slot(slot);
  if (claimed.holders.load(std::memory_order_relaxed) != 0 || is_in_ring(slot)) return false;
  kill_point("free");
  std::uint64_t nobody = 0;
  if (!claimed.holders.compare_exchange_strong(nobody, place_.bit())) return false;
  kill_point("claimed");
  if (is_in_ring(slot) || claimed.holders != place_.bit()) {
    claimed.holders &= ~place_.bit();
    return false;
  }
  claimed.position.store(0, kReleased);
  return true;
}

std::uint32_t ChannelPublisher::claim_any() noexcept {
  const std::uint32_t n = channel_.n_slots();
  for (int round = 0; round < kRounds; ++round) {
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t slot = search_;
      search_ = search_ + 1 == n ? 0 : search_ + 1;
      if (claim(slot)) return slot;
    }
    ::sched_yield();  // somebody has one for an instant only
  }
  return kNone;
}

// Whether each subscriber has received what this sequence would overwrite. Cursors only grow, so
// that a look is good until somebody joins.
bool ChannelPublisher::has_room(std::uint64_t sequence) noexcept {
  const std::uint32_t joins = channel_.memory().joins;
  if (joins != joins_ || sequence >= room_end_) {
    std::uint64_t least = ChannelMemory::kNotJoined;
    for (std::uint32_t i = channel_.shape().publishers; i < channel_.n_places(); ++i) {
      least = std::min<std::uint64_t>(least, channel_.place(i).cursor);
    }
    const std::uint64_t capacity = channel_.shape().capacity;
    room_end_ = least < UINT64_MAX - capacity ? least + capacity : UINT64_MAX;
    joins_ = joins;
  }
  return sequence < room_end_;
}

// False: not until the deadline. It is woken when there is room for several (Channel::give_room); a
// subscriber that stops before that has made some, too.
bool ChannelPublisher::wait_for_room(std::uint64_t sequence, std::int64_t deadline_ns) noexcept {
  ChannelMemory& memory = channel_.memory();
  const std::uint32_t before = memory.room;
  ++memory.blocked.waits;
  kill_point("blocked");
  if (has_room(sequence)) return true;
  const std::int64_t now = monotonic_now();
  if (deadline_ns != 0 && now >= deadline_ns) return false;
  const std::int64_t look = now + kBetweenLooks;
  futex_wait(reinterpret_cast<const std::uint32_t*>(&memory.room), before,
             deadline_ns == 0 ? look : std::min(look, deadline_ns));
  return true;
}

}  // namespace backplane::kernel
