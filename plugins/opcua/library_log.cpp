// SPDX-License-Identifier: Apache-2.0
#include "library_log.hpp"

#include <cstdio>

namespace backplane::opcua {
namespace {

/// Apart: the library logs several lines for each value, nearly all of them in vain, and the room
/// for one is memory that else is not touched.
[[gnu::noinline, gnu::format(printf, 3, 0)]] void write(const Host& host, uint32_t level,
                                                        const char* text, va_list arguments) {
  char line[512];
  std::vsnprintf(line, sizeof line, text, arguments);
  host.log().write(level, std::string_view(line), {{"library", "open62541"}});
}

[[gnu::format(printf, 4, 0)]] void log(void* context, UA_LogLevel level, UA_LogCategory,
                                       const char* text, va_list arguments) {
  const auto& host = *static_cast<const Host*>(context);
  // A peer can cause nearly all of these; what matters is told by the state.
  const uint32_t ours = level < UA_LOGLEVEL_INFO ? BP_LOG_TRACE : BP_LOG_DEBUG;
  if (host.log().enabled(ours)) {
    write(host, ours, text, arguments);
  }
}

}  // namespace

UA_Logger logger_to(const Host& host) noexcept {
  return {&log, const_cast<Host*>(&host), nullptr};  // it is read alone
}

}  // namespace backplane::opcua
