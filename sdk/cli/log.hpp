// SPDX-License-Identifier: Apache-2.0
// The kernel's log records on standard error: as text with key=value fields, as JSON lines, or as
// journal entries.
#pragma once

#include <backplane/sdk/kernel.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
}

namespace backplane::cli {

enum class LogFormat { kText, kJson, kJournal };

/// "text", "json", "journal"; "auto" is the journal if it reads our standard error, else text.
LogFormat log_format(std::string_view name);

/// BP_LOG_* of "error" to "trace"; 0 of anything else.
uint32_t log_level(std::string_view name);
std::string_view log_level_name(uint32_t level);

/// "name: text key=value", as a line of text has it after time and level. Control characters, also
/// those that a peer sent, are escaped.
std::string log_text(const LogRecord& record);

/// Where records go. Thread-safe.
class Log {
 public:
  explicit Log(LogFormat format);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void write(const LogRecord& record) const noexcept;
  /// Of the command itself.
  void write(uint32_t level, std::string_view message) const noexcept;

 private:
  LogFormat format_;
  std::unique_ptr<spdlog::logger> out_;
};

}  // namespace backplane::cli
