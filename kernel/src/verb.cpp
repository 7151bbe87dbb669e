// SPDX-License-Identifier: Apache-2.0
#include "verb.hpp"

#include <backplane/operation.h>

namespace backplane::kernel {

static_assert(bit(Verb::kRead) == BP_VERB_BIT(BP_V_READ));
static_assert(bit(Verb::kWrite) == BP_VERB_BIT(BP_V_WRITE));
static_assert(bit(Verb::kCall) == BP_VERB_BIT(BP_V_CALL));
static_assert(bit(Verb::kWatch) == BP_VERB_BIT(BP_V_WATCH));
static_assert(bit(Verb::kServe) == BP_VERB_BIT(BP_V_SERVE));
static_assert(bit(Verb::kBrowse) == BP_VERB_BIT(BP_V_BROWSE));
static_assert(kWatchWithAck == BP_CAN_ACK);
static_assert(kCallDuplex == BP_CAN_DUPLEX);

std::string_view to_string(Verb verb) {
  switch (verb) {
    case Verb::kRead:
      return "read";
    case Verb::kWrite:
      return "write";
    case Verb::kCall:
      return "call";
    case Verb::kWatch:
      return "watch";
    case Verb::kServe:
      return "serve";
    case Verb::kBrowse:
      return "browse";
  }
  return "";
}

std::optional<Verb> verb_named(std::string_view name) {
  for (const Verb verb : kVerbs) {
    if (to_string(verb) == name) return verb;
  }
  return std::nullopt;
}

std::string in_words(VerbMask verbs) {
  std::string text;
  const auto add = [&](VerbMask one, std::string_view word) {
    if ((verbs & one) != 0) text.append(text.empty() ? "" : ", ").append(word);
  };
  for (const Verb verb : kVerbs) add(bit(verb), to_string(verb));
  add(kWatchWithAck, "watch with BP_OP_ACK");
  add(kCallDuplex, "call with BP_OP_DUPLEX");
  return text.empty() ? "nothing" : text;
}

}  // namespace backplane::kernel
