// SPDX-License-Identifier: Apache-2.0
#include "owner_check.hpp"

#include "error.hpp"

#include <string>
#include <unistd.h>

namespace backplane::kernel {

bp_status check_owner(uid_t owner, bool is_trusted, std::string_view what, bp_error* error) {
  if (owner == 0 || owner == ::geteuid() || is_trusted) return BP_OK;
  return set_error(error, BP_PERMISSION_DENIED,
                   std::string(what).append(
                       " is of another user, who could write into this process by its lock: if you "
                       "trust them, say TRUST_OWNER"));
}

}  // namespace backplane::kernel
