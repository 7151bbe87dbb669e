// SPDX-License-Identifier: Apache-2.0
// Semaphore: a counting semaphore between processes (backplane/semaphore.h says what holds).
#pragma once

#include "deadline.hpp"
#include "native_key.hpp"
#include <backplane/semaphore.h>

#include <memory>

namespace backplane {

/// What was acquired and not released returns when its holder ends, even by kill -9:
///
///     const auto key = NativeKey::safe(NativeKey::Use::kSemaphore, "licences").value();
///     Semaphore licences = Semaphore::open(key, {.initial = 3}).value();
///     if (licences.acquire_within(2s).is_ok()) {
///       work();
///       licences.release().or_throw();
///     }
class Semaphore {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Which : uint32_t {
    kExisting = BP_SEMAPHORE_EXISTING,
    kAny = BP_SEMAPHORE_ANY,
    kReset = BP_SEMAPHORE_RESET,
    kNew = BP_SEMAPHORE_NEW,
  };
  struct Options {
    Which which = Which::kAny;
    uint32_t initial = 0;
    uint32_t permissions = 0600;
    /// It counts events, not resources: what is acquired is not returned.
    bool signal = false;
    /// One of POSIX may be another user's (BP_SEMAPHORE_TRUST_OWNER).
    bool trust_owner = false;
  };

  /// Errors: as of bp_semaphore_open and NativeKey::raw.
  static Result<Semaphore> open(const NativeKey& key, const Options& options) {
    const bp_semaphore_options raw_options = raw_of(options);
    bp_key raw_key{};
    if (Status status = key.raw(raw_key); status.is_error()) {
      return status;
    }
    bp_error error{};
    bp_semaphore* raw = nullptr;
    const bp_status status = bp_semaphore_open(&raw_key, &raw_options, &raw, &error);
    return made(status, error, raw);
  }
  static Result<Semaphore> open(const NativeKey& key) { return open(key, Options()); }
  /// Of a descriptor that another process gave; it stays the caller's. Errors: as of
  /// bp_semaphore_adopt.
  static Result<Semaphore> adopt(int descriptor, const Options& options) {
    const bp_semaphore_options raw_options = raw_of(options);
    bp_error error{};
    bp_semaphore* raw = nullptr;
    const bp_status status = bp_semaphore_adopt(descriptor, &raw_options, &raw, &error);
    return made(status, error, raw);
  }
  static Result<Semaphore> adopt(int descriptor) { return adopt(descriptor, Options()); }
  /// Errors: as of bp_semaphore_remove and NativeKey::raw.
  static Status remove(const NativeKey& key) {
    bp_key raw_key{};
    if (Status status = key.raw(raw_key); status.is_error()) {
      return status;
    }
    bp_error error{};
    const bp_status status = bp_semaphore_remove(&raw_key, &error);
    return Status::from(status, error);
  }

  /// Waits for as long as it takes. Errors: as of bp_semaphore_acquire.
  Status acquire() { return acquire_raw(0); }
  /// DEADLINE_EXCEEDED: there was none until then. Other errors as above.
  Status acquire_until(Clock::time_point deadline) {
    return acquire_raw(detail::deadline_of(deadline));
  }
  Status acquire_within(std::chrono::nanoseconds at_most) {
    return acquire_until(detail::time_after(at_most));
  }
  /// False: there is none now. Errors as above.
  Result<bool> try_acquire() {
    Status status = acquire_raw(1);
    if (status.code() == BP_DEADLINE_EXCEEDED) {
      return false;
    }
    if (status.is_error()) {
      return status;
    }
    return true;
  }
  /// Errors: as of bp_semaphore_release.
  Status release(uint32_t n = 1) {
    bp_error error{};
    const bp_status status = bp_semaphore_release(raw_.get(), n, &error);
    return Status::from(status, error);
  }
  /// Errors: as of bp_semaphore_count.
  Result<uint32_t> count() const {
    bp_error error{};
    uint32_t out = 0;
    const bp_status status = bp_semaphore_count(raw_.get(), &out, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return out;
  }

  /// Of an anonymous one, to be given away and closed. Errors: as of bp_semaphore_descriptor.
  Result<int> descriptor() {
    bp_error error{};
    const int out = bp_semaphore_descriptor(raw_.get(), &error);
    if (out < 0) {
      return Status::from(error.code, error);
    }
    return out;
  }

  /// For the functions of C.
  bp_semaphore* raw() const noexcept { return raw_.get(); }

 private:
  struct Close {
    void operator()(bp_semaphore* semaphore) const noexcept { bp_semaphore_close(semaphore); }
  };
  explicit Semaphore(bp_semaphore* raw) : raw_(raw) {}
  static Result<Semaphore> made(bp_status status, const bp_error& error, bp_semaphore* raw) {
    if (status < 0) {
      return Status::from(status, error);
    }
    return Semaphore(raw);
  }
  static bp_semaphore_options raw_of(const Options& options) noexcept {
    const uint32_t flags = (options.signal ? BP_SEMAPHORE_SIGNAL : 0) |
                           (options.trust_owner ? BP_SEMAPHORE_TRUST_OWNER : 0);
    return {sizeof(bp_semaphore_options),
            static_cast<uint32_t>(options.which),
            options.initial,
            options.permissions,
            flags,
            0};
  }
  Status acquire_raw(int64_t deadline_ns) {
    bp_error error{};
    const bp_status status = bp_semaphore_acquire(raw_.get(), deadline_ns, &error);
    return Status::from(status, error);
  }

  std::unique_ptr<bp_semaphore, Close> raw_;
};

}  // namespace backplane
