// SPDX-License-Identifier: Apache-2.0
// A reference from one node to another as the message of a browse.
#pragma once

#include "native.hpp"
#include <backplane/sdk/message.hpp>

namespace backplane::opcua {

/// Borrows from the reference.
void fill_entry(MessageBuilder& entry, const UA_ReferenceDescription& reference);

}  // namespace backplane::opcua
