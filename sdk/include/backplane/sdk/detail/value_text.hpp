// SPDX-License-Identifier: Apache-2.0
// The bodies behind value.hpp: comparison and text.
#pragma once

#include "value_inline.hpp"

#include <charconv>

namespace backplane {

inline bool ValueView::equal(const ValueView& a, const ValueView& b, unsigned depth) noexcept {
  if (a.tag != b.tag || a.aux != b.aux || a.len != b.len || depth == 0) {
    return false;
  }
  switch (b.tag) {  // of b, often a constant: GCC 12 would else warn of what cannot be
    case BP_T_NULL:
      return true;
    case BP_T_FLOAT:
      return a.as.f == b.as.f || (std::isnan(a.as.f) && std::isnan(b.as.f));
    case BP_T_STRING:
    case BP_T_BYTES:
    case BP_T_ENCODED:
      return a.len == 0 || std::memcmp(a.as.p, b.as.p, a.len) == 0;
    case BP_T_ARRAY:
      return a.len == 0 || std::memcmp(a.as.p, b.as.p, a.len * detail::element_size(a.aux)) == 0;
    case BP_T_LIST:
    case BP_T_MATRIX:
    case BP_T_TYPED:
      for (size_t i = 0; i < a.size(); ++i) {
        if (!equal(a.at(i), b.at(i), depth - 1)) {
          return false;
        }
      }
      return true;
    case BP_T_MAP:
      for (size_t i = 0; i < a.len; ++i) {
        if (!equal(a.as.map[i].key, b.as.map[i].key, depth - 1) ||
            !equal(a.as.map[i].val, b.as.map[i].val, depth - 1)) {
          return false;
        }
      }
      return true;
    default:
      return a.as.u == b.as.u;
  }
}

inline void ValueView::write_text(std::string& out, const ValueView& value, size_t limit,
                                  unsigned depth) {
  if (out.size() >= limit || depth == 0) {
    out += "...";
    return;
  }
  switch (value.tag) {
    case BP_T_NULL:
      out += "null";
      break;
    case BP_T_BOOL:
      out += value.as.u != 0 ? "true" : "false";
      break;
    case BP_T_UINT:
      out += std::to_string(value.as.u);
      break;
    case BP_T_INT:
      out += std::to_string(value.as.i);
      break;
    case BP_T_FLOAT: {
      char digits[32];
      const auto end = std::to_chars(digits, digits + sizeof digits, value.as.f).ptr;
      out.append(digits, end);
      break;
    }
    case BP_T_STRING: {
      const std::string_view text =
          value.len == 0 ? std::string_view() : std::string_view(value.as.s, value.len);
      out += concat('"', text.substr(0, limit), text.size() > limit ? "...\"" : "\"");
      break;
    }
    case BP_T_LIST:
    case BP_T_ARRAY:
    case BP_T_MATRIX:
    case BP_T_TYPED:
      out += '[';
      for (size_t i = 0; i < value.size() && out.size() < limit; ++i) {
        out += i == 0 ? "" : ",";
        write_text(out, value.at(i), limit, depth - 1);
      }
      out += out.size() < limit ? "]" : "...]";
      break;
    case BP_T_MAP:
      out += '{';
      for (size_t i = 0; i < value.len && out.size() < limit; ++i) {
        out += i == 0 ? "" : ",";
        write_text(out, value.as.map[i].key, limit, depth - 1);
        out += ':';
        write_text(out, value.as.map[i].val, limit, depth - 1);
      }
      out += out.size() < limit ? "}" : "...}";
      break;
    default:
      out += value.tag == BP_T_BYTES || value.tag == BP_T_ENCODED
                 ? concat('<', value.type_name(), ' ', value.len, " bytes>")
                 : concat('<', value.type_name(), ' ', value.as.i, '>');
      break;
  }
}

}  // namespace backplane
