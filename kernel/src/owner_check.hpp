// SPDX-License-Identifier: Apache-2.0
// Whose shared objects with a lock in them are opened.
#pragma once

#include "backplane/base.h"

#include <string_view>
#include <sys/types.h>

namespace backplane::kernel {

// PERMISSION_DENIED: `what` is another user's, root excepted, and its opener has not said that they
// trust them: who can write a robust mutex can write into the processes that use it.
bp_status check_owner(uid_t owner, bool is_trusted, std::string_view what, bp_error* error);

}  // namespace backplane::kernel
