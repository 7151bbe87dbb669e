// SPDX-License-Identifier: Apache-2.0
// The security policies of OPC UA (Part 7) that the library has, and modes, by their names.
#pragma once

#include "native.hpp"

#include <open62541/plugin/securitypolicy.h>
#include <optional>
#include <span>

namespace backplane::opcua {

struct Policy {
  std::string_view name;  // "Basic256Sha256"
  std::string_view uri;
  bool is_deprecated;  // SHA-1, PKCS #1 1.5: only where it is named
  /// Certificate and key in DER.
  UA_StatusCode (*make)(UA_SecurityPolicy*, UA_ByteString certificate, UA_ByteString key,
                        const UA_Logger*);
};

inline constexpr std::string_view kNoPolicy = "http://opcfoundation.org/UA/SecurityPolicy#None";

/// The strongest first.
std::span<const Policy> policies() noexcept;
/// Null: it is not known, or is None.
const Policy* policy_with_name(std::string_view name) noexcept;
const Policy* policy_with_uri(std::string_view uri) noexcept;

/// "sign_and_encrypt"; empty: none of the three.
std::string_view mode_name(UA_MessageSecurityMode mode) noexcept;
std::optional<UA_MessageSecurityMode> mode_with_name(std::string_view name) noexcept;

}  // namespace backplane::opcua
