// SPDX-License-Identifier: Apache-2.0
// A kernel with the plugins of this build.
#pragma once

#include "backplane/sdk/kernel.hpp"

#include <string>

namespace backplane::benchmark {

// Has started what the manifest says.
inline Kernel started_kernel(const std::string& manifest,
                             const std::string& more_plugins = BP_BENCH_PLUGIN_FOLDER) {
  KernelOptions options;
  options.plugin_folders = std::string(BP_BUILD_FOLDER "/plugins:") + more_plugins;
  options.manifest_folders = std::string(BP_BUILD_FOLDER "/plugin_manifests:") + more_plugins;
  options.log_level = BP_LOG_ERROR;
  Kernel kernel = Kernel::create(std::move(options)).value();
  kernel.load_text("benchmark.toml", manifest).or_throw();
  kernel.start().or_throw();
  return kernel;
}

}  // namespace backplane::benchmark
