// SPDX-License-Identifier: Apache-2.0
// LineReader: output in pieces becomes lines of valid UTF-8 with a bounded length.
#pragma once

#include <boost/locale/utf.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace backplane {

/// Bytes that are not UTF-8 become U+FFFD, control characters but the tab a space: a child cannot
/// forge lines of the log or colour it.
inline std::string clean_text(std::string_view bytes) {
  using Utf8 = boost::locale::utf::utf_traits<char>;
  std::string out;
  out.reserve(bytes.size());
  for (auto at = bytes.begin(); at != bytes.end();) {
    const auto begin = at;
    const auto point = Utf8::decode(at, bytes.end());
    if (point == boost::locale::utf::illegal || point == boost::locale::utf::incomplete) {
      out += "\xEF\xBF\xBD";
      at = begin + 1;
    } else if ((point < 0x20 && point != '\t') || (point >= 0x7F && point < 0xA0)) {
      out += ' ';
    } else {
      out.append(begin, at);
    }
  }
  return out;
}

/// Not thread-safe.
class LineReader {
 public:
  explicit LineReader(size_t longest) : longest_(longest) {}

  /// Calls `line(std::string, bool cut)` for each line that is complete now. What a line has above
  /// the bound is left out, and never kept.
  template <class Line>
  void feed(std::string_view bytes, Line&& line) {
    while (!bytes.empty()) {
      const size_t end = bytes.find('\n');
      const std::string_view piece = bytes.substr(0, end);
      const size_t room = longest_ - text_.size();
      text_ += piece.substr(0, room);
      cut_ = cut_ || piece.size() > room;
      if (end == bytes.npos) {
        return;
      }
      emit(line);
      bytes.remove_prefix(end + 1);
    }
  }
  /// The output has ended: what is left is a line too.
  template <class Line>
  void finish(Line&& line) {
    if (!text_.empty()) {
      emit(line);
    }
  }

 private:
  template <class Line>
  void emit(Line&& line) {
    if (text_.ends_with('\r')) {
      text_.pop_back();
    }
    std::string clean = clean_text(text_);
    const bool cut = cut_;
    text_.clear();
    cut_ = false;
    line(std::move(clean), cut);
  }

  const size_t longest_;
  std::string text_;
  bool cut_ = false;
};

}  // namespace backplane
