// SPDX-License-Identifier: Apache-2.0
// An instance's configuration.
#pragma once

#include <backplane/sdk/config.hpp>

namespace backplane::opcua {

struct Settings {
  /// Throws Error (INVALID_ARGUMENT) for a URL that is none.
  explicit Settings(const Config& config);

  std::string url;
  std::string address;  // of the URL: a name or a number
  uint16_t port = 4840;
  std::chrono::nanoseconds connect_timeout;
  std::chrono::nanoseconds request_timeout;
  std::chrono::nanoseconds session_timeout;
  std::chrono::nanoseconds keepalive;
  std::chrono::nanoseconds publishing;
  size_t max_requests;
};

}  // namespace backplane::opcua
