// SPDX-License-Identifier: Apache-2.0
// What the system lets this process do, by the permissions in the manifest of its plugin.
#pragma once

#include "plugin_manifest.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace backplane::isolation {

/// What is not there on this machine, in words for the operator; empty: everything holds.
using Missing = std::vector<std::string>;

/// Before there is a second thread: a thread gets its limits from the one that made it. The
/// manifest has been read, the library not mapped yet. With `shares_memory` it may wake others, and
/// be woken, by datagrams of this machine.
Missing confine(const kernel::RequestedPermissions& permissions,
                const std::filesystem::path& library_folder, bool shares_memory);

/// The memory that this process may take on top of what it has now: when all threads are there that
/// it has without its plugin.
Missing limit_memory(int64_t mib);

}  // namespace backplane::isolation
