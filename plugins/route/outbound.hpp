// SPDX-License-Identifier: Apache-2.0
// Which headers a destination gets: those of the source that mean something elsewhere, those of the
// configuration, and one hop more.
#pragma once

#include <backplane/sdk/message.hpp>

namespace backplane::route {

struct HeaderSources {
  MessageView from = {};                  // what came
  MessageView configured = {};            // headers that replace carried ones
  bool keeps_body = true;                 // the body is what came: its content type still holds
  std::string_view content_type = {};     // of a body that a step made; empty: none
  std::optional<int64_t> expiry_ns = {};  // what is left of it
  uint64_t hops = 0;                      // this route included
};

/// Fills `out` anew; borrowed from all of `sources`.
void compose_headers(const HeaderSources& sources, std::vector<bp_pair>& out);

}  // namespace backplane::route
