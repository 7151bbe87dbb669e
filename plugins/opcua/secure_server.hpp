// SPDX-License-Identifier: Apache-2.0
// The channels of a server: its policies and endpoints, its identity, and whom it trusts. Who may
// have a session, and do what, is the access control's.
#pragma once

#include "identity.hpp"
#include "settings.hpp"
#include "trust.hpp"

#include <open62541/server.h>

namespace backplane::opcua {

/// Of a configuration that has no policies yet (UA_ServerConfig_setBasics). Without
/// `settings.mode` there are signed and encrypted endpoints of each policy that is not deprecated;
/// a channel without security only tells them. With the mode "none" there is one without security,
/// and the policies are for passwords alone: then `identity` may be null. `trust` outlives the
/// server. Throws Error.
void secure_server(UA_ServerConfig& config, const SecuritySettings& settings, const Trust& trust,
                   const Identity* identity);

/// From the next handshake on it is this one; channels that are open stay until they are renewed.
/// Throws Error; then it is the one before, unless there is no memory.
void renew_server(UA_Server& server, const Identity& identity);

}  // namespace backplane::opcua
