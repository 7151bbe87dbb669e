// SPDX-License-Identifier: Apache-2.0
// Guarded<T>: data inside its lock, so that nobody reaches the one without the other.
#pragma once

#include <mutex>
#include <utility>

namespace backplane {

/// Holds a T that only a lock gives access to. Never call out, block or wait while you hold it.
///
///     Guarded<State> state_;
///     state_.lock()->count += 1;
///     auto state = state_.lock();      // for a block
template <class T>
class Guarded {
 public:
  /// Access to the data until it is destroyed, or unlock() was called.
  class Locked {
   public:
    T* operator->() const noexcept { return data_; }
    T& operator*() const& noexcept { return *data_; }
    T& operator*() const&& = delete;  // `for (auto& each : *state.lock())` would run unlocked
    void unlock() { lock_.unlock(); }
    /// After unlock().
    void relock() { lock_.lock(); }

   private:
    friend Guarded;
    Locked(std::mutex& mutex, T& data) : lock_(mutex), data_(&data) {}
    std::unique_lock<std::mutex> lock_;
    T* data_;
  };

  template <class... Args>
  explicit Guarded(Args&&... args) : data_{std::forward<Args>(args)...} {}
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  [[nodiscard]] Locked lock() { return Locked(mutex_, data_); }
  T copy() {
    const Locked data = lock();
    return *data;
  }

 private:
  std::mutex mutex_;
  T data_;
};

}  // namespace backplane
