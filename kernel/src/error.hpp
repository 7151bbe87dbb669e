// SPDX-License-Identifier: Apache-2.0
// Filling the caller's bp_error.
#pragma once

#include "backplane/base.h"

#include <cstdint>
#include <exception>
#include <new>
#include <string_view>

namespace backplane::kernel {

// Cuts the message at its bound, on a UTF-8 boundary; `error` may be NULL. Returns `status`.
bp_status set_error(bp_error* error, bp_status status, std::string_view message,
                    std::string_view domain = {}, std::int32_t native = 0) noexcept;

inline std::string_view view(bp_str text) noexcept {
  return {text.ptr, static_cast<std::size_t>(text.len)};
}
inline bp_str str(std::string_view text) noexcept { return {text.data(), text.size()}; }
inline std::string_view message_of(const bp_error& error) noexcept {
  return {error.message, error.message_len};
}

// Runs a function that gives a status, where an exception must not pass.
template <typename Function>
bp_status guarded(Function function) noexcept {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return BP_RESOURCE_EXHAUSTED;
  } catch (const std::exception&) {
    return BP_INTERNAL;
  }
}

// "NOT_FOUND" for BP_NOT_FOUND.
std::string_view name_of(bp_status status) noexcept;

}  // namespace backplane::kernel
