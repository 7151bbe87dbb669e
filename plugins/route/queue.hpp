// SPDX-License-Identifier: Apache-2.0
// What waits for a destination, within its bounds.
#pragma once

#include "accounting.hpp"
#include "item.hpp"
#include "options.hpp"

#include <boost/circular_buffer.hpp>

namespace backplane::route {

class Queue {
 public:
  explicit Queue(const QueueOptions& options) : options_(options) {}

  /// Adds an item. What has to go for it is given to `dropped(Item&, Reason)`, the item itself
  /// never: alone it always fits. Under the policy `block` nothing goes: the source is trusted to
  /// keep to its credit.
  template <class Dropped>
  void push(Item& item, Dropped&& dropped) {
    if (options_.policy == Policy::kLatest && replace(item, dropped)) {
      while (bytes_ > options_.bytes && front() != &item) {
        dropped(*pop(), Reason::kOverflow);
      }
      return;
    }
    while (options_.policy != Policy::kBlock && !items_.empty() && !has_room_for(item)) {
      dropped(*pop(), Reason::kOverflow);
    }
    if (items_.full()) {
      items_.set_capacity(std::max<size_t>(8, 2 * items_.capacity()));
    }
    items_.push_back(&item);
    bytes_ += item.bytes;
  }

  Item* front() const noexcept { return items_.empty() ? nullptr : items_.front(); }
  /// The oldest one; null: empty.
  Item* pop() noexcept {
    Item* const oldest = front();
    if (oldest != nullptr) {
      items_.pop_front();
      bytes_ -= oldest->bytes;
    }
    return oldest;
  }

  size_t size() const noexcept { return items_.size(); }
  size_t bytes() const noexcept { return bytes_; }
  bool limits_source() const noexcept { return options_.policy == Policy::kBlock; }
  /// How many more messages of `each` bytes have room.
  size_t room(size_t each) const noexcept {
    const size_t messages = options_.messages - std::min(options_.messages, items_.size());
    const size_t bytes = options_.bytes - std::min(options_.bytes, bytes_);
    // One always fits into an empty queue.
    return std::min(messages, items_.empty() ? std::max<size_t>(1, bytes / each) : bytes / each);
  }
  size_t capacity() const noexcept { return options_.messages; }

 private:
  bool has_room_for(const Item& item) const noexcept {
    return items_.size() < options_.messages && bytes_ + item.bytes <= options_.bytes;
  }

  /// Puts it in the place of the one with the same path.
  template <class Dropped>
  bool replace(Item& item, Dropped&& dropped) {
    for (Item*& each : items_) {
      if (each->path_hash == item.path_hash && each->path() == item.path()) {
        Item& older = *std::exchange(each, &item);
        bytes_ += item.bytes - older.bytes;
        dropped(older, Reason::kLatest);
        return true;
      }
    }
    return false;
  }

  QueueOptions options_;
  boost::circular_buffer<Item*> items_;
  size_t bytes_ = 0;
};

}  // namespace backplane::route
