// SPDX-License-Identifier: Apache-2.0
// Deep copies of value trees into one block: measured first, then laid out, each piece 8-aligned.
#pragma once

#include "../value.hpp"
#include <backplane/message.h>

#include <cerrno>
#include <climits>
#include <fcntl.h>

namespace backplane::detail {

constexpr size_t round_up(size_t size) noexcept { return (size + 7) & ~size_t{7}; }

/// What a copy of a tree needs.
struct TreeSize {
  size_t bytes = 0;
  uint32_t descriptors = 0;
  TreeSize& operator+=(const TreeSize& more) noexcept {
    bytes += more.bytes;
    descriptors += more.descriptors;
    return *this;
  }
};

inline TreeSize tree_size(ValueView value, unsigned depth = kMaxDepth) {
  if (depth == 0) {
    throw Error(BP_INVALID_ARGUMENT, "a value is nested deeper than ", kMaxDepth, " levels");
  }
  TreeSize size;
  switch (value.tag) {
    case BP_T_STRING:
    case BP_T_BYTES:
    case BP_T_ENCODED:
      return {round_up(value.len)};
    case BP_T_ARRAY:
      return {round_up(value.len * element_size(value.aux))};
    case BP_T_LIST:
    case BP_T_MATRIX:
    case BP_T_TYPED:
      size.bytes = value.size() * sizeof(bp_value);
      for (size_t i = 0; i < value.size(); ++i) {
        size += tree_size(value.at(i), depth - 1);
      }
      return size;
    case BP_T_MAP:
      size.bytes = value.len * sizeof(bp_pair);
      for (size_t i = 0; i < value.len; ++i) {
        size += tree_size(value.as.map[i].key, depth - 1);
        size += tree_size(value.as.map[i].val, depth - 1);
      }
      return size;
    case BP_T_FD:
      return {0, 1};
    default:
      return size;
  }
}

inline TreeSize tree_size(const bp_message& message) {
  TreeSize size = tree_size(message.body);
  if (message.n_headers > 0) {
    size += tree_size(ValueView::map({message.headers, message.n_headers}));
  }
  return size;
}

inline int duplicate(int64_t descriptor) {
  const int copy =
      fcntl(static_cast<int>(std::clamp<int64_t>(descriptor, -1, INT_MAX)), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) {
    const int error = errno;
    throw Error(Status(error == EBADF ? BP_INVALID_ARGUMENT : BP_RESOURCE_EXHAUSTED, "descriptor ",
                       descriptor, " cannot be kept: ", std::string_view(std::strerror(error)))
                    .with_native(error, "errno"));
  }
  return copy;
}

/// Copies trees whose sizes were measured into the block at `at`, one behind the other.
class TreeCopy {
 public:
  /// Descriptors are duplicated, and the duplicates also put at `descriptors`, one behind the
  /// other; null: they stay borrowed. Throws Error where a descriptor cannot be duplicated.
  explicit TreeCopy(std::byte* at, int* descriptors = nullptr) noexcept
      : at_(at), descriptors_(descriptors) {}

  ValueView copy(ValueView value) {
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
      case BP_T_FD:
        if (descriptors_ != nullptr) {
          value.as.i = *descriptors_++ = duplicate(value.as.i);
        }
        break;
      default:
        break;
    }
    return value;
  }

  std::span<const bp_pair> pairs(std::span<const bp_pair> from) {
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
  int* descriptors_;
};

}  // namespace backplane::detail
