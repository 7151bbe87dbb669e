// SPDX-License-Identifier: Apache-2.0
// Arguments that the C API's functions on native keys have in common.
#pragma once

#include "native_key.hpp"

namespace backplane::kernel {

// UNIMPLEMENTED: there are no objects of that use with this type of key. INVALID_ARGUMENT: no name.
bp_status to_native_key(const bp_key& key, KeyUse use, NativeKey& out, bp_error* error);

// Of a sized struct of options: it is as long as `known`, and zero behind that. `known` ends with
// the last member, behind which there is no padding.
bp_status check_options(const void* options, std::size_t known, const char* name, bp_error* error);

// Of a member that is 0 unless it is said.
constexpr std::uint32_t or_default(std::uint32_t value, std::uint32_t by_default) noexcept {
  return value == 0 ? by_default : value;
}

}  // namespace backplane::kernel
