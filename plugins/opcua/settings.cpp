// SPDX-License-Identifier: Apache-2.0
#include "settings.hpp"

#include <backplane/sdk/pki_store.hpp>

#include <open62541/util.h>

namespace backplane::opcua {

SecuritySettings::SecuritySettings(const Config& config)
    : pki(config.find<std::string>("pki").value_or("")),
      credentials(config.find<std::string>("credentials").value_or("")),
      user(config.find<std::string>("user").value_or("")),
      plain_password(config.boolean("plain_password")),
      check_host_name(config.boolean("check_host_name")) {
  if (const auto name = config.find<std::string>("security_mode")) {
    mode = mode_with_name(*name);
  }
  if (const auto name = config.find<std::string>("security_policy")) {
    policy = policy_with_name(*name);
  }
  if (mode == UA_MESSAGESECURITYMODE_NONE && policy != nullptr) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: security_policy '", policy->name,
                "' has no use with security_mode 'none': leave one of them out");
  }
  if (pki.empty()) {
    pki = pki::Store::default_folder();
  }
}

Settings::Settings(const Config& config)
    : url(config.string("url")),
      connect_timeout(config.seconds("connect_timeout_s")),
      request_timeout(config.seconds("request_timeout_s")),
      session_timeout(config.seconds("session_timeout_s")),
      keepalive(config.seconds("keepalive_s")),
      publishing(config.seconds("publishing_s")),
      max_requests(config.integer<size_t>("max_requests")),
      security(config) {
  if (keepalive >= session_timeout) {
    throw Error(
        BP_INVALID_ARGUMENT,
        "configuration: keepalive_s must be less than session_timeout_s: the server forgets "
        "a session that it hears nothing of");
  }
  const UA_String text = borrowed(url);
  UA_String host = UA_STRING_NULL;
  UA_String path = UA_STRING_NULL;
  if (UA_parseEndpointUrl(&text, &host, &port, &path) != UA_STATUSCODE_GOOD || host.length == 0) {
    throw Error(BP_INVALID_ARGUMENT, "configuration: url '", url,
                "': expected opc.tcp://HOST[:PORT][/PATH]");
  }
  address = view(host);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
}

bool Settings::is_loopback() const noexcept {
  return address == "localhost" || address == "::1" ||
         (address.starts_with("127.") && tls::is_address(address));
}

}  // namespace backplane::opcua
