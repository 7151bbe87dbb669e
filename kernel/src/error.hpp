// SPDX-License-Identifier: Apache-2.0
// Filling the caller's bp_error.
#pragma once

#include "backplane/base.h"

#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>

namespace backplane::kernel {

// Cuts the message at its bound, on a UTF-8 boundary; `error` may be NULL. Returns `status`.
bp_status set_error(bp_error* error, bp_status status, std::string_view message,
                    std::string_view domain = {}, std::int32_t native = 0) noexcept;

// Of a system call: `number` is its errno, `what` what was being done.
bp_status set_errno_error(bp_error* error, int number, std::string_view what);

// Before an operation: what an earlier one left in `error`, which may be NULL, is no reason of
// this.
inline void clear_error(bp_error* error) noexcept {
  if (error == nullptr) return;
  error->code = BP_OK;
  error->native = 0;
  error->domain[0] = '\0';
  error->message_len = 0;
}
// After it, with `status` < 0: makes up for what an endpoint did not say.
void fill_error(bp_error* error, bp_status status) noexcept;
// Afterwards, too: puts "WHAT: " before what it says. `error` may be NULL. Returns `status`.
bp_status add_context(bp_error* error, bp_status status, std::string_view what);
// The deadline as the reason, with what the endpoint said behind it. Returns DEADLINE_EXCEEDED.
bp_status set_deadline_error(bp_error* error) noexcept;

inline std::string_view view(bp_str text) noexcept {
  return {text.ptr, static_cast<std::size_t>(text.len)};
}
inline bp_str str(std::string_view text) noexcept { return {text.data(), text.size()}; }
inline std::string_view message_of(const bp_error& error) noexcept {
  return {error.message, error.message_len};
}

inline std::string_view domain_of(const bp_error& error) noexcept {
  return {error.domain, strnlen(error.domain, sizeof error.domain)};  // it may fill its place
}

// Runs a function that gives a status, where an exception must not pass: fills `error`, which may
// be NULL, with what it says.
template <typename Function>
bp_status guarded(bp_error* error, Function function) noexcept {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return set_error(error, BP_RESOURCE_EXHAUSTED, "no memory");
  } catch (const std::exception& exception) {
    return set_error(error, BP_INTERNAL, exception.what());
  }
}
template <typename Function>
bp_status guarded(Function function) noexcept {
  return guarded(nullptr, function);
}

// "NOT_FOUND" for BP_NOT_FOUND.
std::string_view name_of(bp_status status) noexcept;

}  // namespace backplane::kernel
