// SPDX-License-Identifier: Apache-2.0
// What the library's server is told: who it is and how much it takes.
#pragma once

#include "server_settings.hpp"

#include <open62541/server.h>

namespace backplane::opcua {

/// Given away to UA_Server_newWithConfig, or cleaned.
class ServerConfig {
 public:
  /// Names and limits. `loop` is taken for the server's own: it ends with it. Throws Error.
  ServerConfig(const ServerSettings& settings, uint16_t port, UA_EventLoop* loop,
               const UA_Logger* logger);
  ~ServerConfig();
  ServerConfig(const ServerConfig&) = delete;
  ServerConfig& operator=(const ServerConfig&) = delete;

  UA_ServerConfig* operator->() noexcept { return &config_; }
  UA_ServerConfig* get() noexcept { return &config_; }

 private:
  UA_ServerConfig config_{};
};

}  // namespace backplane::opcua
