// SPDX-License-Identifier: Apache-2.0
// The bodies behind value.hpp: iteration and conversion.
#pragma once

#include "../value.hpp"

namespace backplane {

struct ValueView::Entry {
  ValueView key;
  ValueView value;
};

namespace detail {
/// Iterates by index, because elements of an array exist only when asked for.
template <class Range, class Element>
struct IndexIterator {
  using value_type = Element;
  using difference_type = std::ptrdiff_t;
  const Range* range = nullptr;
  size_t i = 0;
  Element operator*() const noexcept { return range->element(i); }
  IndexIterator& operator++() noexcept { return ++i, *this; }
  IndexIterator operator++(int) noexcept { return {range, i++}; }
  bool operator==(const IndexIterator& other) const noexcept { return i == other.i; }
};
}  // namespace detail

class ValueView::Items {
 public:
  explicit Items(const ValueView& value) noexcept : value_(value) {}
  ValueView element(size_t i) const noexcept { return value_.at(i); }
  detail::IndexIterator<Items, ValueView> begin() const noexcept { return {this, 0}; }
  detail::IndexIterator<Items, ValueView> end() const noexcept { return {this, value_.size()}; }

 private:
  ValueView value_;
};

class ValueView::Entries {
 public:
  explicit Entries(std::span<const bp_pair> pairs) noexcept : pairs_(pairs) {}
  Entry element(size_t i) const noexcept { return {pairs_[i].key, pairs_[i].val}; }
  detail::IndexIterator<Entries, Entry> begin() const noexcept { return {this, 0}; }
  detail::IndexIterator<Entries, Entry> end() const noexcept { return {this, pairs_.size()}; }

 private:
  std::span<const bp_pair> pairs_;
};

inline ValueView::Items ValueView::items() const noexcept {
  return Items(tag == BP_T_LIST || tag == BP_T_ARRAY ? *this : ValueView());
}

inline ValueView::Entries ValueView::entries() const noexcept {
  return Entries(tag == BP_T_MAP ? std::span(as.map, len) : std::span<const bp_pair>());
}

namespace detail {
/// Bytes of one element of a packed array.
inline size_t element_size(uint16_t type) noexcept {
  const unsigned element_tag = type >> 8u;
  const unsigned width = type & 0xFFu;
  if (element_tag == BP_T_BOOL) {
    return 1;
  }
  if (type == BP_TYPE(BP_T_INT, BP_INT_ENUM) || type == BP_TYPE(BP_T_UINT, BP_UINT_STATUS)) {
    return 4;
  }
  return width == 8 || width == 16 || width == 32 ? width / 8 : 8;
}

template <class T>
T load(const void* base, size_t i) noexcept {
  T out;
  std::memcpy(&out, static_cast<const std::byte*>(base) + i * sizeof(T), sizeof(T));
  return out;
}
}  // namespace detail

inline ValueView ValueView::at(size_t i) const noexcept {
  if (tag != BP_T_ARRAY) {
    return as.list[i];
  }
  ValueView out(aux >> 8u, aux & 0xFFu);
  const size_t size = detail::element_size(aux);
  switch (out.tag) {
    case BP_T_BOOL:
      out.aux = 0;
      out.as.u = detail::load<uint8_t>(as.p, i) != 0;
      break;
    case BP_T_UINT:
      out.as.u = size == 1   ? detail::load<uint8_t>(as.p, i)
                 : size == 2 ? detail::load<uint16_t>(as.p, i)
                 : size == 4 ? detail::load<uint32_t>(as.p, i)
                             : detail::load<uint64_t>(as.p, i);
      break;
    case BP_T_FLOAT:
      out.as.f = size == 4 ? static_cast<double>(detail::load<float>(as.p, i))
                           : detail::load<double>(as.p, i);
      break;
    default:
      out.as.i = size == 1   ? detail::load<int8_t>(as.p, i)
                 : size == 2 ? detail::load<int16_t>(as.p, i)
                 : size == 4 ? detail::load<int32_t>(as.p, i)
                             : detail::load<int64_t>(as.p, i);
      break;
  }
  return out;
}

inline std::optional<ValueView> ValueView::find(ValueView key) const noexcept {
  for (const Entry& entry : entries()) {
    const bool same_number = key.is_number() && entry.key.is_number() && key.tag == entry.key.tag &&
                             key.as.u == entry.key.as.u;
    if (same_number || entry.key == key) {
      return entry.value;
    }
  }
  return std::nullopt;
}

namespace detail {
template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;

template <std::integral T>
std::optional<T> to_integer(const bp_value& value) noexcept {
  if (value.tag == BP_T_INT && std::in_range<T>(value.as.i)) {
    return static_cast<T>(value.as.i);
  }
  if (value.tag == BP_T_UINT && std::in_range<T>(value.as.u)) {
    return static_cast<T>(value.as.u);
  }
  if (value.tag == BP_T_FLOAT && std::trunc(value.as.f) == value.as.f) {
    if (value.as.f >= -0x1p63 && value.as.f < 0x1p63) {
      const auto number = static_cast<int64_t>(value.as.f);
      return std::in_range<T>(number) ? std::optional(static_cast<T>(number)) : std::nullopt;
    }
    if (value.as.f >= 0x1p63 && value.as.f < 0x1p64) {
      const auto number = static_cast<uint64_t>(value.as.f);
      return std::in_range<T>(number) ? std::optional(static_cast<T>(number)) : std::nullopt;
    }
  }
  return std::nullopt;
}

template <std::floating_point T>
std::optional<T> to_floating(const bp_value& value) noexcept {
  if (value.tag == BP_T_FLOAT) {
    if (std::isfinite(value.as.f) &&
        std::abs(value.as.f) > static_cast<double>(std::numeric_limits<T>::max())) {
      return std::nullopt;
    }
    return static_cast<T>(value.as.f);
  }
  if (value.tag == BP_T_INT) {
    const T number = static_cast<T>(value.as.i);
    const bool exact =
        number < static_cast<T>(0x1p63) && static_cast<int64_t>(number) == value.as.i;
    return exact ? std::optional(number) : std::nullopt;
  }
  if (value.tag == BP_T_UINT) {
    const T number = static_cast<T>(value.as.u);
    const bool exact =
        number < static_cast<T>(0x1p64) && static_cast<uint64_t>(number) == value.as.u;
    return exact ? std::optional(number) : std::nullopt;
  }
  return std::nullopt;
}

inline std::optional<Time> to_time(const bp_value& value) noexcept {
  static constexpr int64_t kUnit[] = {1'000'000'000, 1'000'000, 1'000, 100, 1};
  int64_t nanoseconds = 0;
  if (value.tag != BP_T_TIME || value.aux > BP_TIME_NS ||
      __builtin_mul_overflow(value.as.i, kUnit[value.aux], &nanoseconds)) {
    return std::nullopt;
  }
  return Time(std::chrono::nanoseconds(nanoseconds));
}
}  // namespace detail

template <class T>
std::optional<T> ValueView::get() const {
  if constexpr (std::is_same_v<T, ValueView> || std::is_same_v<T, bp_value>) {
    return *this;
  } else if constexpr (std::is_same_v<T, bool>) {
    return tag == BP_T_BOOL ? std::optional(as.u != 0) : std::nullopt;
  } else if constexpr (std::is_integral_v<T>) {
    return detail::to_integer<T>(*this);
  } else if constexpr (std::is_floating_point_v<T>) {
    return detail::to_floating<T>(*this);
  } else if constexpr (std::is_same_v<T, std::string_view> || std::is_same_v<T, std::string>) {
    return tag == BP_T_STRING ? std::optional(len == 0 ? T() : T(as.s, len)) : std::nullopt;
  } else if constexpr (std::is_same_v<T, std::span<const std::byte>>) {
    return tag == BP_T_BYTES || tag == BP_T_ENCODED ? payload() : std::nullopt;
  } else if constexpr (std::is_same_v<T, std::chrono::nanoseconds>) {
    const bool duration = tag == BP_T_INT && aux == BP_INT_DURATION_NS;
    return duration ? std::optional(std::chrono::nanoseconds(as.i)) : std::nullopt;
  } else if constexpr (std::is_same_v<T, Time>) {
    return detail::to_time(*this);
  } else {
    static_assert(detail::kIsVector<T>, "no conversion to this type");
    if (tag != BP_T_LIST && tag != BP_T_ARRAY) {
      return std::nullopt;
    }
    T out;
    out.reserve(size());
    for (const ValueView item : items()) {
      auto element = item.get<typename T::value_type>();
      if (!element) {
        return std::nullopt;
      }
      out.push_back(*std::move(element));
    }
    return out;
  }
}

template <class T>
std::string ValueView::wanted() {
  if constexpr (detail::kIsVector<T>) {
    return concat("a list of ", wanted<typename T::value_type>());
  } else if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_arithmetic_v<T>) {
    return concat(std::is_floating_point_v<T> ? "a float of "
                  : std::is_signed_v<T>       ? "an int of "
                                              : "a uint of ",
                  sizeof(T) * 8, " bits");
  } else if constexpr (std::is_same_v<T, std::string_view> || std::is_same_v<T, std::string>) {
    return "a string";
  } else if constexpr (std::is_same_v<T, std::chrono::nanoseconds>) {
    return "a duration";
  } else if constexpr (std::is_same_v<T, Time>) {
    return "a time";
  } else {
    return "bytes";
  }
}

}  // namespace backplane
