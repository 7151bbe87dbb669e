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

}  // namespace backplane::kernel
