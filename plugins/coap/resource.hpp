// SPDX-License-Identifier: Apache-2.0
// A declared resource: its present value, who watches it, and its entry in /.well-known/core. The
// hub is for any thread, all else for the loop thread.
#pragma once

#include "address.hpp"
#include "block.hpp"
#include "link_format.hpp"
#include <backplane/sdk/hub.hpp>

namespace backplane::coap {

struct ResourceOptions {
  Target target;
  std::string title;
  std::string rt;
  std::string interface;
  ValueType type = ValueType::kAny;
  uint16_t format = kJson;  // of a PUT without Content-Format
  bool observable = true;
  bool writable = true;  // by peers
};

class Resource {
 public:
  Resource(const Host& host, ResourceOptions options);

  const ResourceOptions& options() const noexcept { return options_; }
  Hub& hub() noexcept { return hub_; }
  Link link() const;

  /// The value as its writer gave it; empty before the first one.
  MessageView value() const noexcept { return value_; }
  /// The same as peers get it.
  Bytes payload() const noexcept { return payload_.bytes; }
  uint16_t format() const noexcept { return payload_.format; }
  /// Of this very value: no two have the same, also after a restart.
  Bytes etag() const noexcept { return {etag_, sizeof etag_}; }
  std::optional<uint32_t> max_age() const noexcept;

  /// A peer's PUT. INVALID_ARGUMENT: the payload is not of the resource's type; then nothing has
  /// changed. `settled` (may be empty) is the hub's.
  Status put(Bytes payload, const coap_pdu_t* request, Hub::Settled settled);
  /// One's own write. INVALID_ARGUMENT: not of the resource's type, or nothing that can be a
  /// payload. RESOURCE_EXHAUSTED: it is the value now, but a watcher that asked for no loss had no
  /// room for it.
  Status write(MessageView message);

  /// Where the library knows it; null before the server has started.
  coap_resource_t* handle = nullptr;

 private:
  void set(OwnedMessage value);

  const ResourceOptions options_;
  Hub hub_;
  OwnedMessage value_;
  Payload payload_;
  uint8_t etag_[8];
  uint32_t version_ = 0;
  int64_t expires_ns_ = 0;  // monotonic; 0: never
};

}  // namespace backplane::coap
