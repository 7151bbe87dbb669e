// SPDX-License-Identifier: Apache-2.0
#include "json_pointer.hpp"

#include <charconv>

namespace backplane::route {

namespace {

/// RFC 6901, section 4: digits without a leading zero.
std::optional<uint64_t> index_of(std::string_view name) {
  uint64_t index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  return whole && (name.size() == 1 || name.front() != '0') ? std::optional(index) : std::nullopt;
}

std::optional<ValueView> step(ValueView value, const std::string& name,
                              const std::optional<uint64_t>& index) {
  if (value.tag == BP_T_TYPED) {
    value = value.at(1);
  }
  if (value.tag == BP_T_MAP) {
    if (auto member = value.find(name)) {
      return member;
    }
    if (!index) {
      return std::nullopt;
    }
    if (auto member = value.find(*index)) {
      return member;
    }
    return value.find(static_cast<int64_t>(*index));
  }
  const bool has_items = value.tag == BP_T_LIST || value.tag == BP_T_ARRAY;
  return has_items && index && *index < value.size() ? std::optional(value.at(*index))
                                                     : std::nullopt;
}

}  // namespace

Result<JsonPointer> JsonPointer::parse(std::string_view text) {
  JsonPointer out;
  out.text_ = text;
  if (!text.empty() && text.front() != '/') {
    return Status(BP_INVALID_ARGUMENT, "JSON pointer '", text, "': expected a slash first");
  }
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('/', at + 1);
    end = end == text.npos ? text.size() : end;
    std::string name;
    for (size_t i = at + 1; i < end; ++i) {
      if (text[i] != '~') {
        name += text[i];
        continue;
      }
      if (++i == end || (text[i] != '0' && text[i] != '1')) {
        return Status(BP_INVALID_ARGUMENT, "JSON pointer '", text,
                      "': expected ~0 for a tilde, ~1 for a slash");
      }
      name += text[i] == '0' ? '~' : '/';
    }
    const auto index = index_of(name);
    out.tokens_.push_back({std::move(name), index, end});
    at = end;
  }
  return out;
}

Result<ValueView> JsonPointer::find(ValueView value) const {
  for (const Token& token : tokens_) {
    const auto next = step(value, token.name, token.index);
    if (!next) {
      return Status(BP_NOT_FOUND, "nothing is at '", std::string_view(text_).substr(0, token.end),
                    "', in ", value.type_name(), " ", value.to_text(80));
    }
    value = *next;
  }
  return value;
}

}  // namespace backplane::route
