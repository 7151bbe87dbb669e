// SPDX-License-Identifier: Apache-2.0
// The three ports of the demo: whether they are free, and which are if not.
#pragma once

#include <backplane/sdk/status.hpp>

#include <cstdint>
#include <optional>

namespace backplane::cli {

struct DemoPorts {
  uint16_t coap = 5683;   // UDP
  uint16_t mqtt = 1883;   // TCP
  uint16_t opcua = 4840;  // TCP

  /// N, N + 1 and N + 2.
  static DemoPorts from_base(uint16_t base) {
    return {base, static_cast<uint16_t>(base + 1), static_cast<uint16_t>(base + 2)};
  }
};

/// OK, or UNAVAILABLE with the port that is taken on 127.0.0.1, and the command that avoids it.
Status check_free(const DemoPorts& ports);

}  // namespace backplane::cli
