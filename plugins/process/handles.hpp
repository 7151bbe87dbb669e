// SPDX-License-Identifier: Apache-2.0
// Owners of what the C library and the system hand out.
#pragma once

#include <backplane/sdk/status.hpp>
#include <backplane/sdk/unique_handle.hpp>

#include <regex.h>

namespace backplane::process {

/// A POSIX extended regular expression: unlike std::regex its matcher does not recurse with the
/// text. Immutable, so any thread may match with it.
class Regex {
 public:
  /// Throws Error with what is wrong with the pattern.
  explicit Regex(const std::string& pattern) {
    if (const int code = regcomp(&regex_, pattern.c_str(), REG_EXTENDED | REG_NOSUB); code != 0) {
      char text[128];
      regerror(code, &regex_, text, sizeof text);
      throw Error(BP_INVALID_ARGUMENT, "the regular expression '", pattern,
                  "' is wrong: ", std::string_view(text));
    }
  }
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;
  ~Regex() { regfree(&regex_); }

  bool matches(const std::string& text) const noexcept {
    return regexec(&regex_, text.c_str(), 0, nullptr, 0) == 0;
  }

 private:
  regex_t regex_{};
};

}  // namespace backplane::process
