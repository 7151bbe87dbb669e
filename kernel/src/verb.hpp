// SPDX-License-Identifier: Apache-2.0
// The six verbs by name, numbered as in the ABI, and sets of them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace backplane::kernel {

enum class Verb : std::uint8_t { kRead = 1, kWrite, kCall, kWatch, kServe, kBrowse };

inline constexpr std::array kVerbs{Verb::kRead,  Verb::kWrite, Verb::kCall,
                                   Verb::kWatch, Verb::kServe, Verb::kBrowse};

/// A set of verbs, with the bits of BP_VERB_BIT.
using VerbMask = std::uint32_t;

constexpr VerbMask bit(Verb verb) { return VerbMask{1} << static_cast<unsigned>(verb); }

std::string_view to_string(Verb verb);
std::optional<Verb> verb_named(std::string_view name);

}  // namespace backplane::kernel
