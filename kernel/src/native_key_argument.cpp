// SPDX-License-Identifier: Apache-2.0
#include "native_key_argument.hpp"

#include "error.hpp"

#include <algorithm>
#include <cstring>

namespace backplane::kernel {

bp_status to_native_key(const bp_key& key, KeyUse use, NativeKey& out, bp_error* error) {
  out = {key.type, std::string(key.name, std::min(key.length, BP_KEY_NAME_MAX))};
  if (!is_supported(use, out.type)) {
    return set_error(error, BP_UNIMPLEMENTED,
                     use == KeyUse::kSemaphore
                         ? "there are no semaphores with this type of key: posix, systemv, "
                           "anonymous have them"
                         : "there is no memory with this type of key: posix, systemv, anonymous "
                           "have it");
  }
  if (key.length > BP_KEY_NAME_MAX || out.name.empty() ||
      out.name.find('\0') != std::string::npos) {
    return set_error(error, BP_INVALID_ARGUMENT, "the key's name is empty, too long, or has a NUL");
  }
  return BP_OK;
}

bp_status check_options(const void* options, std::size_t known, const char* name, bp_error* error) {
  std::uint32_t size = 0;
  std::memcpy(&size, options, sizeof size);
  if (size < known) {
    return set_error(error, BP_INVALID_ARGUMENT, std::string(name) + " has no struct_size");
  }
  const auto* const bytes = static_cast<const unsigned char*>(options);
  if (std::any_of(bytes + known, bytes + size, [](unsigned char byte) { return byte != 0; })) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     std::string(name) + " has members that this version does not know");
  }
  return BP_OK;
}

}  // namespace backplane::kernel
