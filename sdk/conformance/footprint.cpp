// SPDX-License-Identifier: Apache-2.0
#include "footprint.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <malloc.h>
#include <string>

// Where AddressSanitizer is linked in, the heap is its own.
// NOLINTNEXTLINE(readability-identifier-naming,bugprone-reserved-identifier): its library's
extern "C" size_t __sanitizer_get_current_allocated_bytes() __attribute__((weak));

namespace backplane::conformance {
namespace {

namespace fs = std::filesystem;

size_t entries_of(const char* folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

Footprint Footprint::now() {
  Footprint out;
  out.threads = entries_of("/proc/self/task");
  out.descriptors = entries_of("/proc/self/fd");
  for (const auto& task : fs::directory_iterator("/proc/self/task")) {
    std::ifstream children(task.path() / "children");
    out.children += static_cast<size_t>(std::distance(std::istream_iterator<std::string>(children),
                                                      std::istream_iterator<std::string>()));
  }
  return out;
}

size_t heap_in_use() noexcept {
  if (__sanitizer_get_current_allocated_bytes != nullptr) {
    return __sanitizer_get_current_allocated_bytes();
  }
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

}  // namespace backplane::conformance
