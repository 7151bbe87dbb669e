// SPDX-License-Identifier: Apache-2.0
#include "resource.hpp"

#include "message.hpp"

#include <random>

namespace backplane::coap {

Resource::Resource(const Host& host, ResourceOptions options)
    : options_(std::move(options)), hub_(host, [] {
        HubOptions hub;
        hub.replay_last = true;
        return hub;
      }()) {
  const uint32_t run = std::random_device()();
  std::memcpy(etag_, &run, sizeof run);
  std::memcpy(etag_ + sizeof run, &version_, sizeof version_);
}

Link Resource::link() const {
  Link link;
  link.path = "/" + options_.target.path;
  link.title = options_.title;
  link.rt = options_.rt;
  link.interface = options_.interface;
  const uint16_t format = payload_.format != kNoFormat ? payload_.format : options_.format;
  link.ct = format != kNoFormat ? std::to_string(format) : std::string();
  if (!payload_.bytes.empty()) {
    link.sz = payload_.bytes.size();
  }
  link.observable = options_.observable;
  return link;
}

std::optional<uint32_t> Resource::max_age() const noexcept {
  if (expires_ns_ == 0) {
    return std::nullopt;
  }
  return max_age_of(expires_ns_ - monotonic_ns());
}

Status Resource::put(Bytes payload, const coap_pdu_t* request, Hub::Settled settled) {
  const uint16_t given = format_option(request);
  const uint16_t format = given != kNoFormat ? given : options_.format;
  const auto body = typed_value_of(payload, format, options_.type);
  if (!body) {
    return Status(BP_INVALID_ARGUMENT, "the payload is not of this resource's type");
  }
  MessageBuilder message(*body);
  add_option_headers(message, request, format);
  message.time_now();
  set(OwnedMessage(message.view()));
  static_cast<void>(hub_.publish(value_, std::move(settled)));
  return Status::ok();
}

Status Resource::write(MessageView message) {
  const auto body = typed_value_of(message.body(), options_.type);
  if (!body) {
    return Status(BP_INVALID_ARGUMENT, "resource '/", options_.target.path, "': a ",
                  message.body().type_name(), " is not of its type");
  }
  bp_message copy = message.raw();
  copy.body = *body;
  copy.flags = 0;
  copy.seq = 0;
  set(OwnedMessage(copy));
  if (!hub_.publish(value_)) {
    return Status(BP_RESOURCE_EXHAUSTED, "resource '/", options_.target.path,
                  "' has the value, but a watcher that drops nothing is full; write slower");
  }
  return Status::ok();
}

void Resource::set(OwnedMessage value) {
  Payload payload;
  encode(value.body(), value.view().header<std::string_view>(BP_H_CONTENT_TYPE), payload);
  // The bytes lie in the message's buffer, in `storage`, or nowhere: they move with their owner.
  const bool is_stored = !payload.storage.empty();
  value_ = std::move(value);
  payload_.storage = std::move(payload.storage);
  payload_.format = payload.format;
  payload_.bytes = is_stored ? Bytes(reinterpret_cast<const uint8_t*>(payload_.storage.data()),
                                     payload_.storage.size())
                             : payload.bytes;
  ++version_;
  std::memcpy(etag_ + sizeof(uint32_t), &version_, sizeof version_);
  const auto expiry = value_.view().header<int64_t>(BP_H_EXPIRY_NS);
  expires_ns_ = expiry ? monotonic_ns() + *expiry : 0;
}

}  // namespace backplane::coap
