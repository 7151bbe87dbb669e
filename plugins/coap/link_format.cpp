// SPDX-License-Identifier: Apache-2.0
#include "link_format.hpp"

#include <charconv>

namespace backplane::coap {
namespace {

void write_attribute(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) {
    return;
  }
  out += ';';
  out += name;
  out += "=\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  out += '"';
}

bool matches(std::string_view value, std::string_view pattern) {
  if (!pattern.empty() && pattern.back() == '*') {
    pattern.remove_suffix(1);
    return value.substr(0, pattern.size()) == pattern;
  }
  return value == pattern;
}

/// rt, if and ct are lists: one matching word is enough.
bool any_word_matches(std::string_view words, std::string_view pattern) {
  for (;;) {
    const size_t end = words.find(' ');
    if (matches(words.substr(0, end), pattern)) {
      return true;
    }
    if (end == words.npos) {
      return false;
    }
    words.remove_prefix(end + 1);
  }
}

bool selects(std::string_view query, const Link& link) {
  const size_t equals = query.find('=');
  if (query.empty() || equals == query.npos) {
    return true;
  }
  const std::string_view name = query.substr(0, equals);
  const std::string_view pattern = query.substr(equals + 1);
  return name == "href"    ? matches(link.path, pattern)
         : name == "rt"    ? any_word_matches(link.rt, pattern)
         : name == "if"    ? any_word_matches(link.interface, pattern)
         : name == "ct"    ? any_word_matches(link.ct, pattern)
         : name == "title" ? matches(link.title, pattern)
                           : false;
}

/// Takes text from the front.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  bool take(char c) {
    skip_blanks();
    if (rest_.empty() || rest_.front() != c) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }
  std::optional<std::string_view> until(char c) {
    const size_t end = rest_.find(c);
    if (end == rest_.npos) {
      return std::nullopt;
    }
    const std::string_view out = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return out;
  }
  std::string_view token() {
    skip_blanks();
    const std::string_view out = rest_.substr(0, rest_.find_first_of(";,= \t\r\n"));
    rest_.remove_prefix(out.size());
    return out;
  }
  std::optional<std::string> value() {
    if (!take('"')) {
      return std::string(token());
    }
    std::string out;
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') {
        return out;
      }
      if (c == '\\' && !rest_.empty()) {
        c = rest_.front();
        rest_.remove_prefix(1);
      }
      out += c;
    }
    return std::nullopt;
  }
  void skip_blanks() {
    while (!rest_.empty() &&
           std::string_view(" \t\r\n").find(rest_.front()) != std::string_view::npos) {
      rest_.remove_prefix(1);
    }
  }

 private:
  std::string_view rest_;
};

void set(Link& link, std::string_view name, std::string value) {
  if (name == "rt") {
    link.rt = std::move(value);
  } else if (name == "if") {
    link.interface = std::move(value);
  } else if (name == "ct") {
    link.ct = std::move(value);
  } else if (name == "title") {
    link.title = std::move(value);
  } else if (name == "obs") {
    link.observable = true;
  } else if (name == "sz") {
    size_t size = 0;
    if (std::from_chars(value.data(), value.data() + value.size(), size).ec == std::errc()) {
      link.sz = size;
    }
  }
}

}  // namespace

std::string write_links(const std::vector<Link>& links, std::string_view query) {
  std::string out;
  for (const Link& link : links) {
    if (!selects(query, link)) {
      continue;
    }
    if (!out.empty()) {
      out += ',';
    }
    out += '<';
    out += link.path;
    out += '>';
    write_attribute(out, "title", link.title);
    write_attribute(out, "rt", link.rt);
    write_attribute(out, "if", link.interface);
    if (link.ct.find_first_not_of("0123456789") != std::string::npos) {
      write_attribute(out, "ct", link.ct);
    } else if (!link.ct.empty()) {
      out += ";ct=" + link.ct;
    }
    if (link.sz) {
      out += ";sz=" + std::to_string(*link.sz);
    }
    if (link.observable) {
      out += ";obs";
    }
  }
  return out;
}

std::optional<std::vector<Link>> read_links(std::string_view text, size_t most) {
  std::vector<Link> links;
  Reader reader(text);
  reader.skip_blanks();
  while (!reader.at_end() && links.size() < most) {
    Link link;
    if (!reader.take('<')) {
      return std::nullopt;
    }
    const auto path = reader.until('>');
    if (!path) {
      return std::nullopt;
    }
    link.path = *path;
    while (reader.take(';')) {
      const std::string name(reader.token());
      std::string value;
      if (reader.take('=')) {
        auto read = reader.value();
        if (!read) {
          return std::nullopt;
        }
        value = *std::move(read);
      }
      set(link, name, std::move(value));
    }
    if (!link.path.empty() && link.path.front() == '/') {
      links.push_back(std::move(link));
    }
    if (!reader.take(',')) {
      reader.skip_blanks();
      if (!reader.at_end()) {
        return std::nullopt;
      }
    }
  }
  return links;
}

}  // namespace backplane::coap
