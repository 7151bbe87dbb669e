// SPDX-License-Identifier: Apache-2.0
// The exception barrier: every function that C calls runs its body in boundary(), so that nothing
// unwinds across the ABI.
#pragma once

#include "status.hpp"

#include <new>
#include <type_traits>

namespace backplane {

/// The exception that is being handled, as a Status: Error as it is, std::bad_alloc as
/// RESOURCE_EXHAUSTED, anything else as INTERNAL with its text. Only inside a catch block.
inline Status current_exception_status() noexcept {
  try {
    try {
      throw;
    } catch (const Error& error) {
      return error.status();
    } catch (const std::bad_alloc&) {
      return Status(BP_RESOURCE_EXHAUSTED);
    } catch (const std::exception& error) {
      return Status(BP_INTERNAL, "unexpected exception: ", std::string_view(error.what()));
    } catch (...) {
      return Status(BP_INTERNAL, "unexpected exception of an unknown type");
    }
  } catch (...) {
    return Status(BP_RESOURCE_EXHAUSTED);  // no memory for the text either
  }
}

/// Runs `body`, which returns Status, bp_status or nothing, and gives its outcome as the ABI wants
/// it: the code returned, the detail in *error (may be null).
template <class Body>
bp_status boundary(bp_error* error, Body&& body) noexcept {
  using Outcome = std::invoke_result_t<Body&>;
  try {
    if constexpr (std::is_same_v<Outcome, Status>) {
      const Status status = body();
      return status.to(error);
    } else if constexpr (std::is_void_v<Outcome>) {
      body();
      return BP_OK;
    } else {
      return body();
    }
  } catch (...) {
    return current_exception_status().to(error);
  }
}

/// The same for a callback that has nowhere to return an error to: `failed(const Status&)` gets it;
/// it must not throw.
template <class Body, class Failed>
requires(std::is_invocable_v<Body&>&& std::is_invocable_v<Failed&, Status>) void boundary(
    Body&& body, Failed&& failed) noexcept {
  try {
    body();
  } catch (...) {
    failed(current_exception_status());
  }
}

}  // namespace backplane
