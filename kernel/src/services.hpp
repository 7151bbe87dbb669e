// SPDX-License-Identifier: Apache-2.0
// The tables of the host services, and who gets which.
#pragma once

#include "backplane/host.h"

#include <string_view>

namespace backplane::kernel {

// bp_host.get_service.
const void* get_service(const bp_host* host, const char* id);

bool has_service(std::string_view id);

}  // namespace backplane::kernel
