// SPDX-License-Identifier: Apache-2.0
// From the options of the command line to those of a kernel.
#pragma once

#include "commands.hpp"
#include <backplane/sdk/kernel.hpp>

namespace backplane::cli {

inline KernelOptions kernel_options(const Commands& commands) {
  KernelOptions options;
  options.plugin_folders = commands.plugin_folders;
  options.manifest_folders = commands.manifest_folders;
  return options;
}

}  // namespace backplane::cli
