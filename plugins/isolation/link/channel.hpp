// SPDX-License-Identifier: Apache-2.0
// Channel: carries frames and their descriptors to the other process, in order. What carries them
// is behind this interface.
#pragma once

#include "plugins/isolation/link/codec.hpp"

#include <functional>

namespace backplane::isolation {

/// Who gets the frames. On the loop, one call at a time.
class ChannelUser {
 public:
  virtual ~ChannelUser() = default;
  /// Throws Error when the frame breaks the rules: that ends the channel.
  virtual void received(wire::Frame::Reader frame, std::span<UniqueFd> descriptors) = 0;
  /// Once: no frame comes any more. DATA_LOSS: because of what the other side has sent.
  virtual void ended(const Status& why) noexcept = 0;
};

class Channel {
 public:
  virtual ~Channel() = default;
  /// Begins to give frames to `user`.
  virtual void start(ChannelUser& user) = 0;
  /// On the loop, or when the loop does not know it any more. After it no call to the user begins,
  /// and none is under way but one that this is called from.
  virtual void stop() noexcept = 0;
  /// Descriptors are borrowed. A frame that cannot be sent any more is dropped. [any][nb]
  virtual void send(capnp::MessageBuilder& frame, std::span<const int> descriptors) = 0;
  /// On the loop, also inside received(): waits for the first frame that is `wanted`, and gives it
  /// to the user before those that came earlier. Returns without it when the channel ends. Blocks.
  virtual void receive_until(const std::function<bool(wire::Frame::Reader)>& wanted) = 0;
  /// Bytes that the other side has not taken yet. [any][nb]
  virtual size_t waiting() const noexcept = 0;
};

/// A word of a frame: capnp::word cannot be copied.
using Word = uint64_t;
inline kj::ArrayPtr<const capnp::word> to_capnp(std::span<const Word> words) noexcept {
  return {reinterpret_cast<const capnp::word*>(words.data()), words.size()};
}

/// How often the words of a frame of that size may be walked: twice for reading (codec.cpp), and
/// twice for what is looked at besides.
inline capnp::ReaderOptions reader_options(size_t words) {
  return {words * 4 + 1024, static_cast<int>(kMaxDepth * 2 + 16)};
}

}  // namespace backplane::isolation
