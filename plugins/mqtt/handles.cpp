// SPDX-License-Identifier: Apache-2.0
#include "handles.hpp"

#include <mutex>

namespace backplane::mqtt {
namespace {
std::mutex library_mutex;  // of the process, as the count that it guards
}  // namespace

LibraryUse::LibraryUse() {
  const std::lock_guard lock(library_mutex);
  mosquitto_lib_init();
}

LibraryUse::~LibraryUse() {
  const std::lock_guard lock(library_mutex);
  mosquitto_lib_cleanup();
}

}  // namespace backplane::mqtt
