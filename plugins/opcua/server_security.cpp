// SPDX-License-Identifier: Apache-2.0
// The one place where it is decided what is signed and encrypted, who gets a session, and what he
// may do. For now everybody does, without security; nobody may change what the server has.
#include "server_config.hpp"

#include <open62541/plugin/accesscontrol_default.h>
#include <open62541/server_config_default.h>

namespace backplane::opcua {
namespace {

void require(UA_StatusCode status) {
  if (status != UA_STATUSCODE_GOOD) {
    throw std::bad_alloc();
  }
}

}  // namespace

void secure(UA_ServerConfig& config, const ServerSettings&) {
  require(UA_ServerConfig_addSecurityPolicyNone(&config, nullptr));
  require(UA_ServerConfig_addEndpoint(&config, UA_SECURITY_POLICY_NONE_URI,
                                      UA_MESSAGESECURITYMODE_NONE));
  require(UA_AccessControl_default(&config, true, nullptr, 0, nullptr));
  UA_AccessControl& access = config.accessControl;
  access.allowAddNode = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                           const UA_AddNodesItem*) { return false; };
  access.allowAddReference = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                                const UA_AddReferencesItem*) { return false; };
  access.allowDeleteNode = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                              const UA_DeleteNodesItem*) { return false; };
  access.allowDeleteReference = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                                   const UA_DeleteReferencesItem*) { return false; };
  access.allowHistoryUpdateUpdateData = [](UA_Server*, UA_AccessControl*, const UA_NodeId*, void*,
                                           const UA_NodeId*, UA_PerformUpdateType,
                                           const UA_DataValue*) { return false; };
  access.allowHistoryUpdateDeleteRawModified = [](UA_Server*, UA_AccessControl*, const UA_NodeId*,
                                                  void*, const UA_NodeId*, UA_DateTime, UA_DateTime,
                                                  bool) { return false; };
}

}  // namespace backplane::opcua
