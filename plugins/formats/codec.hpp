// SPDX-License-Identifier: Apache-2.0
// Codec: one endpoint, such as json/decode. All of them answer a CALL at once, on the caller's
// thread, and keep no state.
#pragma once

#include <backplane/sdk/detail/tree_builder.hpp>
#include <backplane/sdk/operation.hpp>

namespace backplane::formats {

struct Format {
  std::string_view name;  // in addresses
  uint16_t id;            // BP_FORMAT_*
  std::string_view media_type;
  Result<OwnedMessage> (*decode)(std::span<const std::byte> bytes, const ParseLimits& limits);
  std::string (*encode)(ValueView value);
};

/// NOT_FOUND names those that exist.
Result<const Format*> find_format(std::string_view name);

/// CALL with the payload as BYTES, STRING or ENCODED gives the value.
class Decoder final {
 public:
  Decoder(const Format& format, const ParseLimits& limits) : format_(format), limits_(limits) {}
  Status call(Op op);

 private:
  const Format& format_;
  const ParseLimits limits_;
};

/// CALL with a value gives the payload as ENCODED, with its media type as BP_H_CONTENT_TYPE.
class Encoder final {
 public:
  explicit Encoder(const Format& format) : format_(format) {}
  Status call(Op op);

 private:
  const Format& format_;
};

}  // namespace backplane::formats
