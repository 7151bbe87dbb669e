// SPDX-License-Identifier: Apache-2.0
// Keeping borrowed messages beyond the call that showed them.
#pragma once

#include "backplane/message.h"

#include <cstdint>

namespace backplane::kernel {

// An array of n messages that owns or copies what it points to, in one block; NULL: no memory, or a
// tree deeper than 64. Freed by free_messages.
const bp_message* keep_messages(const bp_message* messages, std::uint32_t n) noexcept;
void free_messages(const bp_message* messages, std::uint32_t n) noexcept;

}  // namespace backplane::kernel
