// SPDX-License-Identifier: Apache-2.0
// Between values and what MQTT carries: bytes and a content type.
#pragma once

#include <backplane/sdk/message.hpp>

#include <string>

namespace backplane::mqtt {

/// The bytes of a body, borrowed from it or, when they had to be written, from this object.
class Payload {
 public:
  /// Text, bytes and encoded values as they are, everything else as JSON, nothing for NULL. Throws
  /// Error when JSON cannot say it.
  explicit Payload(ValueView body);
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;

  const void* data() const noexcept { return bytes_.data(); }
  size_t size() const noexcept { return bytes_.size(); }
  /// The media type that goes with it where the message names none; may be empty.
  std::string_view content_type() const noexcept { return content_type_; }

 private:
  std::string written_;
  std::span<const std::byte> bytes_;
  std::string_view content_type_;
};

/// The value of a received payload, borrowed: encoded JSON, CBOR or XML, text, or just bytes.
/// `is_text`: MQTT 5's payload format indicator says UTF-8.
ValueView payload_value(const void* data, size_t size, std::string_view content_type, bool is_text);

}  // namespace backplane::mqtt
