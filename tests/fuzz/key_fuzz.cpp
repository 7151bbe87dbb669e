// SPDX-License-Identifier: Apache-2.0
// Texts of native keys: what is understood has a text of its own, which means the same.
#include "native_key.hpp"

#include <cstdlib>

namespace {

using namespace backplane::kernel;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string problem;
  const auto key = parse_key(text, problem);
  require(key.has_value() == problem.empty());
  if (key) {
    require(!key->name.empty() && key->name.find('\0') == std::string::npos);
    const auto again = parse_key(text_of(*key), problem);
    require(again && again->type == key->type && again->name == key->name);
  }
  if (size > 0) {  // any string makes a key
    for (const std::uint32_t type : {BP_KEY_POSIX, BP_KEY_ANONYMOUS, BP_KEY_SYSTEM_V}) {
      const NativeKey safe = safe_key(KeyUse::kSharedMemory, type, text);
      require(safe.name.find('\0') == std::string::npos);
      const auto parsed = parse_key(text_of(safe), problem);
      require(parsed && parsed->name == safe.name);
    }
  }
  return 0;
}
