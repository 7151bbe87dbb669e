// SPDX-License-Identifier: Apache-2.0
// The options of a request, which its mechanism has beside the headers that all have: the header
// BP_H_OPTIONS, a map by their names.
#pragma once

#include "message.hpp"

#include <algorithm>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace backplane {

/// They are borrowed from the request; null when there are none. Throws Error (INVALID_ARGUMENT)
/// when one is not among `known`, and says what there is.
///
///     for (const auto& [name, value] : options_of(op.in(), {"deadband", "queue"}).entries()) ...
inline ValueView options_of(MessageView request, std::span<const std::string_view> known) {
  const ValueView options = request.header(BP_H_OPTIONS).value_or(ValueView());
  if (options.tag != BP_T_MAP && !options.is_null()) {
    throw Error(BP_INVALID_ARGUMENT, "options: expected a map, got ", options.to_text(64));
  }
  for (const auto& [key, value] : options.entries()) {
    const auto name = key.get<std::string_view>();
    if (name && std::find(known.begin(), known.end(), *name) != known.end()) {
      continue;
    }
    std::string all;
    for (const std::string_view each : known) {
      all += concat(!all.empty()        ? ", '"
                    : known.size() == 1 ? "there is '"
                                        : "there are '",
                    each, "'");
    }
    throw Error(BP_INVALID_ARGUMENT, "there is no option '",
                name ? std::string(name->substr(0, 64)) : key.to_text(64), "'; ",
                all.empty() ? "there are none here" : all);
  }
  return options;
}
inline ValueView options_of(MessageView request,
                            std::initializer_list<std::string_view> known = {}) {
  return options_of(request, std::span(known.begin(), known.size()));
}

}  // namespace backplane
