// SPDX-License-Identifier: Apache-2.0
// The grammar of a plugin manifest as a schema.
#pragma once

#include "config_schema.hpp"

namespace backplane::kernel {

ConfigSchema plugin_manifest_format();

}  // namespace backplane::kernel
