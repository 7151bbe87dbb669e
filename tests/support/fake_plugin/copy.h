// SPDX-License-Identifier: Apache-2.0
// Deep copies of messages: what somebody does who keeps a borrowed one.
#pragma once

#include "backplane/message.h"

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>

// A copy in a counted buffer: out->owner has one owner, the caller. Descriptors are duplicated, and
// closed with the last owner. False: no memory, no descriptor, or a tree deeper than 16.
bool copy_message(const bp_message* in, bp_message* out);

// A copy in `scratch` if it fits and holds no descriptor, else as above.
bool copy_result(const bp_message* in, void* scratch, uint64_t scratch_len, bp_message* out);

// Gives back a copy; `message` is empty afterwards.
void drop_message(bp_message* message);

#ifdef __cplusplus
}
#endif
