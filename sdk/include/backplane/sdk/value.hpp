// SPDX-License-Identifier: Apache-2.0
// ValueView: a bp_value with C++ manners: made from numbers and text, read with range checks,
// iterated, compared, shown. Like a bp_value it owns nothing. Trees are built in an Arena
// (arena.hpp).
#pragma once

#include "result.hpp"
#include <backplane/value.h>

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace backplane {

/// What the SDK walks into at most, so that no tree can exhaust the stack.
inline constexpr unsigned kMaxDepth = 64;

using Time = std::chrono::sys_time<std::chrono::nanoseconds>;

class ValueView : public bp_value {
 public:
  // ---- making one: scalars by value, text and bytes borrowed ----
  ValueView() noexcept : bp_value{} {}
  ValueView(const bp_value& value) noexcept : bp_value(value) {}
  ValueView(std::nullptr_t) noexcept : bp_value{} {}
  template <class B>
  requires std::same_as<B, bool> ValueView(B value)
  noexcept : ValueView(BP_T_BOOL, 0) { as.u = value ? 1 : 0; }
  template <std::integral I>
  requires(!std::same_as<I, bool> && !std::same_as<I, char>) ValueView(I value)
  noexcept : ValueView(std::is_signed_v<I> ? BP_T_INT : BP_T_UINT, sizeof(I) * 8) {
    if constexpr (std::is_signed_v<I>) {
      as.i = value;  // NOLINT(bugprone-signed-char-misuse): an int8_t is a number here
    } else {
      as.u = value;
    }
  }
  template <std::floating_point F>
  ValueView(F value) noexcept : ValueView(BP_T_FLOAT, sizeof(F) == 4 ? 32 : 64) {
    as.f = static_cast<double>(value);
  }
  ValueView(std::string_view text) : ValueView(BP_T_STRING, 0) {
    as.s = text.data();
    len = length(text.size());
  }
  ValueView(const char* text) : ValueView(std::string_view(text)) {}
  ValueView(const std::string& text) : ValueView(std::string_view(text)) {}
  ValueView(std::chrono::nanoseconds duration) noexcept : ValueView(BP_T_INT, BP_INT_DURATION_NS) {
    as.i = duration.count();
  }
  ValueView(Time time) noexcept : ValueView(BP_T_TIME, BP_TIME_NS) {
    as.i = time.time_since_epoch().count();
  }
  ValueView(std::span<const std::byte> bytes) : ValueView(BP_T_BYTES, 0) {
    as.p = bytes.data();
    len = length(bytes.size());
  }

  static ValueView bytes(const void* data, size_t size) {
    return ValueView(std::span(static_cast<const std::byte*>(data), size));
  }
  /// Bytes in a format (BP_FORMAT_*) that nobody has looked into.
  static ValueView encoded(std::span<const std::byte> bytes, uint16_t format) {
    ValueView out(bytes);
    out.tag = BP_T_ENCODED;
    out.aux = format;
    return out;
  }
  static ValueView list(std::span<const bp_value> values, uint16_t type = 0) {
    ValueView out(BP_T_LIST, type);
    out.as.list = values.data();
    out.len = length(values.size());
    return out;
  }
  static ValueView map(std::span<const bp_pair> pairs) {
    ValueView out(BP_T_MAP, 0);
    out.as.map = pairs.data();
    out.len = length(pairs.size());
    return out;
  }
  /// Packed numbers, borrowed.
  template <class T>
  requires(std::is_arithmetic_v<T> && !std::same_as<T, bool>) static ValueView
      array(std::span<const T> numbers) {
    const ValueView element{T{}};
    ValueView out(BP_T_ARRAY, BP_TYPE(element.tag, element.aux));
    out.as.p = numbers.data();
    out.len = length(numbers.size());
    return out;
  }
  static ValueView reference(bp_ref ref) noexcept {
    ValueView out(BP_T_REF, 0);
    out.as.u = ref;
    return out;
  }

  /// A file descriptor, borrowed.
  static ValueView descriptor(int fd) noexcept {
    ValueView out(BP_T_FD, 0);
    out.as.i = fd;
    return out;
  }

  // ---- reading ----
  bool is_null() const noexcept { return tag == BP_T_NULL; }
  bool is_number() const noexcept {
    return tag == BP_T_INT || tag == BP_T_UINT || tag == BP_T_FLOAT;
  }
  /// Needs nothing but its 16 bytes.
  bool is_scalar() const noexcept {
    return tag <= BP_T_TIME || tag == BP_T_REF || tag == BP_T_FD || (len == 0 && tag <= BP_T_ARRAY);
  }
  std::string_view type_name() const noexcept {
    static constexpr std::string_view kNames[] = {
        "null", "bool", "int",   "uint",   "float", "time",    "string",    "bytes",
        "list", "map",  "array", "matrix", "typed", "encoded", "reference", "descriptor"};
    return tag <= BP_T_FD ? kNames[tag] : "unknown";
  }

  /// Of an encoded value: "JSON".
  std::string_view format_name() const noexcept {
    static constexpr std::string_view kNames[] = {"bytes",    "JSON",          "CBOR",       "XML",
                                                  "Protobuf", "OPC UA Binary", "Cap'n Proto"};
    return kNames[tag == BP_T_ENCODED && aux <= BP_FORMAT_CAPNP ? aux : 0];
  }

  /// As a T without loss, or nothing: any number as any arithmetic type that holds it (a float may
  /// lose precision, never its range), bool, std::string_view, std::string, bytes (std::span<const
  /// std::byte>), std::chrono::nanoseconds, Time, std::vector of these.
  template <class T>
  std::optional<T> get() const;
  /// The same; the error says what there was instead.
  template <class T>
  Result<T> as_result() const {
    if (auto value = get<T>()) {
      return *std::move(value);
    }
    return Status(BP_INVALID_ARGUMENT, "expected ", wanted<T>(), ", got ", type_name(),
                  is_number() ? concat(" ", to_text())
                  : tag == BP_T_ENCODED
                      ? concat(" ", format_name(), ", which a codec makes a value of")
                      : std::string());
  }
  /// The content of a string, bytes or encoded value: what a protocol would send as its payload.
  std::optional<std::span<const std::byte>> payload() const noexcept {
    if (tag == BP_T_STRING || tag == BP_T_BYTES || tag == BP_T_ENCODED) {
      return std::span(static_cast<const std::byte*>(as.p), len);
    }
    return std::nullopt;
  }

  /// Elements of a list, array or matrix part, pairs of a map; else 0.
  size_t size() const noexcept {
    return tag == BP_T_LIST || tag == BP_T_ARRAY || tag == BP_T_MAP ? len
           : tag == BP_T_MATRIX || tag == BP_T_TYPED                ? 2
                                                                    : 0;
  }
  /// Element i < size() of a list, array, matrix or typed value.
  ValueView at(size_t i) const noexcept;

  struct Entry;
  class Items;
  class Entries;
  /// for (ValueView item : value.items()): of a list or array; nothing of others.
  Items items() const noexcept;
  /// for (auto [key, value] : map.entries()): of a map; nothing of others.
  Entries entries() const noexcept;
  /// The value of a map's first pair with this key: a string, or a number whatever its width.
  std::optional<ValueView> find(ValueView key) const noexcept;

  /// The same shape, type and content all the way down; two NaN are equal. Past kMaxDepth nothing
  /// is.
  friend bool operator==(const ValueView& a, const ValueView& b) noexcept {
    return equal(a, b, kMaxDepth);
  }

  /// For logs and people, like JSON; at most about `limit` bytes.
  std::string to_text(size_t limit = 256) const {
    std::string out;
    write_text(out, *this, limit, kMaxDepth);
    return out;
  }

 private:
  ValueView(int tag_value, size_t aux_value) noexcept : bp_value{} {
    tag = static_cast<uint8_t>(tag_value);
    aux = static_cast<uint16_t>(aux_value);
  }
  static uint32_t length(size_t size) {
    if (size > std::numeric_limits<uint32_t>::max()) {
      throw Error(BP_OUT_OF_RANGE, "a value of ", size, " elements; 4294967295 is the most");
    }
    return static_cast<uint32_t>(size);
  }
  template <class T>
  static std::string wanted();
  static bool equal(const ValueView& a, const ValueView& b, unsigned depth) noexcept;
  static void write_text(std::string& out, const ValueView& value, size_t limit, unsigned depth);
};
static_assert(sizeof(ValueView) == sizeof(bp_value));

/// A pair to build maps, headers and log fields from: {"key", 1}.
struct Pair : bp_pair {
  Pair(ValueView key_value, ValueView val_value) noexcept : bp_pair{key_value, val_value} {}
};
static_assert(sizeof(Pair) == sizeof(bp_pair));
using Pairs = std::initializer_list<Pair>;
inline std::span<const bp_pair> to_span(Pairs pairs) noexcept {
  return {static_cast<const bp_pair*>(pairs.begin()), pairs.size()};
}

}  // namespace backplane

#include "detail/value_inline.hpp"
#include "detail/value_text.hpp"
