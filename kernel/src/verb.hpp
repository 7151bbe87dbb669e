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

/// A set of verbs, with the bits of BP_VERB_BIT, and of those with a flag, with those of BP_CAN_*.
using VerbMask = std::uint32_t;

constexpr VerbMask bit(Verb verb) { return VerbMask{1} << static_cast<unsigned>(verb); }

inline constexpr VerbMask kWatchWithAck = VerbMask{1} << 16U;
inline constexpr VerbMask kCallDuplex = VerbMask{1} << 17U;
/// Whoever may use a verb may use it with its flags. Nothing else is in the result.
constexpr VerbMask with_flags(VerbMask verbs) {
  VerbMask all = 0;
  for (const Verb verb : kVerbs) all |= verbs & bit(verb);
  return all | ((verbs & bit(Verb::kWatch)) != 0 ? kWatchWithAck : 0) |
         ((verbs & bit(Verb::kCall)) != 0 ? kCallDuplex : 0);
}

std::string_view to_string(Verb verb);
std::optional<Verb> verb_named(std::string_view name);
/// For people: "read, watch, watch with BP_OP_ACK"; "nothing".
std::string in_words(VerbMask verbs);

}  // namespace backplane::kernel
