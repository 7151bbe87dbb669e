// SPDX-License-Identifier: Apache-2.0
// Result<T>: a T, or the Status that says why there is none.
#pragma once

#include "status.hpp"

#include <optional>

namespace backplane {

/// Made from a T or from an error. A Status that is no error makes an INTERNAL one, because there
/// is no T.
template <class T>
class [[nodiscard]] Result {
 public:
  template <class U>
  requires(std::constructible_from<T, U&&> && !std::same_as<std::remove_cvref_t<U>, Result> &&
           !std::same_as<std::remove_cvref_t<U>, Status>) Result(U&& value)
      : value_(std::in_place, std::forward<U>(value)) {}
  Result(Status status)
      : status_(status.is_error()
                    ? std::move(status)
                    : Status(BP_INTERNAL, "a result has neither a value nor an error")) {}

  bool is_ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return is_ok(); }
  /// OK when there is a value.
  const Status& status() const noexcept { return status_; }

  /// The value; throws Error when there is none.
  T& value() & { return check(), *value_; }
  const T& value() const& { return check(), *value_; }
  T value() && { return check(), std::move(*value_); }
  template <class U>
  T value_or(U&& fallback) && {
    return value_ ? std::move(*value_) : static_cast<T>(std::forward<U>(fallback));
  }
  void or_throw() const { check(); }

  /// The value, which is there: look first.
  T& operator*() & noexcept { return *value_; }
  const T& operator*() const& noexcept { return *value_; }
  T operator*() && { return std::move(*value_); }
  T* operator->() noexcept { return &*value_; }
  const T* operator->() const noexcept { return &*value_; }

 private:
  void check() const {
    if (!value_) {
      throw Error(status_);
    }
  }

  std::optional<T> value_;
  Status status_;
};

}  // namespace backplane
