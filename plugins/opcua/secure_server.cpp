// SPDX-License-Identifier: Apache-2.0
#include "secure_server.hpp"

#include "policy_list.hpp"

#include <open62541/server_config_default.h>

namespace backplane::opcua {
namespace {

void add_endpoint(UA_ServerConfig& config, std::string_view policy, UA_MessageSecurityMode mode) {
  const UA_StatusCode status = UA_ServerConfig_addEndpoint(&config, borrowed(policy), mode);
  if (status != UA_STATUSCODE_GOOD) {
    throw Error(bad_status(status, "an endpoint"));
  }
}

/// Whether a policy takes the identity, which none is changed by.
void try_out(const Policy& policy, const Identity& identity, const UA_Logger* logger) {
  UA_SecurityPolicy tried{};
  const UA_StatusCode status =
      policy.make(&tried, bytes(identity.certificate), bytes(identity.key), logger);
  if (status != UA_STATUSCODE_GOOD) {
    throw Error(bad_status(status, concat("the renewed certificate and the policy ", policy.name)));
  }
  tried.clear(&tried);
}

}  // namespace

void secure_server(UA_ServerConfig& config, const SecuritySettings& settings, const Trust& trust,
                   const Identity* identity) {
  for (UA_CertificateVerification* const each : {&config.secureChannelPKI, &config.sessionPKI}) {
    if (each->clear != nullptr) {
      each->clear(each);
    }
    *each = trust.native(config.logging);
  }
  const bool is_open = settings.mode == UA_MESSAGESECURITYMODE_NONE;
  config.securityPolicyNoneDiscoveryOnly = !is_open;
  config.allowNonePolicyPassword = settings.plain_password;
  PolicyList list(config.securityPolicies, config.securityPoliciesSize, policies().size() + 1,
                  config.logging);
  list.add_none();
  if (is_open) {
    add_endpoint(config, kNoPolicy, UA_MESSAGESECURITYMODE_NONE);
  }
  if (identity == nullptr) {
    return;
  }
  replace(config.applicationDescription.applicationUri, identity->application_uri);
  for (const Policy& each : policies()) {
    if (settings.policy != nullptr ? settings.policy != &each : each.is_deprecated) {
      continue;
    }
    list.add(each, *identity);
    for (const auto mode : {UA_MESSAGESECURITYMODE_SIGN, UA_MESSAGESECURITYMODE_SIGNANDENCRYPT}) {
      if (settings.mode.value_or(mode) == mode) {
        add_endpoint(config, each.uri, mode);
      }
    }
  }
}

// UA_Server_updateCertificate finds no endpoint whose certificate is the policy's, as ours are. A
// policy that could not be changed has freed what it needs: so all are asked before one is changed.
void renew_server(UA_Server& server, const Identity& identity) {
  const UA_ServerConfig& config = *UA_Server_getConfig(&server);
  std::vector<UA_SecurityPolicy*> changed;
  for (size_t i = 0; i < config.securityPoliciesSize; ++i) {
    UA_SecurityPolicy& each = config.securityPolicies[i];
    if (const Policy* const policy = policy_with_uri(view(each.policyUri))) {  // not None
      try_out(*policy, identity, config.logging);
      changed.push_back(&each);
    }
  }
  for (UA_SecurityPolicy* const each : changed) {
    const UA_StatusCode status = each->updateCertificateAndPrivateKey(
        each, bytes(identity.certificate), bytes(identity.key));
    if (status != UA_STATUSCODE_GOOD) {
      throw Error(bad_status(status, "the renewed certificate"));
    }
  }
}

}  // namespace backplane::opcua
