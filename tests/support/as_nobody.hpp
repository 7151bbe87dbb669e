// SPDX-License-Identifier: Apache-2.0
// For tests of denied access, which root never is.
#pragma once

#include "in_child.hpp"

#include <functional>

namespace backplane::test {

/// Runs `body` in a child that is the user nobody; needs root. True: it returned true.
inline bool as_nobody(const std::function<bool()>& body) {
  constexpr uid_t kNobody = 65534;
  return in_child([&] {
           const bool dropped = ::setgid(kNobody) == 0 && ::setuid(kNobody) == 0;
           return dropped && body() ? 0 : 1;
         }) == 0;
}

}  // namespace backplane::test
