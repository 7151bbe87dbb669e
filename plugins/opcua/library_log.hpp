// SPDX-License-Identifier: Apache-2.0
// What open62541 logs, to the kernel's log.
#pragma once

#include <backplane/sdk/host.hpp>

#include <open62541/plugin/log.h>

namespace backplane::opcua {

/// `host` outlives it.
UA_Logger logger_to(const Host& host) noexcept;

}  // namespace backplane::opcua
