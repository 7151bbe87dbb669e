// SPDX-License-Identifier: Apache-2.0
#include "permissions.hpp"

#include <cstdint>
#include <utility>

namespace backplane::kernel {

Permissions Permissions::everything() {
  Permissions all;
  all.grant(AddressPattern::parse("*"), UINT32_MAX);
  return all;
}

void Permissions::grant(AddressPattern pattern, VerbMask verbs) {
  grants_.push_back({std::move(pattern), verbs});
}

VerbMask Permissions::verbs_on(std::string_view address) const {
  VerbMask verbs = 0;
  for (const Grant& grant : grants_) {
    if (grant.pattern.matches(address)) verbs |= grant.verbs;
  }
  return verbs;
}

}  // namespace backplane::kernel
