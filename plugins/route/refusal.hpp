// SPDX-License-Identifier: Apache-2.0
// What the outcome of an operation means for the message that it carried.
#pragma once

#include <backplane/base.h>

namespace backplane::route {

enum class Verdict : uint8_t {
  kDone,
  kRetry,    // the same may work later
  kStale,    // the reference is closed: the same may work with a new one
  kRefused,  // for good
};

/// `error` counts if it belongs to `status`. RESOURCE_EXHAUSTED is also said of what will never
/// fit: then the error lacks its mark BP_ERROR_RETRY. CANCELLED, which nobody asked for, is the end
/// of what the operation went through.
inline Verdict judge(bp_status status, const bp_error& error) noexcept {
  const bool has_error = error.code == status;
  const bool is_marked = has_error && (error.flags & BP_ERROR_RETRY) != 0;
  switch (status) {
    case BP_OK:
      return Verdict::kDone;
    case BP_CANCELLED:
    case BP_UNAVAILABLE:
    case BP_DEADLINE_EXCEEDED:
      return Verdict::kRetry;
    case BP_RESOURCE_EXHAUSTED:
      return !has_error || is_marked ? Verdict::kRetry : Verdict::kRefused;
    case BP_FAILED_PRECONDITION:
      return is_marked ? Verdict::kRetry : Verdict::kStale;
    default:
      return is_marked ? Verdict::kRetry : Verdict::kRefused;
  }
}

}  // namespace backplane::route
