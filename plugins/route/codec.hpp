// SPDX-License-Identifier: Apache-2.0
// The calls to the codecs of the plugin `formats` that one destination needs: one at a time, since
// the steps of its messages are done in their order.
#pragma once

#include "link.hpp"

namespace backplane::route {

class Codec {
 public:
  enum class Direction : uint8_t { kDecode, kEncode };
  using Answer = std::function<void(Result<OwnedMessage>)>;

  Codec(Core& core, std::chrono::nanoseconds retry_max);
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;

  /// `format`: BP_FORMAT_JSON or BP_FORMAT_CBOR. `value` is borrowed until `answer` is called,
  /// perhaps inside. Waits until the codec is there; any other failure is an answer.
  void call(Direction direction, uint16_t format, ValueView value, Answer answer);
  /// The answer is CANCELLED, unless it came before.
  void stop();
  void close();

  bool is_idle() const noexcept;
  /// After close(), when idle: gives back its operations.
  void release() noexcept;
  /// The codec that is waited for; null: none.
  const Link* awaited() const noexcept;

 private:
  Link& link(Direction direction, uint16_t format);
  void submit();
  void completed(bp_status status);
  void answer(Result<OwnedMessage> result);

  Core& core_;
  const std::chrono::nanoseconds retry_max_;
  std::array<std::unique_ptr<Link>, 4> links_;  // opened when first needed
  Link* current_ = nullptr;                     // of the call under way
  Answer answer_;
  bool is_stopping_ = false;
  bool pends_ = false;
  bp_message message_{};
  UniqueOp op_;
};

}  // namespace backplane::route
