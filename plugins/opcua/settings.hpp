// SPDX-License-Identifier: Apache-2.0
// An instance's configuration.
#pragma once

#include "policies.hpp"
#include <backplane/sdk/config.hpp>

#include <filesystem>

namespace backplane::opcua {

/// How a channel is secured, and who uses it.
struct SecuritySettings {
  /// Throws Error (INVALID_ARGUMENT) for what contradicts itself.
  explicit SecuritySettings(const Config& config);

  std::optional<UA_MessageSecurityMode> mode;  // nothing: the best there is
  const Policy* policy = nullptr;              // null: the strongest there is
  std::filesystem::path pki;                   // the folder of pki::Store
  std::string credentials;                     // the application's; empty: that in the folder
  std::string user;                            // the user's; empty: anonymous
  bool plain_password;
  bool check_host_name;
};

struct Settings {
  /// Throws Error (INVALID_ARGUMENT) for a URL that is none.
  explicit Settings(const Config& config);

  /// The address is one of this machine: nobody elsewhere hears or changes what is said.
  bool is_loopback() const noexcept;

  std::string url;
  std::string address;  // of the URL: a name or a number
  uint16_t port = 4840;
  std::chrono::nanoseconds connect_timeout;
  std::chrono::nanoseconds request_timeout;
  std::chrono::nanoseconds session_timeout;
  std::chrono::nanoseconds keepalive;
  std::chrono::nanoseconds publishing;
  size_t max_requests;
  SecuritySettings security;
};

}  // namespace backplane::opcua
