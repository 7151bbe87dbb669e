// SPDX-License-Identifier: Apache-2.0
// What a service manager hears of `backplane run`: sd_notify(3), and the watchdog.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace backplane::cli::systemd {

/// Without a service manager (NOTIFY_SOCKET unset) these do nothing. Any thread.
void ready(std::string_view status);
void stopping(std::string_view status);
void status(std::string_view text);
void alive();

/// How often alive() must be called: half of what WATCHDOG_USEC allows; nothing without a watchdog.
std::optional<std::chrono::nanoseconds> watchdog_period();

/// Whether standard error is the journal's stream (JOURNAL_STREAM), so that records may go there
/// with their fields.
bool stderr_is_journal();

}  // namespace backplane::cli::systemd
