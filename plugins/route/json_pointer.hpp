// SPDX-License-Identifier: Apache-2.0
// JSON pointer (RFC 6901) over values: not only JSON's, since maps and lists of every mechanism
// look alike.
#pragma once

#include <backplane/sdk/value.hpp>

namespace backplane::route {

/// Parsed once. Immutable.
class JsonPointer {
 public:
  /// INVALID_ARGUMENT: neither empty nor begun by a slash, or a `~` that is followed by neither 0
  /// nor 1.
  static Result<JsonPointer> parse(std::string_view text);

  /// The value that it points to, a part of `value`: borrowed like that. The empty pointer gives
  /// `value` itself. A member of a map is found by its string key, else by an integer key; a typed
  /// value counts as what it holds. NOT_FOUND says how far the pointer led.
  Result<ValueView> find(ValueView value) const;

  const std::string& text() const noexcept { return text_; }

 private:
  struct Token {
    std::string name;
    std::optional<uint64_t> index;  // if it is also a number
    size_t end;                     // of this token in text_
  };
  std::string text_;
  std::vector<Token> tokens_;
};

}  // namespace backplane::route
