// SPDX-License-Identifier: Apache-2.0
// The files that come with the command: share/backplane of the build tree, or of the installation.
#pragma once

#include <backplane/sdk/status.hpp>

#include <filesystem>

namespace backplane::cli {

/// Throws Error (NOT_FOUND) when the folder is not there.
inline std::filesystem::path shared_folder(std::string_view name) {
  const auto bin = std::filesystem::canonical("/proc/self/exe").parent_path();
  auto folder = bin.parent_path() / "share" / "backplane" / name;
  if (!std::filesystem::is_directory(folder)) {
    throw Error(BP_NOT_FOUND, folder.string(), " is missing: build or install backplane again");
  }
  return folder;
}

}  // namespace backplane::cli
