// SPDX-License-Identifier: Apache-2.0
// Options: an instance's configuration, checked as far as the schema cannot.
#pragma once

#include "handles.hpp"
#include <backplane/sdk/config.hpp>

#include <memory>
#include <netinet/in.h>

namespace backplane::process {

struct ReadyOptions {
  std::string tcp;  // "127.0.0.1:1883"; at most one of the three is set
  sockaddr_storage tcp_address{};
  socklen_t tcp_address_size = 0;
  std::shared_ptr<const Regex> log;
  std::string log_pattern;
  std::string file;
  std::chrono::nanoseconds timeout{};
};

enum class Restart : uint8_t { kAlways, kOnFailure, kNever };

struct Options {
  std::vector<std::string> command;
  std::vector<std::string> environment;  // complete, NAME=VALUE
  std::string folder;                    // empty: that of this process
  ReadyOptions ready;
  Restart restart = Restart::kAlways;
  std::chrono::nanoseconds delay_max{};     // between restarts
  std::chrono::nanoseconds stable_after{};  // then the next restart is at once again
  int stop_signal = 0;
  std::chrono::nanoseconds stop_timeout{};
  bool stdin_pipe = false;
  uint32_t log_level = 0;  // BP_LOG_* of its output
  size_t line_max = 0;     // bytes

  /// The command as people would type it, cut.
  std::string text() const;
};

/// Throws Error with the key.
Options read_options(const Config& config);

/// The number of "SIGTERM", "TERM" or "15"; nothing for others.
std::optional<int> signal_number(std::string_view text);
/// "SIGTERM".
std::string signal_name(int number);

}  // namespace backplane::process
