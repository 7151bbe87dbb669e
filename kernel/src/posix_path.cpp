// SPDX-License-Identifier: Apache-2.0
#include "posix_path.hpp"

#include "error.hpp"

#include <climits>

namespace backplane::kernel {

bp_status posix_path(const NativeKey& key, std::string_view prefix, std::string& out,
                     bp_error* error) {
  const std::size_t begin = key.name.find_first_not_of('/');
  const std::string name = begin == std::string::npos ? std::string() : key.name.substr(begin);
  const std::size_t most = NAME_MAX - prefix.size();
  if (name.empty() || name.size() > most || name.find('/') != std::string::npos || name == "." ||
      name == "..") {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "a name of POSIX is '/' and up to " + std::to_string(most) +
                         " bytes without a slash; bp_key_safe makes one of any string");
  }
  out = std::string(kSharedMemoryFolder).append("/").append(prefix).append(name);
  return BP_OK;
}

}  // namespace backplane::kernel
