// SPDX-License-Identifier: Apache-2.0
// Arena: memory for trees of values that live as long as a call: a block on the stack first, the
// heap when that is full.
#pragma once

#include "detail/value_copy.hpp"
#include "value.hpp"

#include <algorithm>
#include <memory_resource>

namespace backplane {

/// Builds values whose memory it owns; all are gone with it. Not thread-safe.
///
///     StackArena arena;
///     ValueView body = arena.map({{"name", arena.copy(name)}, {"range", arena.list({1, 2})}});
class Arena {
 public:
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// A deep copy of any value, text and bytes included; descriptors and references stay borrowed.
  /// Throws Error when it is nested deeper than kMaxDepth.
  ValueView copy(ValueView value) {
    if (value.is_scalar()) {
      return value;
    }
    detail::TreeCopy tree(allocate(detail::tree_size(value).bytes));
    return tree.copy(value);
  }
  /// The elements by value; what they point to is borrowed unless copied too.
  ValueView list(std::span<const bp_value> values, uint16_t type = 0) {
    return ValueView::list(store(values), type);
  }
  ValueView list(std::initializer_list<ValueView> values, uint16_t type = 0) {
    return list(std::span(static_cast<const bp_value*>(values.begin()), values.size()), type);
  }
  ValueView map(std::span<const bp_pair> pairs) { return ValueView::map(store(pairs)); }
  ValueView map(Pairs pairs) { return map(to_span(pairs)); }
  template <class T>
  ValueView array(std::span<const T> numbers) {
    return ValueView::array(std::span<const T>(store(numbers)));
  }

  /// 16-aligned, not initialised.
  std::byte* allocate(size_t size) {
    return static_cast<std::byte*>(memory_.allocate(size == 0 ? 1 : size, 16));
  }
  std::pmr::memory_resource* resource() noexcept { return &memory_; }

 protected:
  Arena(void* block, size_t size) : memory_(block, size) {}
  ~Arena() = default;

 private:
  template <class T>
  std::span<const T> store(std::span<const T> items) {
    std::byte* to = allocate(items.size_bytes());
    if (!items.empty()) {
      std::memcpy(to, items.data(), items.size_bytes());
    }
    return {reinterpret_cast<const T*>(to), items.size()};
  }

  std::pmr::monotonic_buffer_resource memory_;
};

namespace detail {
template <size_t Size>
struct Block {
  alignas(16) std::byte block[Size];
};
}  // namespace detail

template <size_t Size = 1024>
class StackArena : private detail::Block<Size>, public Arena {
 public:
  StackArena() : Arena(this->block, Size) {}
};

/// A list whose length is not known yet: add, then view. The view lives as long as the arena, as it
/// was when taken.
class ListBuilder {
 public:
  explicit ListBuilder(Arena& arena) : values_(arena.resource()) {}
  ListBuilder& add(ValueView value) { return values_.push_back(value), *this; }
  size_t size() const noexcept { return values_.size(); }
  ValueView view(uint16_t type = 0) const { return ValueView::list(values_, type); }

 private:
  std::pmr::vector<bp_value> values_;
};

/// The same for a map, or for headers.
class MapBuilder {
 public:
  /// `room`, which need not be initialised, is used first: a view may lie in it.
  explicit MapBuilder(Arena& arena, std::span<bp_pair> room = {}) noexcept
      : arena_(arena), pairs_(room.data()), room_(room.size()) {}
  MapBuilder(const MapBuilder&) = delete;
  MapBuilder& operator=(const MapBuilder&) = delete;

  MapBuilder& add(const ValueView& key, const ValueView& value) {
    if (size_ == room_) {
      grow();
    }
    pairs_[size_].key = key;
    pairs_[size_].val = value;
    ++size_;
    return *this;
  }
  size_t size() const noexcept { return size_; }
  std::span<const bp_pair> pairs() const noexcept { return {pairs_, size_}; }
  ValueView view() const { return ValueView::map(pairs()); }

 private:
  // An arena takes nothing back: no growth by 1, 2, 4. Apart from add(), which is short so, and
  // writes its pairs where they stay.
  [[gnu::noinline]] void grow() {
    const size_t room = std::max<size_t>(4, 2 * room_);
    auto* const to = reinterpret_cast<bp_pair*>(arena_.allocate(room * sizeof(bp_pair)));
    if (size_ > 0) {
      std::memcpy(to, pairs_, size_ * sizeof(bp_pair));
    }
    pairs_ = to;
    room_ = room;
  }

  Arena& arena_;
  bp_pair* pairs_;
  size_t size_ = 0;
  size_t room_;
};

}  // namespace backplane
