// SPDX-License-Identifier: Apache-2.0
// Finds the node at the end of a browse path, and the one before it.
#pragma once

#include "job.hpp"

namespace backplane::opcua {

/// Sets `node` and `parent` of the target, which stays until `done`. [loop]
void follow(Session& session, Target& target, std::function<void(const Status&)> done);

}  // namespace backplane::opcua
