// SPDX-License-Identifier: Apache-2.0
// CoRE link format (RFC 6690): what /.well-known/core says, written and read.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::coap {

/// One resource of a list.
struct Link {
  std::string path;  // "/line1/temperature"
  std::string title;
  std::string rt;         // resource types, separated by blanks
  std::string interface;  // `if`
  std::string ct;         // Content-Format numbers, separated by blanks
  std::optional<size_t> sz;
  bool observable = false;
  friend bool operator==(const Link&, const Link&) = default;
};

/// `</a>;rt="temperature";ct=50;obs,</b>`: the links that the query selects (RFC 6690, 4.1):
/// "rt=temp*", "href=/line1/*"; an empty one selects all.
std::string write_links(const std::vector<Link>& links, std::string_view query);

/// Reads a list; attributes that Link does not have, and links to other hosts, are passed over.
/// Nothing when it is no list at all; at most `most` links.
std::optional<std::vector<Link>> read_links(std::string_view text, size_t most);

}  // namespace backplane::coap
