// SPDX-License-Identifier: Apache-2.0
#include "codec.hpp"

#include "cbor.hpp"
#include <backplane/sdk/json.hpp>

namespace backplane::formats {
namespace {

Result<OwnedMessage> decode_json(std::span<const std::byte> bytes, const ParseLimits& limits) {
  return from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, limits);
}
std::string encode_json(ValueView value) { return to_json(value); }

constexpr Format kFormats[] = {
    {"json", BP_FORMAT_JSON, "application/json", &decode_json, &encode_json},
    {"cbor", BP_FORMAT_CBOR, "application/cbor", &from_cbor, &to_cbor},
};

const Format* find_id(uint16_t id) {
  for (const Format& format : kFormats) {
    if (format.id == id) {
      return &format;
    }
  }
  return nullptr;
}

}  // namespace

Result<const Format*> find_format(std::string_view name) {
  std::string known;
  for (const Format& format : kFormats) {
    if (format.name == name) {
      return &format;
    }
    known += concat(known.empty() ? "" : ", ", format.name);
  }
  return Status(BP_NOT_FOUND, "no format '", name.substr(0, 64), "'; there are: ", known);
}

Status Decoder::call(Op op) {
  const ValueView body = op.in().body();
  const auto payload = body.payload();
  if (!payload) {
    return Status(BP_INVALID_ARGUMENT, "decoding ", format_.name,
                  ": expected bytes, a string or an encoded value, got ", body.type_name());
  }
  if (body.tag == BP_T_ENCODED && body.aux != format_.id) {
    const Format* other = find_id(body.aux);
    return Status(BP_INVALID_ARGUMENT, "decoding ", format_.name, ": the body is ",
                  other != nullptr ? other->media_type : "in another format");
  }
  auto decoded = format_.decode(*payload, limits_);
  return decoded ? op.reply(*std::move(decoded)) : decoded.status();
}

Status Encoder::call(Op op) {
  const std::string text = format_.encode(op.in().body());
  const Buffer buffer = Buffer::make(text.size() + sizeof(bp_pair));
  auto* header =
      new (buffer.data()) bp_pair{ValueView(BP_H_CONTENT_TYPE), ValueView(format_.media_type)};
  std::byte* payload = buffer.data() + sizeof(bp_pair);
  std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), payload);
  const ValueView body = ValueView::encoded({payload, text.size()}, format_.id);
  return op.reply(MessageView(bp_message{body, header, 1, 0, buffer.get(), BP_TIME_NONE, 0, 0}));
}

}  // namespace backplane::formats
