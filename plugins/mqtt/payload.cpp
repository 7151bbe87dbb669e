// SPDX-License-Identifier: Apache-2.0
#include "payload.hpp"

#include <backplane/sdk/json.hpp>

#include <mosquitto.h>

#include <limits>

namespace backplane::mqtt {
namespace {

struct Format {
  uint16_t format;
  std::string_view media_type;
  std::string_view suffix;  // RFC 6839
};
constexpr Format kFormats[] = {
    {BP_FORMAT_JSON, "application/json", "+json"},
    {BP_FORMAT_CBOR, "application/cbor", "+cbor"},
    {BP_FORMAT_XML, "application/xml", "+xml"},
};

std::string_view media_type_of(ValueView body) noexcept {
  if (body.tag == BP_T_STRING) {
    return "text/plain";
  }
  if (body.tag == BP_T_ENCODED) {
    for (const Format& known : kFormats) {
      if (known.format == body.aux) {
        return known.media_type;
      }
    }
  }
  return {};
}

bool is_utf8(const void* data, size_t size) noexcept {
  return size == 0 || (size <= static_cast<size_t>(std::numeric_limits<int>::max()) &&
                       mosquitto_validate_utf8(static_cast<const char*>(data),
                                               static_cast<int>(size)) == MOSQ_ERR_SUCCESS);
}

}  // namespace

Payload::Payload(ValueView body) {
  if (const auto bytes = body.payload()) {
    bytes_ = *bytes;
    content_type_ = media_type_of(body);
  } else if (!body.is_null()) {
    written_ = to_json(body);
    bytes_ = std::as_bytes(std::span(written_));
    content_type_ = kFormats[0].media_type;
  }
}

ValueView payload_value(const void* data, size_t size, std::string_view content_type,
                        bool is_text) {
  const std::string_view media_type = content_type.substr(0, content_type.find(';'));
  const ValueView bytes = ValueView::bytes(data, size);
  for (const Format& known : kFormats) {
    if (media_type == known.media_type || media_type.ends_with(known.suffix)) {
      return ValueView::encoded(*bytes.payload(), known.format);
    }
  }
  if ((is_text || media_type.starts_with("text/")) && is_utf8(data, size)) {
    return ValueView(std::string_view(static_cast<const char*>(data), size));
  }
  return bytes;
}

}  // namespace backplane::mqtt
