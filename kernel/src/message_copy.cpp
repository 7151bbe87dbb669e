// SPDX-License-Identifier: Apache-2.0
#include "message_copy.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <unistd.h>

namespace backplane::kernel {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kAlign = 16;

constexpr std::size_t aligned(std::size_t size) { return (size + kAlign - 1) / kAlign * kAlign; }

bool has_bytes(const bp_value& value) {
  return value.tag == BP_T_STRING || value.tag == BP_T_BYTES || value.tag == BP_T_ENCODED ||
         value.tag == BP_T_ARRAY;
}
bool has_list(const bp_value& value) {
  return value.tag == BP_T_LIST || value.tag == BP_T_TYPED || value.tag == BP_T_MATRIX;
}
std::size_t list_length(const bp_value& value) { return value.tag == BP_T_LIST ? value.len : 2; }
std::size_t byte_length(const bp_value& value) {
  if (value.tag != BP_T_ARRAY) return value.len;
  if (value.aux >> 8u == BP_T_BOOL) return value.len;
  if (value.aux == BP_TYPE(BP_T_INT, BP_INT_ENUM) ||
      value.aux == BP_TYPE(BP_T_UINT, BP_UINT_STATUS)) {
    return std::size_t{value.len} * 4;
  }
  const std::size_t width = value.aux & 0xffu;
  return value.len * (width >= 8 && width <= 64 ? width / 8 : 8);
}

// The size of what a value points to; false: too deep.
bool measure(const bp_value& value, std::size_t& size, int depth) {
  if (depth > kMaxDepth) return false;
  if (has_bytes(value)) {
    size += aligned(byte_length(value));
  } else if (has_list(value)) {
    size += aligned(list_length(value) * sizeof(bp_value));
    for (std::size_t i = 0; i < list_length(value); ++i) {
      if (!measure(value.as.list[i], size, depth + 1)) return false;
    }
  } else if (value.tag == BP_T_MAP) {
    size += aligned(value.len * sizeof(bp_pair));
    for (std::size_t i = 0; i < value.len; ++i) {
      if (!measure(value.as.map[i].key, size, depth + 1) ||
          !measure(value.as.map[i].val, size, depth + 1))
        return false;
    }
  }
  return true;
}

class Arena {
 public:
  explicit Arena(void* memory) : next_(static_cast<char*>(memory)) {}
  void* take(std::size_t size) {
    void* const here = next_;
    next_ += aligned(size);
    return here;
  }
  bp_value copy(const bp_value& value) {
    bp_value out = value;
    if (has_bytes(value)) {
      const std::size_t size = byte_length(value);
      void* const bytes = take(size);
      if (size != 0) std::memcpy(bytes, value.as.p, size);
      out.as.p = bytes;
    } else if (has_list(value)) {
      auto* list = static_cast<bp_value*>(take(list_length(value) * sizeof(bp_value)));
      for (std::size_t i = 0; i < list_length(value); ++i) list[i] = copy(value.as.list[i]);
      out.as.list = list;
    } else if (value.tag == BP_T_MAP) {
      out.as.map = copy_pairs(value.as.map, value.len);
    } else if (value.tag == BP_T_FD) {
      out.as.i = fcntl(static_cast<int>(value.as.i), F_DUPFD_CLOEXEC, 0);
      complete_ = complete_ && out.as.i >= 0;
    }
    return out;
  }
  // False: a descriptor could not be duplicated.
  bool is_complete() const { return complete_; }
  const bp_pair* copy_pairs(const bp_pair* pairs, std::size_t n) {
    auto* out = static_cast<bp_pair*>(take(n * sizeof(bp_pair)));
    for (std::size_t i = 0; i < n; ++i) out[i] = {copy(pairs[i].key), copy(pairs[i].val)};
    return out;
  }

 private:
  char* next_;
  bool complete_ = true;
};

void close_descriptors(const bp_pair* pairs, std::size_t n);
void close_descriptors(const bp_value& value) {
  if (value.tag == BP_T_FD) {
    if (value.as.i >= 0) close(static_cast<int>(value.as.i));
  } else if (has_list(value)) {
    for (std::size_t i = 0; i < list_length(value); ++i) close_descriptors(value.as.list[i]);
  } else if (value.tag == BP_T_MAP) {
    close_descriptors(value.as.map, value.len);
  }
}
void close_descriptors(const bp_pair* pairs, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    close_descriptors(pairs[i].key);
    close_descriptors(pairs[i].val);
  }
}

bool measure_message(const bp_message& message, std::size_t& size) {
  size += aligned(message.n_headers * sizeof(bp_pair));
  for (std::uint32_t i = 0; i < message.n_headers; ++i) {
    if (!measure(message.headers[i].key, size, 0) || !measure(message.headers[i].val, size, 0))
      return false;
  }
  return measure(message.body, size, 0);
}

}  // namespace

const bp_message* keep_messages(const bp_message* messages, std::uint32_t n) noexcept {
  std::size_t size = aligned(n * sizeof(bp_message));
  for (std::uint32_t i = 0; i < n; ++i) {
    if (messages[i].owner == nullptr && !measure_message(messages[i], size)) return nullptr;
  }
  void* const memory = std::aligned_alloc(kAlign, size);
  if (memory == nullptr) return nullptr;
  Arena arena(memory);
  auto* out = static_cast<bp_message*>(arena.take(n * sizeof(bp_message)));
  for (std::uint32_t i = 0; i < n; ++i) {
    out[i] = messages[i];
    if (messages[i].owner != nullptr) {
      messages[i].owner->ops->retain(messages[i].owner);
    } else {
      out[i].headers = arena.copy_pairs(messages[i].headers, messages[i].n_headers);
      out[i].body = arena.copy(messages[i].body);
    }
  }
  if (!arena.is_complete()) {
    free_messages(out, n);
    return nullptr;
  }
  return out;
}

void free_messages(const bp_message* messages, std::uint32_t n) noexcept {
  for (std::uint32_t i = 0; i < n; ++i) {
    if (messages[i].owner != nullptr) {
      messages[i].owner->ops->release(messages[i].owner);
    } else {
      close_descriptors(messages[i].body);
      close_descriptors(messages[i].headers, messages[i].n_headers);
    }
  }
  std::free(const_cast<bp_message*>(messages));
}

}  // namespace backplane::kernel
