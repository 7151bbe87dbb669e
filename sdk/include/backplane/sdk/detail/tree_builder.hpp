// SPDX-License-Identifier: Apache-2.0
// TreeBuilder: makes a value tree from the events of a parser, within bounds that hold before
// memory is spent.
#pragma once

#include "../arena.hpp"

#include <vector>

namespace backplane {

/// What a parser of foreign bytes accepts at most. More is RESOURCE_EXHAUSTED.
struct ParseLimits {
  size_t max_bytes = size_t{16} << 20;
  unsigned max_depth = kMaxDepth;  ///< of nested lists, maps and tags; never above kMaxDepth
  size_t max_values = 1'000'000;   ///< scalars, keys and containers together
};

namespace detail {

/// Any total order of the keys of a map; 0 when they are the same.
inline int order_of_keys(const bp_value& a, const bp_value& b) noexcept {
  if (a.tag != b.tag || a.len != b.len) {
    return std::pair(a.tag, a.len) < std::pair(b.tag, b.len) ? -1 : 1;
  }
  if (a.tag == BP_T_STRING || a.tag == BP_T_BYTES) {
    return a.len == 0 ? 0 : std::memcmp(a.as.p, b.as.p, a.len);
  }
  return a.as.u == b.as.u ? 0 : a.as.u < b.as.u ? -1 : 1;
}

/// RFC 8949 5.6 and RFC 7493 2.3: two parsers that choose differently between duplicates can be
/// played against each other. Throws Error.
inline void refuse_duplicate_keys(std::span<const bp_pair> pairs) {
  std::vector<const bp_value*> keys;
  keys.reserve(pairs.size());
  for (const bp_pair& pair : pairs) {
    keys.push_back(&pair.key);
  }
  std::sort(keys.begin(), keys.end(),
            [](const bp_value* a, const bp_value* b) { return order_of_keys(*a, *b) < 0; });
  const auto twice = std::adjacent_find(
      keys.begin(), keys.end(),
      [](const bp_value* a, const bp_value* b) { return order_of_keys(*a, *b) == 0; });
  if (twice != keys.end()) {
    throw Error(BP_INVALID_ARGUMENT, "the key ", ValueView(**twice).to_text(64),
                " stands twice in one map");
  }
}

/// Containers are closed innermost first; what they hold lies on one stack until then. Throws
/// Error without a position: the parser knows where it is.
class TreeBuilder {
 public:
  enum class Kind : uint8_t { kList, kMap };

  TreeBuilder(Arena& arena, const ParseLimits& limits) : arena_(arena), limits_(limits) {}

  /// A scalar, or a value that lies in the arena.
  void add(ValueView value) {
    count();
    values_.push_back(value);
  }
  /// A string, bytes or encoded value that is borrowed: copied.
  void add_copy(ValueView value) {
    count();
    values_.push_back(arena_.copy(value));
  }
  void begin(Kind kind) {
    count();
    if (frames_.size() + 1 >= std::min(limits_.max_depth, kMaxDepth)) {
      throw Error(BP_RESOURCE_EXHAUSTED, "nested deeper than ",
                  std::min(limits_.max_depth, kMaxDepth), " levels");
    }
    frames_.push_back({values_.size(), kind});
  }
  /// Closes the innermost container and returns it in place of its content.
  void end() {
    const Frame frame = frames_.back();
    const std::span<const bp_value> content(values_.data() + frame.first,
                                            values_.size() - frame.first);
    const ValueView closed = frame.kind == Kind::kList ? arena_.list(content) : make_map(content);
    frames_.pop_back();
    values_.resize(frame.first);
    values_.push_back(closed);
  }

  size_t depth() const noexcept { return frames_.size(); }
  /// Values of the innermost container so far; keys count too.
  size_t size() const noexcept {
    return values_.size() - (frames_.empty() ? 0 : frames_.back().first);
  }
  /// The last value, to be replaced by what it means.
  ValueView& back() noexcept { return static_cast<ValueView&>(values_.back()); }
  /// The whole tree, when everything is closed.
  ValueView root() const noexcept { return values_.front(); }

 private:
  struct Frame {
    size_t first;
    Kind kind;
  };

  void count() {
    if (++values_seen_ > limits_.max_values) {
      throw Error(BP_RESOURCE_EXHAUSTED, "more than ", limits_.max_values, " values");
    }
  }
  ValueView make_map(std::span<const bp_value> content) {
    auto* pairs = reinterpret_cast<bp_pair*>(arena_.allocate(content.size_bytes()));
    const size_t n = content.size() / 2;
    for (size_t i = 0; i < n; ++i) {
      pairs[i] = {content[2 * i], content[2 * i + 1]};
    }
    refuse_duplicate_keys({pairs, n});
    return ValueView::map({pairs, n});
  }

  Arena& arena_;
  const ParseLimits limits_;
  std::vector<bp_value> values_;
  std::vector<Frame> frames_;
  size_t values_seen_ = 0;
};

}  // namespace detail
}  // namespace backplane
