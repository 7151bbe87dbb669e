// SPDX-License-Identifier: Apache-2.0
// Deep copies of value trees into one block: measured first, then laid out, each piece 8-aligned.
#pragma once

#include "../value.hpp"

namespace backplane::detail {

constexpr size_t round_up(size_t size) noexcept { return (size + 7) & ~size_t{7}; }

inline size_t tree_size(ValueView value, unsigned depth = kMaxDepth) {
  if (depth == 0) {
    throw Error(BP_INVALID_ARGUMENT, "a value is nested deeper than ", kMaxDepth, " levels");
  }
  size_t size = 0;
  switch (value.tag) {
    case BP_T_STRING:
    case BP_T_BYTES:
    case BP_T_ENCODED:
      return round_up(value.len);
    case BP_T_ARRAY:
      return round_up(value.len * element_size(value.aux));
    case BP_T_LIST:
    case BP_T_MATRIX:
    case BP_T_TYPED:
      for (size_t i = 0; i < value.size(); ++i) {
        size += tree_size(value.at(i), depth - 1);
      }
      return size + value.size() * sizeof(bp_value);
    case BP_T_MAP:
      for (size_t i = 0; i < value.len; ++i) {
        size +=
            tree_size(value.as.map[i].key, depth - 1) + tree_size(value.as.map[i].val, depth - 1);
      }
      return size + value.len * sizeof(bp_pair);
    default:
      return 0;
  }
}

inline size_t pairs_size(std::span<const bp_pair> pairs) {
  return pairs.empty() ? 0 : tree_size(ValueView::map(pairs));
}

/// Copies trees whose sizes were measured into the block at `at`, one behind the other.
class TreeCopy {
 public:
  explicit TreeCopy(std::byte* at) noexcept : at_(at) {}

  ValueView copy(ValueView value) noexcept {
    switch (value.tag) {
      case BP_T_STRING:
      case BP_T_BYTES:
      case BP_T_ENCODED:
        value.as.p = bytes(value.as.p, value.len);
        break;
      case BP_T_ARRAY:
        value.as.p = bytes(value.as.p, value.len * element_size(value.aux));
        break;
      case BP_T_LIST:
      case BP_T_MATRIX:
      case BP_T_TYPED: {
        auto* to = static_cast<bp_value*>(bytes(value.as.list, value.size() * sizeof(bp_value)));
        for (size_t i = 0; i < value.size(); ++i) {
          to[i] = copy(value.as.list[i]);
        }
        value.as.list = to;
        break;
      }
      case BP_T_MAP:
        value.as.map = pairs({value.as.map, value.len}).data();
        break;
      default:
        break;
    }
    return value;
  }

  std::span<const bp_pair> pairs(std::span<const bp_pair> from) noexcept {
    auto* to = static_cast<bp_pair*>(bytes(from.data(), from.size_bytes()));
    for (size_t i = 0; i < from.size(); ++i) {
      to[i] = {copy(from[i].key), copy(from[i].val)};
    }
    return {to, from.size()};
  }

 private:
  void* bytes(const void* from, size_t size) noexcept {
    std::byte* to = at_;
    if (size != 0) {
      std::memcpy(to, from, size);
    }
    at_ += round_up(size);
    return to;
  }

  std::byte* at_;
};

}  // namespace backplane::detail
