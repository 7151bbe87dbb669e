// SPDX-License-Identifier: Apache-2.0
#include "channel_subscriber.hpp"

#include "error.hpp"
#include "futex.hpp"
#include "kill_point.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

namespace backplane::kernel {
namespace {

constexpr int kTurns = 10'000;  // that a sample is overwritten just as it is looked at
// Who spins looks where the hint says; if it is wrong, the ring tells, whose line is the
// publishers' as long as nobody looks at it.
constexpr int kLooksAtHint = 16;
constexpr int kLooksBeforeClock = 64;
constexpr std::uint64_t kCopied = std::uint64_t{1} << 32U;  // in bp_sample::slot
constexpr auto kAcquired = std::memory_order_acquire;

}  // namespace

bp_status ChannelSubscriber::open(std::shared_ptr<Channel> channel, std::uint32_t history,
                                  std::uint64_t spin_ns, std::unique_ptr<ChannelSubscriber>& out,
                                  bp_error* error) {
  const ChannelShape& shape = channel->shape();
  if (history > shape.capacity - (channel->is_lossless() ? 1 : 0)) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "a history of " + std::to_string(history) + ": the channel " +
                         channel->segment().name() + " remembers " +
                         std::to_string(shape.capacity) +
                         ", of which a lossless one keeps one for the next");
  }
  std::unique_ptr<ChannelSubscriber> made(new ChannelSubscriber(std::move(channel)));
  const bp_status status = made->place_.take(shape.publishers, shape.publishers + shape.subscribers,
                                             "subscribers", error);
  if (status < 0) return status;
  made->spin_ns_ = spin_ns;
  made->copies_.resize(shape.held);
  made->free_copies_.resize(shape.held);
  std::iota(made->free_copies_.begin(), made->free_copies_.end(), 0U);
  made->begin(history);
  out = std::move(made);
  return BP_OK;
}

// Publishers of a lossless channel that did not see its cursor overwrite one sample at most: they
// look again for each. That one is older than the history, which is less than the capacity.
void ChannelSubscriber::begin(std::uint32_t history) noexcept {
  ChannelMemory& memory = channel_.memory();
  std::uint64_t head = memory.head;
  for (int i = 0; i < kTurns; ++i) {
    // Publishers may have seen the cursor of the turn before, and wait for it.
    advance(head - std::min<std::uint64_t>(history, head));
    kill_point("joining");
    joins_ = ++memory.joins;
    const std::uint64_t now = memory.head;
    if (now == head) return;
    head = now;
  }
}

bp_status ChannelSubscriber::receive(std::int64_t deadline_ns, bp_sample& out, bp_error* error) {
  if (n_held_ >= channel_.shape().held) {
    return set_error(error, BP_RESOURCE_EXHAUSTED,
                     std::to_string(n_held_) + " samples are held: release one first");
  }
  const bool may_spin = spin_ns_ != 0 && deadline_ns != kPast;
  for (;;) {
    Found found = may_spin ? spin(deadline_ns, out) : look_at_hint(out);
    if (found == Found::kNothing) found = look_at_ring(out);
    if (found == Found::kYes) return BP_OK;
    if (found == Found::kDamaged) return channel_.damaged(error);
    if (!wait(deadline_ns)) {
      return set_error(error, BP_DEADLINE_EXCEEDED, "no sample came in time");
    }
  }
}

// Whether there is something to look at.
bool ChannelSubscriber::is_there() const noexcept {
  return ChannelMemory::turn_of(channel_.word_at(cursor_)) >= channel_.turn(cursor_);
}

ChannelSubscriber::Found ChannelSubscriber::look_at_hint(bp_sample& out) noexcept {
  const bool is_it = channel_.slot(hint_).position.load(kAcquired) == (cursor_ + 1) * 2 + 1;
  return is_it ? take(hint_, out) : Found::kNothing;
}

ChannelSubscriber::Found ChannelSubscriber::look_at_ring(bp_sample& out) noexcept {
  for (int i = 0; i < kTurns; ++i) {
    const std::uint64_t word = channel_.word_at(cursor_);
    const std::uint64_t turn = channel_.turn(cursor_);
    if (ChannelMemory::turn_of(word) < turn) return Found::kNothing;
    if (ChannelMemory::turn_of(word) > turn) {
      skip_lost();
      continue;
    }
    const std::uint32_t slot = ChannelMemory::slot_of(word);
    if (slot >= channel_.n_slots()) return Found::kDamaged;
    const Found found = take(slot, out);
    if (found != Found::kNothing) return found;
  }
  return Found::kDamaged;
}

// The sample of the cursor, which was there just now. kNothing: not any more.
ChannelSubscriber::Found ChannelSubscriber::take(std::uint32_t slot, bp_sample& out) noexcept {
  const ChannelSlot& head = channel_.slot(slot);
  const std::uint64_t largest = channel_.shape().sample_size;
  const bool is_inline = largest <= ChannelSlot::kInline || head.is_inline.load(kAcquired) != 0;
  if (!(is_inline ? copy(head, out) : hold(slot, out))) return Found::kNothing;
  ++n_held_;
  if (out.size > largest) {
    release(out);
    return Found::kDamaged;
  }
  const std::uint32_t following = head.next.load(std::memory_order_relaxed);
  is_hint_right_ = slot == hint_;
  hint_ = following < channel_.n_slots() ? following : hint_;
  out.sequence = cursor_;
  out.lost = lost_;
  lost_ = 0;
  advance(cursor_ + 1);
  return Found::kYes;
}

// It was not written meanwhile if its position is the same before and after.
bool ChannelSubscriber::copy(const ChannelSlot& slot, bp_sample& out) noexcept {
  const std::uint64_t position = slot.position.load(kAcquired);
  if (position / 2 != cursor_ + 1) return false;
  Copy& copy = copies_[free_copies_.back()];
  out.size = std::min<std::uint64_t>(slot.size.load(kAcquired), ChannelSlot::kInline);
  for (std::uint32_t i = 0; i * sizeof(std::uint64_t) < out.size; ++i) {
    const std::uint64_t word = slot.words[i].load(kAcquired);
    kill_point("copying");
    std::memcpy(copy.bytes + i * sizeof word, &word, sizeof word);
  }
  const std::uint64_t after = slot.position.load(kAcquired);
  if (after / 2 != position / 2) return false;
  copy.is_held = true;
  out.data = copy.bytes;
  out.slot = kCopied | free_copies_.back();
  free_copies_.pop_back();
  return true;
}

// Nobody takes it from who set their bit while it was in the ring.
bool ChannelSubscriber::hold(std::uint32_t slot, bp_sample& out) noexcept {
  ChannelSlot& head = channel_.slot(slot);
  kill_point("found");
  head.holders |= place_.bit();
  kill_point("held");
  if (channel_.word_at(cursor_) != channel_.word(cursor_, slot)) {
    head.holders &= ~place_.bit();
    return false;
  }
  out.size = head.size.load(kAcquired);
  out.data = channel_.bytes_of(slot);
  out.slot = slot;
  return true;
}

bool ChannelSubscriber::release(const bp_sample& sample) noexcept {
  const auto number = static_cast<std::uint32_t>(sample.slot);
  bool was_held = false;
  if ((sample.slot & kCopied) != 0) {
    was_held = number < copies_.size() && std::exchange(copies_[number].is_held, false);
    if (was_held) free_copies_.push_back(number);
  } else if (number < channel_.n_slots()) {
    was_held = (channel_.slot(number).holders.fetch_and(~place_.bit()) & place_.bit()) != 0;
  }
  n_held_ -= was_held && n_held_ != 0 ? 1 : 0;
  return was_held;
}

// The ring has turned over the cursor: to the oldest that is there.
void ChannelSubscriber::skip_lost() noexcept {
  const std::uint64_t capacity = channel_.shape().capacity;
  const std::uint64_t head = channel_.memory().head;
  const std::uint64_t oldest = std::max(cursor_ + 1, head - std::min(head, capacity));
  lost_ += oldest - cursor_;
  advance(oldest);
}

void ChannelSubscriber::advance(std::uint64_t cursor) noexcept {
  cursor_ = cursor;
  if (!channel_.is_lossless()) {
    place_.memory().cursor.store(cursor, std::memory_order_release);
    return;
  }
  place_.memory().cursor = cursor;
  kill_point("advanced");
  channel_.give_room(cursor);
}

ChannelSubscriber::Found ChannelSubscriber::spin(std::int64_t deadline_ns,
                                                 bp_sample& out) noexcept {
  const bool is_endless = spin_ns_ > static_cast<std::uint64_t>(INT64_MAX) / 2;
  std::int64_t end = is_endless && deadline_ns == 0 ? INT64_MAX : 0;  // 0: not known yet
  for (std::uint64_t i = 1;; ++i) {
    const bool is_hint_enough = is_hint_right_ && i % kLooksAtHint != 0;
    const Found found = is_hint_enough ? look_at_hint(out) : look_at_ring(out);
    if (found != Found::kNothing) return found;
    if (i % kLooksBeforeClock == 0 && end != INT64_MAX) {
      const std::int64_t now = monotonic_now();
      if (end == 0) {
        end = is_endless ? INT64_MAX - 1 : now + static_cast<std::int64_t>(spin_ns_);
        if (deadline_ns != 0) end = std::min(end, deadline_ns);
      }
      if (now >= end) return found;
    }
    pause_core();
  }
}

// Sleeps until there may be something. False: there is nothing, and the deadline has passed.
bool ChannelSubscriber::wait(std::int64_t deadline_ns) noexcept {
  ChannelMemory& memory = channel_.memory();
  const bool is_over = deadline_ns == kPast || (deadline_ns != 0 && monotonic_now() >= deadline_ns);
  if (is_over && !socket_.is_open()) return false;
  const std::uint32_t before = memory.bell;
  if (socket_.is_open()) {
    socket_.drain();
    ++place_.memory().polling.waits;
    ++memory.polling.waits;
  }
  if (!is_over) ++memory.sleeping.waits;
  kill_point("waiting");
  if (is_there()) return true;
  if (is_over) return false;
  futex_wait(reinterpret_cast<const std::uint32_t*>(&memory.bell), before, deadline_ns);
  return true;
}

int ChannelSubscriber::descriptor(bp_error* error) {
  if (!socket_.is_open()) {
    if (const int failure = socket_.open(); failure != 0) {
      set_errno_error(error, failure, "no socket to be woken by");
      return -1;
    }
    place_.memory().address = socket_.address();
    wake_itself();  // what is there already is looked at, and found
  }
  return socket_.descriptor();
}

void ChannelSubscriber::wake_itself() noexcept {
  if (socket_.is_open()) WakeSocket::wake(socket_.address());
}

}  // namespace backplane::kernel
