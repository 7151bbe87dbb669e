// SPDX-License-Identifier: Apache-2.0
// The grammar of a system manifest as schemas: of the file, and of what every instance and every
// route may have besides its plugin's configuration.
#pragma once

#include "config_schema.hpp"

namespace backplane::kernel {

/// Compiled; one thread at a time.
struct SystemFormat {
  SystemFormat();

  ConfigSchema file;
  ConfigSchema instance;
  ConfigSchema route;
};

}  // namespace backplane::kernel
