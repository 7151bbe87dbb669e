// SPDX-License-Identifier: Apache-2.0
#include "policies.hpp"

#include <algorithm>
#include <array>
#include <open62541/plugin/securitypolicy_default.h>

namespace backplane::opcua {
namespace {

constexpr std::array kPolicies = {
    Policy{"Aes256_Sha256_RsaPss",
           "http://opcfoundation.org/UA/SecurityPolicy#Aes256_Sha256_RsaPss", false,
           UA_SecurityPolicy_Aes256Sha256RsaPss},
    Policy{"Aes128_Sha256_RsaOaep",
           "http://opcfoundation.org/UA/SecurityPolicy#Aes128_Sha256_RsaOaep", false,
           UA_SecurityPolicy_Aes128Sha256RsaOaep},
    Policy{"Basic256Sha256", "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256", false,
           UA_SecurityPolicy_Basic256Sha256},
    Policy{"Basic256", "http://opcfoundation.org/UA/SecurityPolicy#Basic256", true,
           UA_SecurityPolicy_Basic256},
    Policy{"Basic128Rsa15", "http://opcfoundation.org/UA/SecurityPolicy#Basic128Rsa15", true,
           UA_SecurityPolicy_Basic128Rsa15},
};

constexpr std::array<std::pair<UA_MessageSecurityMode, std::string_view>, 3> kModes = {{
    {UA_MESSAGESECURITYMODE_NONE, "none"},
    {UA_MESSAGESECURITYMODE_SIGN, "sign"},
    {UA_MESSAGESECURITYMODE_SIGNANDENCRYPT, "sign_and_encrypt"},
}};

const Policy* find(std::string_view Policy::*member, std::string_view value) noexcept {
  const auto at = std::find_if(kPolicies.begin(), kPolicies.end(),
                               [&](const Policy& each) { return each.*member == value; });
  return at == kPolicies.end() ? nullptr : &*at;
}

}  // namespace

std::span<const Policy> policies() noexcept { return kPolicies; }
const Policy* policy_with_name(std::string_view name) noexcept { return find(&Policy::name, name); }
const Policy* policy_with_uri(std::string_view uri) noexcept { return find(&Policy::uri, uri); }

std::string_view mode_name(UA_MessageSecurityMode mode) noexcept {
  for (const auto& [each, name] : kModes) {
    if (each == mode) {
      return name;
    }
  }
  return {};
}

std::optional<UA_MessageSecurityMode> mode_with_name(std::string_view name) noexcept {
  for (const auto& [mode, each] : kModes) {
    if (each == name) {
      return mode;
    }
  }
  return std::nullopt;
}

}  // namespace backplane::opcua
