// SPDX-License-Identifier: Apache-2.0
#include "log.hpp"

#include "systemd.hpp"
#include <backplane/sdk/json.hpp>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <sys/uio.h>
#include <syslog.h>

// The macros of this header would make every call site a field; sd_journal_sendv is a function.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

namespace backplane::cli {
namespace {

constexpr std::array<std::string_view, 6> kLevels = {"",     "error", "warning",
                                                     "info", "debug", "trace"};
constexpr std::array<spdlog::level::level_enum, 6> kSpdlogLevels = {
    spdlog::level::critical, spdlog::level::err,   spdlog::level::warn,
    spdlog::level::info,     spdlog::level::debug, spdlog::level::trace};
constexpr std::array<int, 6> kPriorities = {LOG_CRIT, LOG_ERR,   LOG_WARNING,
                                            LOG_INFO, LOG_DEBUG, LOG_DEBUG};

size_t index_of(uint32_t level) { return std::min<size_t>(level, kLevels.size() - 1); }

/// One line whatever it holds: control characters as \xNN.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out;
}

/// A field's value as plain text.
std::string plain(ValueView value) {
  if (const auto text = value.get<std::string_view>()) {
    return std::string(*text);
  }
  return value.to_text();
}

/// The same as one word of a line: quoted when it would not be one.
std::string word(ValueView value) {
  std::string text = printable(plain(value));
  if (!text.empty() && text.find_first_of(" =\"") == std::string::npos) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') {
      out += '\\';
    }
    out += c;
  }
  return out + '"';
}

std::string json_text(const LogRecord& record) {
  using Json = nlohmann::ordered_json;
  Json line = {{"time", to_rfc3339(ValueView(record.time)).value_or(std::string())},
               {"level", kLevels[index_of(record.level)]}};
  if (!record.instance.empty()) {
    line["instance"] = record.instance;
  }
  line["message"] = record.message;
  for (const bp_pair& field : record.fields) {
    Json& place = line[plain(field.key)];
    const ValueView value(field.val);
    if (value.is_number() || value.tag == BP_T_BOOL) {
      place = Json::parse(to_json(value));
    } else {
      place = plain(value);
    }
  }
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A field's name as the journal wants it: A-Z, 0-9 and _, not beginning with _.
std::string journal_name(std::string_view name) {
  std::string out = "BACKPLANE_";
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    out += letter ? static_cast<char>(c & ~0x20) : c >= '0' && c <= '9' ? c : '_';
  }
  return out;
}

void to_journal(const LogRecord& record) {
  std::vector<std::string> entries = {concat("PRIORITY=", kPriorities[index_of(record.level)]),
                                      "SYSLOG_IDENTIFIER=backplane", "MESSAGE=" + log_text(record),
                                      concat("BACKPLANE_INSTANCE=", record.instance)};
  for (const bp_pair& field : record.fields) {
    entries.push_back(journal_name(plain(field.key)) + '=' + plain(field.val));
  }
  std::vector<iovec> parts;
  parts.reserve(entries.size());
  for (std::string& entry : entries) {
    parts.push_back({entry.data(), entry.size()});
  }
  sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
}

}  // namespace

LogFormat log_format(std::string_view name) {
  if (name == "json") {
    return LogFormat::kJson;
  }
  const bool journal = name == "journal" || (name == "auto" && systemd::stderr_is_journal());
  return journal ? LogFormat::kJournal : LogFormat::kText;
}

uint32_t log_level(std::string_view name) {
  const auto* const found = std::find(kLevels.begin() + 1, kLevels.end(), name);
  return found == kLevels.end() ? 0 : static_cast<uint32_t>(found - kLevels.begin());
}

std::string_view log_level_name(uint32_t level) { return kLevels[index_of(level)]; }

std::string log_text(const LogRecord& record) {
  std::string line;
  if (!record.instance.empty()) {
    line = concat(record.instance, ": ");
  }
  line += printable(record.message);
  for (const bp_pair& field : record.fields) {
    line += concat(' ', plain(field.key), '=', word(field.val));
  }
  return line;
}

Log::Log(LogFormat format)
    : format_(format),
      out_(std::make_unique<spdlog::logger>(
          "backplane", std::make_shared<spdlog::sinks::stderr_color_sink_mt>())) {
  out_->set_level(spdlog::level::trace);
  out_->set_pattern(format == LogFormat::kText ? "%Y-%m-%dT%H:%M:%S.%e%z %^%-7l%$ %v" : "%v");
}

Log::~Log() = default;

void Log::write(const LogRecord& record) const noexcept {
  try {
    if (format_ == LogFormat::kJournal) {
      to_journal(record);
      return;
    }
    const auto time = std::chrono::time_point_cast<spdlog::log_clock::duration>(record.time);
    out_->log(time, spdlog::source_loc{}, kSpdlogLevels[index_of(record.level)],
              format_ == LogFormat::kJson ? json_text(record) : log_text(record));
  } catch (const std::exception&) {  // no memory, or no output: a log is never a reason to fail
  }
}

void Log::write(uint32_t level, std::string_view message) const noexcept {
  LogRecord record;
  record.time = std::chrono::system_clock::now();
  record.level = level;
  record.message = message;
  write(record);
}

}  // namespace backplane::cli
