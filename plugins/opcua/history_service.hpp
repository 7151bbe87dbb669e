// SPDX-License-Identifier: Apache-2.0
// HistoryRead of the server: raw values (part 11, 6.5.3).
//
// Design notes. The library's own store is not used: the one that keeps the last N values looks at
// no times (docs/adr/0012).
#pragma once

#include "address_space.hpp"
#include "history_options.hpp"

namespace backplane::opcua {

/// Of a configuration that has none yet; `nodes` outlives the server.
void serve_history(UA_ServerConfig& config, const AddressSpace& nodes);

/// What is wanted, from inside. Throws Error.
std::vector<DataValue> read_history(const Variable& variable, const HistoryOptions& options);

}  // namespace backplane::opcua
