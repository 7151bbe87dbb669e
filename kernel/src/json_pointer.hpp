// SPDX-License-Identifier: Apache-2.0
// Building JSON pointers (RFC 6901) as strings: the keys under which a document remembers source
// positions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace backplane::kernel {

/// The pointer of member `key` of the object at `parent`.
inline std::string member(std::string_view parent, std::string_view key) {
  std::string pointer(parent);
  pointer.reserve(parent.size() + 1 + key.size());
  pointer += '/';
  for (const char c : key) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
  return pointer;
}

/// The pointer of item `index` of the array at `parent`.
inline std::string item(std::string_view parent, std::size_t index) {
  return std::string(parent) + '/' + std::to_string(index);
}

}  // namespace backplane::kernel
