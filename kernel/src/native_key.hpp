// SPDX-License-Identifier: Apache-2.0
// Native keys: their text, and what strings become (backplane/native_key.h).
#pragma once

#include "backplane/native_key.h"

#include <optional>
#include <string>
#include <string_view>

namespace backplane::kernel {

enum class KeyUse : std::uint32_t {
  kSharedMemory = BP_KEY_SHARED_MEMORY,
  kSemaphore = BP_KEY_SEMAPHORE,
};

struct NativeKey {
  std::uint32_t type = BP_KEY_POSIX;
  std::string name;  // as the system takes it
};

// Says what is wrong with the text in `problem`.
std::optional<NativeKey> parse_key(std::string_view text, std::string& problem);
// Empty: the type is unknown, or there is no name.
std::string text_of(const NativeKey& key);

// `string` is not empty, the type is supported.
NativeKey safe_key(KeyUse use, std::uint32_t type, std::string_view string);
NativeKey legacy_key(KeyUse use, std::uint32_t type, std::string_view string);

// Where safe keys of System V have their files; perhaps it is not there.
std::string runtime_folder();

bool is_system_v(std::uint32_t type) noexcept;
bool is_supported(KeyUse use, std::uint32_t type) noexcept;

}  // namespace backplane::kernel
