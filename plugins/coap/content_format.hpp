// SPDX-License-Identifier: Apache-2.0
// Content-Format numbers (RFC 7252, 12.3) and media types; payloads and values. The table of the
// formats is in content_format.cpp.
#pragma once

#include <backplane/sdk/message.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace backplane::coap {

using Bytes = std::span<const uint8_t>;
inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// No Content-Format option.
inline constexpr uint16_t kNoFormat = 0xffff;
inline constexpr uint16_t kTextPlain = 0;
inline constexpr uint16_t kOctetStream = 42;
inline constexpr uint16_t kJson = 50;
inline constexpr uint16_t kCbor = 60;

/// 50 for "application/json"; parameters do not count; 123 for "coap/123". Nothing for a name that
/// has no number.
std::optional<uint16_t> format_of(std::string_view media_type) noexcept;

/// The other way round; a number without a name is "coap/NUMBER", written to `scratch`.
using FormatScratch = std::array<char, 16>;
std::string_view media_type_of(uint16_t format, FormatScratch& scratch) noexcept;

/// A payload as a value, borrowed: JSON, CBOR and XML stay ENCODED, text is a STRING when it is
/// UTF-8, everything else BYTES.
ValueView value_of(Bytes payload, uint16_t format) noexcept;

/// A value as a payload. Bytes, text and encoded values go as they are, without a copy; everything
/// else as JSON, held in `storage`.
struct Payload {
  Bytes bytes;
  uint16_t format = kNoFormat;
  std::string storage;
  Payload() = default;
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;
};
/// `content_type` (BP_H_CONTENT_TYPE) wins over the format that the value suggests. Throws Error
/// (INVALID_ARGUMENT) for a value that is no JSON, or a content type without a number.
void encode(ValueView value, std::optional<std::string_view> content_type, Payload& out);

/// The types that a resource may be declared with.
enum class ValueType { kAny, kNumber, kInteger, kBoolean, kString };
std::optional<ValueType> value_type_of(std::string_view name) noexcept;

/// The payload as a value of that type, borrowed; nothing when it is none. Numbers and booleans are
/// read in JSON's notation, whatever the Content-Format says; blanks around them do not count.
std::optional<ValueView> typed_value_of(Bytes payload, uint16_t format, ValueType type) noexcept;
/// Whether one's own value fits, and as what: an integer is a number too.
std::optional<ValueView> typed_value_of(ValueView value, ValueType type) noexcept;

}  // namespace backplane::coap
