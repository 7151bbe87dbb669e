// SPDX-License-Identifier: Apache-2.0
// Topic names and topic filters (MQTT 5, section 4.7): what may be written, and what matches what.
#pragma once

#include <backplane/sdk/status.hpp>

#include <string>
#include <string_view>

namespace backplane::mqtt {

/// A level separator, `+` and `#` make a filter of a name.
bool has_wildcard(std::string_view topic) noexcept;
/// `$share/GROUP/FILTER` (MQTT 5, section 4.8.2).
bool is_shared(std::string_view filter) noexcept;
/// The part of a filter that names are matched with: without `$share/GROUP/`.
std::string_view match_part(std::string_view filter) noexcept;

/// INVALID_ARGUMENT with the reason and the place, when nobody may publish to it.
Status check_topic_name(std::string_view topic);
/// INVALID_ARGUMENT, when nobody may subscribe to it. A name is a filter too.
Status check_topic_filter(std::string_view filter);

/// Whether a message to `topic` goes to a subscription of `filter`; both are valid. Topics that
/// begin with `$` match no wildcard at their beginning.
bool matches(const std::string& filter, const std::string& topic) noexcept;

}  // namespace backplane::mqtt
