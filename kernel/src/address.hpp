// SPDX-License-Identifier: Apache-2.0
// Addresses as people write them, and patterns of addresses as permissions use them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace backplane::kernel {

/// `instance:rest`, or `scheme://authority/rest`. Views into the text it was made from.
struct Address {
  std::string_view scheme;  // empty: the address names an instance
  std::string_view target;  // the instance's name, or `scheme://authority`
  std::string_view
      rest;  // what the instance understands; of a URL, what follows the authority's slash

  bool is_url() const { return !scheme.empty(); }
};

/// Empty: neither form. A scheme is in lower case; an instance's name as is_instance_name() says.
std::optional<Address> parse_address(std::string_view text);

/// Letters, digits, `_`, `-` and `.`, not beginning with `-` or `.`; at most 64.
bool is_instance_name(std::string_view text);

/// One address, or all that begin with the same text. A prefix that names an instance matches no
/// URL: of `mqtt:*` is not `mqtt://host/x`, which leads elsewhere.
struct AddressPattern {
  std::string text;
  bool is_prefix = false;

  /// `sensors:*` is a prefix, `*` is every address, anything else is one address.
  static AddressPattern parse(std::string_view text);
  static AddressPattern exactly(std::string_view address) { return {std::string(address), false}; }

  bool matches(std::string_view address) const;
  bool operator==(const AddressPattern&) const = default;
};

std::string to_string(const AddressPattern& pattern);

/// The pattern of the addresses that both match, if there are any.
std::optional<AddressPattern> intersection(const AddressPattern& a, const AddressPattern& b);

}  // namespace backplane::kernel
