// SPDX-License-Identifier: Apache-2.0
// The exported functions of backplane/native_key.h.
#include "error.hpp"
#include "native_key.hpp"

#include <algorithm>
#include <cstring>

namespace {

using namespace backplane::kernel;

bp_status give(const NativeKey& key, bp_key* out, bp_error* error) noexcept {
  out->type = key.type;
  out->length = 0;
  out->name[0] = '\0';
  if (key.name.size() > BP_KEY_NAME_MAX) {
    return set_error(error, BP_OUT_OF_RANGE, "the key's name has more than 4095 bytes");
  }
  out->length = static_cast<std::uint32_t>(key.name.size());
  std::memcpy(out->name, key.name.c_str(), key.name.size() + 1);
  return BP_OK;
}

using Maker = NativeKey (*)(KeyUse, std::uint32_t, std::string_view);
bp_status make(Maker maker, std::uint32_t use, std::uint32_t type, bp_str string, bp_key* out,
               bp_error* error) noexcept {
  *out = bp_key{};
  if (use != BP_KEY_SHARED_MEMORY && use != BP_KEY_SEMAPHORE) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "a key is for BP_KEY_SHARED_MEMORY or BP_KEY_SEMAPHORE");
  }
  if (string.len == 0) return set_error(error, BP_INVALID_ARGUMENT, "a key needs a string");
  const auto whose = static_cast<KeyUse>(use);
  if (!is_supported(whose, type)) {
    return set_error(error, BP_UNIMPLEMENTED, "this type of key is not supported here");
  }
  return guarded(error, [&] { return give(maker(whose, type, view(string)), out, error); });
}

}  // namespace

bp_status bp_key_parse(bp_str text, bp_key* out, bp_error* error) {
  *out = bp_key{};
  return guarded(error, [&] {
    std::string problem;
    const auto key = parse_key(view(text), problem);
    return key ? give(*key, out, error) : set_error(error, BP_INVALID_ARGUMENT, problem);
  });
}

std::uint64_t bp_key_text(const bp_key* key, char* out, std::uint64_t size) {
  std::string text;
  guarded(nullptr, [&] {
    text = text_of({key->type, std::string(key->name, std::min(key->length, BP_KEY_NAME_MAX))});
    return BP_OK;
  });
  if (size > 0) {
    const std::size_t n = std::min<std::size_t>(text.size(), size - 1);
    std::memcpy(out, text.data(), n);
    out[n] = '\0';
  }
  return text.size();
}

bp_status bp_key_safe(std::uint32_t use, std::uint32_t type, bp_str string, bp_key* out,
                      bp_error* error) {
  return make(&safe_key, use, type, string, out, error);
}

bp_status bp_key_legacy(std::uint32_t use, std::uint32_t type, bp_str string, bp_key* out,
                        bp_error* error) {
  *out = bp_key{};
  if (type == BP_KEY_ANONYMOUS) {
    return set_error(error, BP_UNIMPLEMENTED, "Qt has no anonymous keys");
  }
  return make(&legacy_key, use, type, string, out, error);
}

std::uint32_t bp_key_is_supported(std::uint32_t use, std::uint32_t type) {
  const bool is_use = use == BP_KEY_SHARED_MEMORY || use == BP_KEY_SEMAPHORE;
  return is_use && is_supported(static_cast<KeyUse>(use), type) ? 1 : 0;
}
