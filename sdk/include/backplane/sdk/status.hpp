// SPDX-License-Identifier: Apache-2.0
// Status: what a function that may fail returns; Error: the same as an exception. The only place
// where C++ errors become bp_status and bp_error, and back.
#pragma once

#include <backplane/base.h>

#include <algorithm>
#include <concepts>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace backplane {

/// A borrowed string of the ABI as a view, and the other way round.
inline std::string_view to_view(bp_str text) noexcept {
  return text.len == 0 ? std::string_view{} : std::string_view(text.ptr, text.len);
}
inline bp_str to_str(std::string_view text) noexcept { return {text.data(), text.size()}; }

namespace detail {
inline void append(std::string& out, std::string_view part) { out += part; }
inline void append(std::string& out, char part) { out += part; }
template <class Number>
requires std::is_arithmetic_v<Number>
void append(std::string& out, Number part) {
  if constexpr (std::is_same_v<Number, bool>) {
    out += part ? "true" : "false";
  } else {
    out += std::to_string(part);
  }
}
}  // namespace detail

/// The parts as one text: strings, characters and numbers.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

/// "NOT_FOUND" for BP_NOT_FOUND.
inline std::string_view status_name(bp_status code) noexcept {
  static constexpr std::string_view kNames[] = {"OK",
                                                "CANCELLED",
                                                "UNKNOWN",
                                                "INVALID_ARGUMENT",
                                                "DEADLINE_EXCEEDED",
                                                "NOT_FOUND",
                                                "ALREADY_EXISTS",
                                                "PERMISSION_DENIED",
                                                "RESOURCE_EXHAUSTED",
                                                "FAILED_PRECONDITION",
                                                "ABORTED",
                                                "OUT_OF_RANGE",
                                                "UNIMPLEMENTED",
                                                "INTERNAL",
                                                "UNAVAILABLE",
                                                "DATA_LOSS",
                                                "UNAUTHENTICATED"};
  if (code == BP_PENDING) {
    return "PENDING";
  }
  return code > 0 || code < BP_UNAUTHENTICATED ? "UNKNOWN" : kNames[-code];
}

/// OK, pending, or an error with its text. An OK or a bare code costs no allocation; copies share
/// the text.
///
///     return Status(BP_NOT_FOUND, "no topic '", topic, "'; the broker knows ", count);
///     return Status(BP_UNAVAILABLE, "connect to ", url, " refused").with_native(errno, "errno");
class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  explicit Status(bp_status code) noexcept : code_(code) {}
  template <class First, class... Parts>
  Status(bp_status code, const First& first, const Parts&... parts)
      : code_(code), detail_(std::make_shared<Detail>()) {
    detail_->message = concat(first, parts...);
  }

  static Status ok() noexcept { return Status(); }
  /// "Will complete later": what a verb returns that has kept its operation.
  static Status pending() noexcept { return Status(BP_PENDING); }

  /// The protocol's own number and whose it is: (404, "coap"), (errno, "errno"). `domain` has at
  /// most 15 bytes.
  Status with_native(int32_t native, std::string_view domain) && {
    own().native = native;
    detail_->domain = domain.substr(0, sizeof(bp_error::domain) - 1);
    return std::move(*this);
  }
  /// Whether the same call may succeed later, where the code alone would say otherwise.
  Status with_retry(bool retry) && {
    own().retry = retry ? 1 : 0;
    return std::move(*this);
  }
  /// The same error, with what was being done in front of its text.
  template <class... Parts>
  Status with_context(const Parts&... parts) && {
    if (code_ < 0) {
      own().message = concat(parts..., ": ", message().empty() ? status_name(code_) : message());
    }
    return std::move(*this);
  }

  bool is_ok() const noexcept { return code_ == BP_OK; }
  bool is_pending() const noexcept { return code_ == BP_PENDING; }
  bool is_error() const noexcept { return code_ < 0; }
  bp_status code() const noexcept { return code_; }
  std::string_view message() const noexcept {
    return detail_ ? detail_->message : std::string_view{};
  }
  int32_t native() const noexcept { return detail_ ? detail_->native : 0; }
  std::string_view domain() const noexcept {
    return detail_ ? detail_->domain : std::string_view{};
  }
  bool retry() const noexcept {
    if (detail_ && detail_->retry >= 0) {
      return detail_->retry == 1;
    }
    return code_ == BP_UNAVAILABLE || code_ == BP_RESOURCE_EXHAUSTED ||
           code_ == BP_DEADLINE_EXCEEDED;
  }

  /// "NOT_FOUND: no topic 'a' (coap 404)".
  std::string to_string() const {
    std::string out(status_name(code_));
    if (!message().empty()) {
      out += concat(": ", message());
    }
    if (!domain().empty()) {
      out += concat(" (", domain(), " ", native(), ")");
    }
    return out;
  }

  /// Throws Error unless OK.
  inline void or_throw() const;

  /// To the ABI: fills *error (may be null) when this is an error, and returns the code.
  bp_status to(bp_error* error) const noexcept {
    if (error == nullptr || code_ >= 0) {
      return code_;
    }
    std::memset(error, 0, sizeof *error);
    error->code = code_;
    error->native = native();
    error->flags = retry() ? BP_ERROR_RETRY : 0u;
    domain().copy(error->domain, sizeof error->domain);
    std::string_view text = message();
    if (text.size() > sizeof error->message) {
      error->flags |= BP_ERROR_TRUNCATED;
      size_t end = sizeof error->message;
      while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) {
        --end;  // not inside a UTF-8 sequence
      }
      text = text.substr(0, end);
    }
    text.copy(error->message, sizeof error->message);
    error->message_len = static_cast<uint32_t>(text.size());
    return code_;
  }

  /// From the ABI. The detail counts only if it belongs to this code.
  static Status from(bp_status code, const bp_error& error) {
    if (code >= 0 || error.code != code) {
      return Status(code);
    }
    const size_t length = std::min<size_t>(error.message_len, sizeof error.message);
    Status status(code, std::string_view(error.message, length));
    status.detail_->native = error.native;
    status.detail_->domain.assign(error.domain, strnlen(error.domain, sizeof error.domain));
    status.detail_->retry = (error.flags & BP_ERROR_RETRY) != 0 ? 1 : 0;
    return status;
  }

 private:
  struct Detail {
    std::string message;
    std::string domain;
    int32_t native = 0;
    int retry = -1;  // -1: as the code says
  };
  Detail& own() {
    if (!detail_ || detail_.use_count() > 1) {
      detail_ = detail_ ? std::make_shared<Detail>(*detail_) : std::make_shared<Detail>();
    }
    return *detail_;
  }

  bp_status code_ = BP_OK;
  std::shared_ptr<Detail> detail_;
};

/// A Status on its way up through code that cannot go on; it never leaves the library
/// (boundary.hpp).
class Error : public std::exception {
 public:
  explicit Error(Status status) : status_(std::move(status)), text_(status_.to_string()) {}
  template <class First, class... Parts>
  Error(bp_status code, const First& first, const Parts&... parts)
      : Error(Status(code, first, parts...)) {}
  const Status& status() const noexcept { return status_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  Status status_;
  std::string text_;
};

void Status::or_throw() const {
  if (!is_ok()) {
    throw Error(*this);
  }
}

}  // namespace backplane
