// SPDX-License-Identifier: Apache-2.0
// What the headers of a WATCH say about the past.
#pragma once

#include "native.hpp"
#include <backplane/sdk/message.hpp>

#include <optional>

namespace backplane::opcua {

struct HistoryOptions {
  /// Nothing: it is about the present. Throws Error (INVALID_ARGUMENT).
  static std::optional<HistoryOptions> of(MessageView in);

  /// As the service has it, with so many values in a page.
  UA_ReadRawModifiedDetails details(uint32_t page) const noexcept;

  UA_DateTime start = 0;
  UA_DateTime end = 0;  // before the start: backwards
  uint32_t most = 0;    // 0: all
  bool is_reversible = false;
  std::string range;
};

}  // namespace backplane::opcua
