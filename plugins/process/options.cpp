// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <backplane/service/log.h>

#include <charconv>
#include <csignal>
#include <netdb.h>
#include <string.h>  // sigabbrev_np
#include <unistd.h>

namespace backplane::process {
namespace {

/// "127.0.0.1:1883", "[::1]:1883", "localhost:1883". Never asks a name server.
void read_address(ReadyOptions& ready) {
  const size_t colon = ready.tcp.rfind(':');
  std::string host = ready.tcp.substr(0, colon);
  if (host == "localhost") {
    host = "127.0.0.1";
  } else if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = colon == std::string::npos
                       ? EAI_NONAME
                       : getaddrinfo(host.c_str(), ready.tcp.c_str() + colon + 1, &hints, &found);
  const std::unique_ptr<addrinfo, detail::CallClose<freeaddrinfo>> owner(found);
  if (code != 0) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: 'ready.tcp': '", ready.tcp,
                "' is no ADDRESS:PORT such as 127.0.0.1:1883");
  }
  std::memcpy(&ready.tcp_address, found->ai_addr, found->ai_addrlen);
  ready.tcp_address_size = found->ai_addrlen;
}

ReadyOptions read_ready(const Config& table) {
  ReadyOptions out;
  out.tcp = table.find<std::string>("tcp").value_or("");
  out.log_pattern = table.find<std::string>("log").value_or("");
  out.file = table.find<std::string>("file").value_or("");
  out.timeout = table.seconds("timeout_s");
  if (!out.tcp.empty()) {
    read_address(out);
  }
  if (!out.log_pattern.empty()) {
    out.log = std::make_shared<const Regex>(out.log_pattern);
  }
  return out;
}

/// This process's environment with the table's changes; an empty value removes nothing, it is
/// empty.
std::vector<std::string> read_environment(const Config& table) {
  std::vector<std::string> out;
  const auto name_of = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (!table.has(name_of(*entry))) {
      out.emplace_back(*entry);
    }
  }
  for (const auto& [name, value] : table.map().entries()) {
    out.push_back(
        concat(*name.get<std::string_view>(), '=', value.as_result<std::string>().value()));
  }
  return out;
}

}  // namespace

std::string Options::text() const {
  std::string out;
  for (const std::string& argument : command) {
    out += concat(out.empty() ? "" : " ", argument);
  }
  return out.size() <= 80 ? out : out.substr(0, 77) + "...";
}

std::optional<int> signal_number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) {
    return number > 0 && number < NSIG ? std::optional(number) : std::nullopt;
  }
  if (text.starts_with("SIG")) {
    text.remove_prefix(3);
  }
  for (int i = 1; i < NSIG; ++i) {
    const char* name = sigabbrev_np(i);
    if (name != nullptr && text == name) {
      return i;
    }
  }
  return std::nullopt;
}

std::string signal_name(int number) {
  const char* name = sigabbrev_np(number);
  return name != nullptr ? concat("SIG", std::string_view(name)) : concat("signal ", number);
}

Options read_options(const Config& config) {
  Options out;
  out.command = config.strings("command");
  out.environment = read_environment(config.table("env"));
  out.folder = config.find<std::string>("cwd").value_or("");
  out.ready = read_ready(config.table("ready"));
  const std::string restart = config.string("restart");
  out.restart = restart == "always"       ? Restart::kAlways
                : restart == "on_failure" ? Restart::kOnFailure
                                          : Restart::kNever;
  out.delay_max = config.seconds("restart_delay_max_s");
  out.stable_after = config.seconds("stable_after_s");
  const std::string signal = config.string("stop_signal");
  const auto number = signal_number(signal);
  if (!number) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: 'stop_signal': no signal is named '", signal,
                "'; one is SIGTERM");
  }
  out.stop_signal = *number;
  out.stop_timeout = config.seconds("stop_timeout_s");
  out.stdin_pipe = config.string("stdin") == "pipe";
  const std::string level = config.string("log_level");
  out.log_level = level == "error"     ? BP_LOG_ERROR
                  : level == "warning" ? BP_LOG_WARNING
                  : level == "info"    ? BP_LOG_INFO
                  : level == "debug"   ? BP_LOG_DEBUG
                                       : BP_LOG_TRACE;
  out.line_max = config.integer<size_t>("line_max");
  for (const std::string& text : out.command) {
    if (text.find('\0') != std::string::npos) {
      throw Error(BP_INVALID_ARGUMENT, "configuration: 'command' has a NUL byte");
    }
  }
  return out;
}

}  // namespace backplane::process
