// SPDX-License-Identifier: Apache-2.0
#include "content_format.hpp"

#include <backplane/sdk/json.hpp>

#include <charconv>

namespace backplane::coap {
namespace {

struct Row {
  std::string_view media_type;
  uint16_t format;
  uint16_t encoding;  // BP_FORMAT_*; 0: bytes
};

// https://www.iana.org/assignments/core-parameters: those that a backplane meets.
constexpr Row kRows[] = {
    {"application/json", kJson, BP_FORMAT_JSON},
    {"text/plain", kTextPlain, 0},
    {"application/octet-stream", kOctetStream, 0},
    {"application/cbor", kCbor, BP_FORMAT_CBOR},
    {"application/xml", 41, BP_FORMAT_XML},
    {"application/link-format", 40, 0},
    {"application/exi", 47, 0},
    {"application/json-patch+json", 51, BP_FORMAT_JSON},
    {"application/merge-patch+json", 52, BP_FORMAT_JSON},
    {"application/cwt", 61, BP_FORMAT_CBOR},
    {"application/multipart-core", 62, BP_FORMAT_CBOR},
    {"application/cbor-seq", 63, 0},
    {"application/senml+json", 110, BP_FORMAT_JSON},
    {"application/sensml+json", 111, BP_FORMAT_JSON},
    {"application/senml+cbor", 112, BP_FORMAT_CBOR},
    {"application/sensml+cbor", 113, BP_FORMAT_CBOR},
    {"application/td+json", 432, BP_FORMAT_JSON},
    {"application/vnd.ocf+cbor", 10000, BP_FORMAT_CBOR},
    {"application/vnd.oma.lwm2m+tlv", 11542, 0},
    {"application/vnd.oma.lwm2m+json", 11543, BP_FORMAT_JSON},
    {"application/vnd.oma.lwm2m+cbor", 11544, BP_FORMAT_CBOR},
};
constexpr std::string_view kNumbered = "coap/";

const Row* row_of(uint16_t format) noexcept {
  for (const Row& row : kRows) {
    if (row.format == format) {
      return &row;
    }
  }
  return nullptr;
}

bool is_utf8(Bytes bytes) noexcept {
  for (size_t i = 0; i < bytes.size();) {
    const uint8_t lead = bytes[i];
    const size_t more = lead < 0x80                   ? 0
                        : lead >= 0xc2 && lead < 0xe0 ? 1
                        : lead >= 0xe0 && lead < 0xf0 ? 2
                        : lead >= 0xf0 && lead < 0xf5 ? 3
                                                      : 9;
    if (more > bytes.size() - i - 1) {
      return false;
    }
    uint32_t point = more == 0 ? lead : lead & (0x3fu >> more);
    for (size_t k = 1; k <= more; ++k) {
      if ((bytes[i + k] & 0xc0u) != 0x80u) {
        return false;
      }
      point = point << 6u | (bytes[i + k] & 0x3fu);
    }
    const bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
    if (overlong || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
      return false;
    }
    i += more + 1;
  }
  return true;
}

std::string_view trimmed(Bytes bytes) noexcept {
  constexpr std::string_view kBlanks = " \t\r\n";
  std::string_view text = as_text(bytes);
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

/// JSON's own grammar of numbers is narrower than from_chars': no leading zeros, no bare point.
bool looks_like_json_number(std::string_view text) noexcept {
  if (!text.empty() && text.front() == '-') {
    text.remove_prefix(1);
  }
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.empty() || !is_digit(text.front()) || !is_digit(text.back())) {
    return false;
  }
  if (text.size() > 1 && text[0] == '0' && is_digit(text[1])) {
    return false;
  }
  const size_t point = text.find('.');
  return point == text.npos || is_digit(text[point + 1]);
}

template <class T>
std::optional<T> number_of(std::string_view text) noexcept {
  T out{};
  if (!looks_like_json_number(text)) {
    return std::nullopt;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return out;
}

uint16_t natural_format(ValueView value) noexcept {
  switch (value.tag) {
    case BP_T_NULL:
      return kNoFormat;
    case BP_T_STRING:
      return kTextPlain;
    case BP_T_BYTES:
      return kOctetStream;
    case BP_T_ENCODED:
      for (const Row& row : kRows) {
        if (row.encoding == value.aux) {
          return row.format;
        }
      }
      return kOctetStream;
    default:
      return kJson;
  }
}

}  // namespace

std::optional<uint16_t> format_of(std::string_view media_type) noexcept {
  std::string_view name = media_type.substr(0, media_type.find(';'));
  while (!name.empty() && name.back() == ' ') {
    name.remove_suffix(1);
  }
  for (const Row& row : kRows) {
    if (row.media_type == name) {
      return row.format;
    }
  }
  if (name.substr(0, kNumbered.size()) == kNumbered) {
    const std::string_view digits = name.substr(kNumbered.size());
    uint16_t out = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    if (error == std::errc() && end == digits.data() + digits.size() && out != kNoFormat) {
      return out;
    }
  }
  return std::nullopt;
}

std::string_view media_type_of(uint16_t format, FormatScratch& scratch) noexcept {
  if (const Row* row = row_of(format)) {
    return row->media_type;
  }
  std::copy(kNumbered.begin(), kNumbered.end(), scratch.begin());
  const auto end =
      std::to_chars(scratch.data() + kNumbered.size(), scratch.data() + scratch.size(), format).ptr;
  return {scratch.data(), static_cast<size_t>(end - scratch.data())};
}

ValueView value_of(Bytes payload, uint16_t format) noexcept {
  const auto bytes = std::as_bytes(payload);
  if (format == kTextPlain && is_utf8(payload)) {
    return ValueView(as_text(payload));
  }
  const Row* const row = format == kNoFormat ? nullptr : row_of(format);
  return row != nullptr && row->encoding != 0 ? ValueView::encoded(bytes, row->encoding)
                                              : ValueView(bytes);
}

void encode(ValueView value, std::optional<std::string_view> content_type, Payload& out) {
  out.format = natural_format(value);
  if (content_type) {
    const auto format = format_of(*content_type);
    if (!format) {
      throw Error(BP_INVALID_ARGUMENT, "content type '", *content_type,
                  "' has no CoAP Content-Format; give a registered one, or coap/NUMBER");
    }
    out.format = *format;
  }
  if (const auto bytes = value.payload()) {
    out.bytes = Bytes(reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size());
  } else if (!value.is_null()) {
    out.storage = to_json(value);
    out.bytes = Bytes(reinterpret_cast<const uint8_t*>(out.storage.data()), out.storage.size());
  }
}

std::optional<ValueType> value_type_of(std::string_view name) noexcept {
  return name == "any"       ? std::optional(ValueType::kAny)
         : name == "number"  ? std::optional(ValueType::kNumber)
         : name == "integer" ? std::optional(ValueType::kInteger)
         : name == "boolean" ? std::optional(ValueType::kBoolean)
         : name == "string"  ? std::optional(ValueType::kString)
                             : std::nullopt;
}

std::optional<ValueView> typed_value_of(Bytes payload, uint16_t format, ValueType type) noexcept {
  switch (type) {
    case ValueType::kAny:
      return value_of(payload, format);
    case ValueType::kNumber:
      if (const auto number = number_of<double>(trimmed(payload))) {
        return ValueView(*number);
      }
      return std::nullopt;
    case ValueType::kInteger:
      if (const auto number = number_of<int64_t>(trimmed(payload))) {
        return ValueView(*number);
      }
      return std::nullopt;
    case ValueType::kBoolean: {
      const std::string_view text = trimmed(payload);
      return text == "true"    ? std::optional(ValueView(true))
             : text == "false" ? std::optional(ValueView(false))
                               : std::nullopt;
    }
    case ValueType::kString:
      return is_utf8(payload) ? std::optional(ValueView(as_text(payload))) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<ValueView> typed_value_of(ValueView value, ValueType type) noexcept {
  const auto payload = value.payload();
  switch (type) {
    case ValueType::kAny:
      return value;
    case ValueType::kNumber:
      if (value.is_number()) {
        return ValueView(*value.get<double>());
      }
      break;
    case ValueType::kInteger:
      if (const auto number = value.is_number() ? value.get<int64_t>() : std::nullopt) {
        return ValueView(*number);
      }
      break;
    case ValueType::kBoolean:
      if (value.tag == BP_T_BOOL) {
        return value;
      }
      break;
    case ValueType::kString:
      if (value.tag == BP_T_STRING) {
        return value;
      }
      break;
  }
  if (!payload || value.tag == BP_T_STRING) {
    return std::nullopt;
  }
  return typed_value_of(Bytes(reinterpret_cast<const uint8_t*>(payload->data()), payload->size()),
                        kNoFormat, type);
}

}  // namespace backplane::coap
