// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"

#include <algorithm>

namespace backplane::kernel {
namespace {

constexpr std::size_t kLongestName = 64;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_'; }

bool is_scheme(std::string_view text) {
  return !text.empty() && is_lower(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_lower(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
         });
}

}  // namespace

bool is_instance_name(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName && is_word(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_word(c) || c == '-' || c == '.'; });
}

std::optional<Address> parse_address(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view before = text.substr(0, colon);
  if (text.substr(colon).starts_with("://")) {
    if (!is_scheme(before)) return std::nullopt;
    const std::size_t end = std::min(text.size(), text.find_first_of("/?#", colon + 3));
    std::string_view rest = text.substr(end);
    if (rest.starts_with('/')) rest.remove_prefix(1);
    return Address{before, text.substr(0, end), rest};
  }
  if (!is_instance_name(before)) return std::nullopt;
  return Address{{}, before, text.substr(colon + 1)};
}

AddressPattern AddressPattern::parse(std::string_view text) {
  if (!text.empty() && text.back() == '*')
    return {std::string(text.substr(0, text.size() - 1)), true};
  return exactly(text);
}

bool AddressPattern::matches(std::string_view address) const {
  if (!is_prefix) return address == text;
  const std::size_t colon = text.find(':');
  const bool names_instance =
      colon != std::string::npos && !std::string_view(text).substr(colon).starts_with("://");
  return address.starts_with(text) && !(names_instance && address.substr(colon).starts_with("://"));
}

std::string to_string(const AddressPattern& pattern) {
  return pattern.is_prefix ? pattern.text + '*' : pattern.text;
}

std::optional<AddressPattern> intersection(const AddressPattern& a, const AddressPattern& b) {
  if (!a.is_prefix) return b.matches(a.text) ? std::optional(a) : std::nullopt;
  if (!b.is_prefix) return a.matches(b.text) ? std::optional(b) : std::nullopt;
  const AddressPattern& longer = a.text.size() >= b.text.size() ? a : b;
  const AddressPattern& shorter = &longer == &a ? b : a;
  return shorter.matches(longer.text) ? std::optional(longer) : std::nullopt;
}

}  // namespace backplane::kernel
