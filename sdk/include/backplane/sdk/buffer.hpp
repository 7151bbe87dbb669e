// SPDX-License-Identifier: Apache-2.0
// Buffer: one owner's share of a counted bp_buffer; and buffers on this library's own heap.
#pragma once

#include "status.hpp"
#include <backplane/message.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <new>
#include <span>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace backplane {

/// Releases on destruction; a copy retains. May be empty.
class Buffer {
 public:
  Buffer() noexcept = default;
  /// Takes over one ownership that the caller has.
  static Buffer adopt(bp_buffer* buffer) noexcept { return Buffer(buffer); }
  /// One owner more of a buffer that somebody else owns.
  static Buffer retain(bp_buffer* buffer) noexcept {
    if (buffer != nullptr) {
      buffer->ops->retain(buffer);
    }
    return Buffer(buffer);
  }
  /// A new one on the heap: 16-aligned, its content undefined; outlives plugin and host. It closes
  /// so many descriptors with its last owner; see descriptors(). Throws std::bad_alloc.
  static inline Buffer make(size_t size, uint32_t descriptors = 0);

  Buffer(const Buffer& other) noexcept : Buffer(retain(other.buffer_)) {}
  Buffer(Buffer&& other) noexcept : buffer_(other.release()) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~Buffer() {
    if (buffer_ != nullptr) {
      buffer_->ops->release(buffer_);
    }
  }

  explicit operator bool() const noexcept { return buffer_ != nullptr; }
  bp_buffer* get() const noexcept { return buffer_; }
  /// Gives the ownership away.
  [[nodiscard]] bp_buffer* release() noexcept { return std::exchange(buffer_, nullptr); }

  std::byte* data() const noexcept {
    return buffer_ != nullptr ? static_cast<std::byte*>(buffer_->data) : nullptr;
  }
  size_t size() const noexcept { return buffer_ != nullptr ? buffer_->len : 0; }
  /// Of one that make() gave: the descriptors that it closes, -1 until its maker sets them.
  inline std::span<int> descriptors() const noexcept;
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data()), size()}; }

 private:
  explicit Buffer(bp_buffer* buffer) noexcept : buffer_(buffer) {}
  bp_buffer* buffer_ = nullptr;
};

namespace detail {

/// The counted head of a heap buffer; its data follow, then its descriptors.
struct alignas(16) HeapBuffer {
  bp_buffer base;
  std::atomic<uint32_t> owners;
  uint32_t n_descriptors;

  static HeapBuffer* of(bp_buffer* buffer) noexcept {
    return reinterpret_cast<HeapBuffer*>(buffer);
  }
  static constexpr size_t aligned(size_t size) noexcept {
    return (size + alignof(int) - 1) / alignof(int) * alignof(int);
  }
  std::span<int> descriptors() noexcept {
    return {reinterpret_cast<int*>(static_cast<std::byte*>(base.data) + aligned(base.cap)),
            n_descriptors};
  }
  static void retain(bp_buffer* buffer) noexcept {
    of(buffer)->owners.fetch_add(1, std::memory_order_relaxed);
  }
  static void release(bp_buffer* buffer) noexcept {
    if (of(buffer)->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      for (const int descriptor : of(buffer)->descriptors()) {
        if (descriptor >= 0) ::close(descriptor);
      }
      of(buffer)->~HeapBuffer();
      ::operator delete (static_cast<void*>(buffer), std::align_val_t{alignof(HeapBuffer)});
    }
  }
  static constexpr bp_buffer_ops kOps = {BP_SIZE_TO(bp_buffer_ops, release), BP_BUFFER_HEAP,
                                         &retain, &release};
};

}  // namespace detail

Buffer Buffer::make(size_t size, uint32_t descriptors) {
  using detail::HeapBuffer;
  void* memory =
      ::operator new (sizeof(HeapBuffer) + HeapBuffer::aligned(size) + descriptors * sizeof(int),
                      std::align_val_t{alignof(HeapBuffer)});
  auto* head = new (memory) HeapBuffer{
      {&HeapBuffer::kOps, static_cast<std::byte*>(memory) + sizeof(HeapBuffer), size, size, 0},
      1,
      descriptors};
  std::ranges::fill(head->descriptors(), -1);
  return Buffer(&head->base);
}

std::span<int> Buffer::descriptors() const noexcept {
  return detail::HeapBuffer::of(buffer_)->descriptors();
}

}  // namespace backplane
