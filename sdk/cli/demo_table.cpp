// SPDX-License-Identifier: Apache-2.0
#include "demo_table.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

namespace backplane::cli {
namespace {

constexpr size_t kValueWidth = 12;
constexpr size_t kMostNameWidth = 40;

/// Numbers with three decimals at most, anything else as it is, cut to the column.
std::string cell(std::string_view value) {
  if (value.empty()) {
    return "-";
  }
  double number = 0;
  const char* end = value.data() + value.size();
  if (const auto parsed = std::from_chars(value.data(), end, number);
      parsed.ec == std::errc() && parsed.ptr == end) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", number);
    return text;
  }
  std::string out(value.substr(0, kValueWidth));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) {
      c = '?';
    }
  }
  return out;
}

std::string line(const SignalView& signal, size_t name_width) {
  char age[32] = "-";
  if (signal.age) {
    std::snprintf(age, sizeof age, "%.1f s", std::chrono::duration<double>(*signal.age).count());
  }
  char text[256];
  std::snprintf(text, sizeof text, "  %-*.*s %12s %12s %12s %9s %7.1f/s",
                static_cast<int>(name_width), static_cast<int>(name_width), signal.name.c_str(),
                cell(signal.source).c_str(), cell(signal.main).c_str(), cell(signal.cloud).c_str(),
                age, signal.rate);
  return text;
}

size_t terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::chrono::nanoseconds DemoTable::period() const {
  return terminal_ ? std::chrono::milliseconds(250) : std::chrono::milliseconds(1000);
}

void DemoTable::show(const Content& content) {
  size_t name_width = 6;
  for (const SignalView& signal : content.signals) {
    name_width = std::min(kMostNameWidth, std::max(name_width, signal.name.size()));
  }
  std::vector<std::string> lines = {content.title};
  char head[128];
  std::snprintf(head, sizeof head, "  %-*s %12s %12s %12s %9s %9s", static_cast<int>(name_width),
                "signal", "CoAP", "OPC UA", "MQTT", "age", "rate");
  lines.emplace_back(head);
  for (const SignalView& signal : content.signals) {
    lines.push_back(line(signal, name_width));
  }
  lines.push_back("  " + content.totals);
  if (terminal_) {
    lines.insert(lines.end(), content.notes.begin(), content.notes.end());
  }

  std::string out;
  if (terminal_ && lines_ > 0) {
    out = "\x1b[" + std::to_string(lines_) + "A\r\x1b[J";  // back to its first line, and clear
  }
  const size_t width = terminal_ ? terminal_width() : std::string::npos;
  for (const std::string& text : lines) {
    out += text.substr(0, width) + '\n';  // a wrapped line would be two to go back over
  }
  lines_ = lines.size();
  std::fwrite(out.data(), 1, out.size(), stdout);
  std::fflush(stdout);
}

}  // namespace backplane::cli
