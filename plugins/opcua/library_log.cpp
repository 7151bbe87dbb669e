// SPDX-License-Identifier: Apache-2.0
#include "library_log.hpp"

#include <cstdio>

namespace backplane::opcua {
namespace {

[[gnu::format(printf, 4, 0)]] void log(void* context, UA_LogLevel level, UA_LogCategory,
                                       const char* text, va_list arguments) {
  const auto& host = *static_cast<const Host*>(context);
  // A peer can cause nearly all of these; what matters is told by the state.
  const uint32_t ours = level < UA_LOGLEVEL_INFO ? BP_LOG_TRACE : BP_LOG_DEBUG;
  if (host.log().enabled(ours)) {
    char line[512];
    std::vsnprintf(line, sizeof line, text, arguments);
    host.log().write(ours, std::string_view(line), {{"library", "open62541"}});
  }
}

}  // namespace

UA_Logger logger_to(const Host& host) noexcept {
  return {&log, const_cast<Host*>(&host), nullptr};  // it is read alone
}

}  // namespace backplane::opcua
