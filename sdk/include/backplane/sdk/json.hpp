// SPDX-License-Identifier: Apache-2.0
// Values as JSON (RFC 8259) and back, by nlohmann's parser and writer. The mapping is the table in
// plugins/formats/README.md. Needs the package nlohmann_json; no other header of the SDK does.
#pragma once

#include "detail/tree_builder.hpp"
#include "message.hpp"
#include "rfc3339.hpp"

#include <nlohmann/json.hpp>

#include <charconv>

namespace backplane {

/// The value of a JSON text, in one counted buffer. Numbers: an integer is an INT of 64 bits if it
/// fits, else a UINT, else refused; one with a point or an exponent is a FLOAT. RESOURCE_EXHAUSTED:
/// above a limit; INVALID_ARGUMENT, OUT_OF_RANGE: with the offset of the byte, from 0, and what is
/// wrong there. [any][nb]
inline Result<OwnedMessage> from_json(std::string_view text, const ParseLimits& limits = {});

/// Compact JSON. Throws Error (INVALID_ARGUMENT, OUT_OF_RANGE) for what JSON cannot say:
/// references, descriptors, text that is no UTF-8, a map with a key twice, more than kMaxDepth
/// levels. [any][nb]
inline std::string to_json(const bp_value& value);

namespace detail {

/// RFC 4648, section 4.
inline std::string base64(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    unsigned group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8u | (k < n ? std::to_integer<unsigned>(bytes[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += k <= n ? kDigits[group >> (18 - 6 * k) & 63u] : '=';
    }
  }
  return out;
}

/// RFC 9562, section 4: 8-4-4-4-12 hexadecimal digits.
inline std::string uuid_text(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) {
      out += '-';
    }
    const auto byte = std::to_integer<unsigned>(bytes[i]);
    out += kDigits[byte >> 4u];
    out += kDigits[byte & 15u];
  }
  return out;
}

/// Walks a tree into nlohmann's.
class JsonWriter {
 public:
  using Json = nlohmann::ordered_json;

  static Json make(ValueView value, unsigned depth = kMaxDepth) {
    if (depth == 0) {
      throw Error(BP_INVALID_ARGUMENT, "JSON: nested deeper than ", kMaxDepth, " levels");
    }
    switch (value.tag) {
      case BP_T_NULL:
        return nullptr;
      case BP_T_BOOL:
        return value.as.u != 0;
      case BP_T_INT:
        return value.as.i;
      case BP_T_UINT:
        return value.as.u;
      case BP_T_FLOAT:
        return number(value);
      case BP_T_TIME:
        return to_rfc3339(value).value();
      case BP_T_STRING:
        return value.get<std::string>().value();
      case BP_T_BYTES:
        return value.aux == BP_BYTES_UUID && value.len == 16 ? uuid_text(*value.payload())
                                                             : base64(*value.payload());
      case BP_T_LIST:
      case BP_T_ARRAY:
        return array(value, depth);
      case BP_T_MAP:
        return object(value, depth);
      case BP_T_MATRIX:
        return matrix(value, depth);
      case BP_T_TYPED:
        return Json::object(
            {{"type", make(value.at(0), depth - 1)}, {"value", make(value.at(1), depth - 1)}});
      case BP_T_ENCODED:
        return value.aux == BP_FORMAT_JSON ? embedded(value, depth)
                                           : Json(base64(*value.payload()));
      default:
        throw Error(BP_INVALID_ARGUMENT, "JSON: a ", value.type_name(),
                    " means nothing outside of its process");
    }
  }

  static std::string dump(const Json& json) {
    try {
      return json.dump();
    } catch (const Json::exception& error) {  // the only one: text that is no UTF-8
      throw Error(BP_INVALID_ARGUMENT, "JSON: a string is not UTF-8, send it as bytes: ",
                  std::string_view(error.what()));
    }
  }

 private:
  static Json number(ValueView value) {
    if (std::isnan(value.as.f)) {
      return "NaN";
    }
    if (std::isinf(value.as.f)) {
      return value.as.f > 0 ? "Infinity" : "-Infinity";
    }
    if (value.aux != 32) {
      return value.as.f;
    }
    // 0.1f is 0.1, not 0.10000000149011612: the double whose digits are the float's shortest ones.
    char digits[32];
    const char* end =
        std::to_chars(digits, digits + sizeof digits, static_cast<float>(value.as.f)).ptr;
    double shortest = value.as.f;
    std::from_chars(digits, end, shortest);
    return shortest;
  }

  static Json array(ValueView value, unsigned depth) {
    Json out = Json::array();
    auto& items = out.get_ref<Json::array_t&>();
    items.reserve(value.size());
    for (const ValueView item : value.items()) {
      items.push_back(make(item, depth - 1));
    }
    return out;
  }

  static Json object(ValueView value, unsigned depth) {
    Json out = Json::object();
    auto& members = out.get_ref<Json::object_t&>();
    members.reserve(value.size());
    std::vector<std::string_view> names;
    names.reserve(value.size());
    for (const auto& [key, item] : value.entries()) {
      // Past ordered_map's own emplace, which looks through all members each time.
      members.Json::object_t::Container::emplace_back(name(key), make(item, depth - 1));
    }
    for (const auto& member : members) {
      names.push_back(member.first);
    }
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) {
      throw Error(BP_INVALID_ARGUMENT, "JSON: the key '", twice->substr(0, 64),
                  "' stands twice in one map");
    }
    return out;
  }

  /// A key that is no string is the text of its value.
  static std::string name(ValueView key) {
    const Json json = make(key, 2);
    if (json.is_structured()) {
      throw Error(BP_INVALID_ARGUMENT, "JSON: a ", key.type_name(), " cannot be a key");
    }
    return json.is_string() ? json.get_ref<const std::string&>() : dump(json);
  }

  static Json matrix(ValueView value, unsigned depth) {
    const auto sizes = value.at(0).get<std::vector<uint32_t>>();
    const ValueView elements = value.at(1);
    uint64_t product = 1;
    bool fits = sizes.has_value() && !sizes->empty() && sizes->size() < depth;
    for (size_t i = 0; fits && i < sizes->size(); ++i) {
      fits = !__builtin_mul_overflow(product, (*sizes)[i], &product);
    }
    if (!fits || product != elements.size()) {
      throw Error(BP_INVALID_ARGUMENT, "JSON: the dimensions of a matrix do not give its ",
                  elements.size(), " elements");
    }
    size_t next = 0;
    return rows(*sizes, 0, elements, next, depth);
  }
  static Json rows(const std::vector<uint32_t>& sizes, size_t level, ValueView elements,
                   size_t& next, unsigned depth) {
    if (level == sizes.size()) {
      return make(elements.at(next++), depth - 1);
    }
    Json out = Json::array();
    // An outer dimension may be large while an inner one is 0: no elements, no rows.
    for (uint32_t i = 0; i < sizes[level] && next < elements.size(); ++i) {
      out.push_back(rows(sizes, level + 1, elements, next, depth - 1));
    }
    return out;
  }

  static Json embedded(ValueView value, unsigned depth) {
    const auto parsed = from_json({value.as.s, value.len}).value();
    return make(parsed.body(), depth);
  }
};

/// Counts what the lexer has taken, so that every error has its place.
struct JsonCursor {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* at;
  const char** last;
  reference operator*() const noexcept { return *at; }
  JsonCursor& operator++() noexcept { return *last = at++, *this; }
  JsonCursor operator++(int) noexcept {
    const JsonCursor old = *this;
    ++*this;
    return old;
  }
  bool operator==(const JsonCursor& other) const noexcept { return at == other.at; }
  bool operator!=(const JsonCursor& other) const noexcept { return at != other.at; }
};

/// The events of nlohmann's parser. Its error text is kept without what it quotes of the input.
class JsonReader {
 public:
  explicit JsonReader(TreeBuilder& tree) : tree_(tree) {}

  bool null() { return tree_.add(nullptr), true; }
  bool boolean(bool value) { return tree_.add(value), true; }
  bool number_integer(int64_t value) { return tree_.add(value), true; }
  bool number_unsigned(uint64_t value) {
    if (std::in_range<int64_t>(value)) {
      tree_.add(static_cast<int64_t>(value));
    } else {
      tree_.add(value);
    }
    return true;
  }
  bool number_float(double value, const std::string& digits) {
    if (digits.find_first_of(".eE") == std::string::npos) {
      throw Error(BP_OUT_OF_RANGE, "an integer of more than 64 bits");
    }
    tree_.add(value);
    return true;
  }
  bool string(std::string& value) { return tree_.add_copy(value), true; }
  bool binary(nlohmann::json::binary_t&) { return false; }  // not in JSON text
  bool start_object(size_t) { return tree_.begin(TreeBuilder::Kind::kMap), true; }
  bool key(std::string& value) { return string(value); }
  bool end_object() { return tree_.end(), true; }
  bool start_array(size_t) { return tree_.begin(TreeBuilder::Kind::kList), true; }
  bool end_array() { return tree_.end(), true; }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: WHAT; last read: '...'"
    std::string_view what = error.what();
    const size_t column = what.find("column ");
    const size_t begin = column == what.npos ? what.find("] ") : what.find(": ", column);
    what.remove_prefix(begin == what.npos ? 0 : begin + 2);
    what = what.substr(0, what.find("; last read"));
    const bool range = error.id == 406;
    throw Error(range ? BP_OUT_OF_RANGE : BP_INVALID_ARGUMENT,
                range ? std::string_view("a number that no double holds") : what);
  }

 private:
  TreeBuilder& tree_;
};

}  // namespace detail

inline Result<OwnedMessage> from_json(std::string_view text, const ParseLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Status(BP_RESOURCE_EXHAUSTED, "JSON: ", text.size(), " bytes; at most ",
                  limits.max_bytes, " are parsed");
  }
  const char* last = text.data();
  try {
    StackArena<2048> arena;
    detail::TreeBuilder tree(arena, limits);
    detail::JsonReader reader(tree);
    const char* end = text.data() + text.size();
    nlohmann::json::sax_parse(detail::JsonCursor{text.data(), &last},
                              detail::JsonCursor{end, &last}, &reader);
    return OwnedMessage(tree.root());
  } catch (const Error& error) {
    return Status(error.status()).with_context("JSON, offset ", last - text.data());
  }
}

inline std::string to_json(const bp_value& value) {
  const ValueView view(value);
  if (view.tag == BP_T_ENCODED && view.aux == BP_FORMAT_JSON) {
    return view.len == 0 ? std::string() : std::string(view.as.s, view.len);
  }
  return detail::JsonWriter::dump(detail::JsonWriter::make(view));
}

}  // namespace backplane
