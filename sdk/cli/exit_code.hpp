// SPDX-License-Identifier: Apache-2.0
// The exit codes of the command, and which error gives which. Scripts rely on them.
#pragma once

#include <backplane/sdk/status.hpp>

namespace backplane::cli {

inline constexpr int kDone = 0;
inline constexpr int kRefused = 1;      // errors found, or the peer said no
inline constexpr int kUsage = 2;        // the command line is wrong
inline constexpr int kUnavailable = 3;  // nobody there, or no answer in time

inline int exit_code(const Status& status) noexcept {
  switch (status.code()) {
    case BP_OK:
      return kDone;
    case BP_UNAVAILABLE:
    case BP_DEADLINE_EXCEEDED:
      return kUnavailable;
    default:
      return kRefused;
  }
}

/// The same where an address is opened: what nobody could open was typed wrongly.
inline int exit_code_of_open(const Status& status) noexcept {
  return status.code() == BP_INVALID_ARGUMENT ? kUsage : exit_code(status);
}

}  // namespace backplane::cli
