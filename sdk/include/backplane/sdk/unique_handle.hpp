// SPDX-License-Identifier: Apache-2.0
// Owners of what C libraries and the system hand out: a handle belongs to one from the moment it
// exists.
#pragma once

#include <memory>
#include <unistd.h>
#include <utility>

namespace backplane {

namespace detail {
template <auto Close>
struct CallClose {
  template <class T>
  void operator()(T* handle) const noexcept {
    static_cast<void>(Close(handle));
  }
};
}  // namespace detail

/// using Context = UniqueHandle<coap_context_t, coap_free_context>;
template <class T, auto Close>
using UniqueHandle = std::unique_ptr<T, detail::CallClose<Close>>;

/// An owned file descriptor, or none.
class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd);
    if (old >= 0 && old != fd) {
      ::close(old);
    }
  }

 private:
  int fd_ = -1;
};

}  // namespace backplane
