// SPDX-License-Identifier: Apache-2.0
// Values of every tag and aux, for the tests of both formats.
#pragma once

#include <backplane/sdk/arena.hpp>

namespace backplane::test {

inline ValueView scalar(int tag, int aux, uint64_t bits) {
  ValueView out;
  out.tag = static_cast<uint8_t>(tag);
  out.aux = static_cast<uint16_t>(aux);
  out.as.u = bits;
  return out;
}
inline ValueView integer(int aux, int64_t value) {
  return scalar(BP_T_INT, aux, static_cast<uint64_t>(value));
}
inline ValueView time(int unit, int64_t value) {
  return scalar(BP_T_TIME, unit, static_cast<uint64_t>(value));
}
inline ValueView bytes(std::string_view content) {
  return ValueView::bytes(content.data(), content.size());
}
inline ValueView with_aux(ValueView value, int aux) {
  value.aux = static_cast<uint16_t>(aux);
  return value;
}
inline ValueView encoded(int format, std::string_view content) {
  return ValueView::encoded(*bytes(content).payload(), static_cast<uint16_t>(format));
}
template <class T>
ValueView array(Arena& arena, std::initializer_list<T> numbers) {
  return arena.array(std::span<const T>(numbers.begin(), numbers.size()));
}
/// MATRIX or TYPED.
inline ValueView two(Arena& arena, int tag, ValueView first, ValueView second) {
  ValueView out = arena.list({first, second});
  out.tag = static_cast<uint8_t>(tag);
  return out;
}
/// `levels` lists, one in the other.
inline ValueView nested(Arena& arena, unsigned levels) {
  ValueView out = arena.list({});
  for (unsigned i = 1; i < levels; ++i) {
    out = arena.list({out});
  }
  return out;
}
/// The bytes of "a1 b2 c3"; spaces count for nothing.
inline std::string from_hex(std::string_view hex) {
  std::string out;
  int digits = 0;
  unsigned byte = 0;
  for (const char c : hex) {
    if (c == ' ') {
      continue;
    }
    byte = byte << 4u | static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
    if (++digits % 2 == 0) {
      out += static_cast<char>(byte & 0xFFu);
    }
  }
  return out;
}
inline std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4u];
    out += kDigits[static_cast<unsigned char>(c) & 15u];
  }
  return out;
}

}  // namespace backplane::test
