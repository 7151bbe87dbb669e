// SPDX-License-Identifier: Apache-2.0
#include "core.hpp"

namespace backplane::route {

namespace {
constexpr int64_t kBetweenComplaintsNs = 1'000'000'000;
}

void Core::complain(std::string_view text, std::string_view where, const Status& why) {
  ++complaints_;
  const int64_t present = now();
  if (complained_ns_ != 0 && present - complained_ns_ < kBetweenComplaintsNs) {
    return;
  }
  host.log().warning(
      text,
      {{"address", where}, {"error", why.to_string()}, {"times", std::exchange(complaints_, 0)}});
  complained_ns_ = present;
}

}  // namespace backplane::route
