// SPDX-License-Identifier: Apache-2.0
// Which verbs an instance may use on which addresses.
#pragma once

#include "address.hpp"
#include "verb.hpp"

#include <string_view>
#include <vector>

namespace backplane::kernel {

class Permissions {
 public:
  static Permissions everything();

  void grant(AddressPattern pattern, VerbMask verbs);
  // The verbs that are allowed on an address.
  [[nodiscard]] VerbMask verbs_on(std::string_view address) const;

 private:
  struct Grant {
    AddressPattern pattern;
    VerbMask verbs;
  };
  std::vector<Grant> grants_;
};

}  // namespace backplane::kernel
