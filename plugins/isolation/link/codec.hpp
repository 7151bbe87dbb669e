// SPDX-License-Identifier: Apache-2.0
// Values and messages of the ABI as Cap'n Proto, and back. What comes from the other process is
// foreign: every size, depth and number in it is checked here, and a mistake throws Error.
#pragma once

#include "plugins/isolation/link/link.capnp.h"
#include <backplane/sdk/buffer.hpp>
#include <backplane/sdk/message.hpp>
#include <backplane/sdk/unique_handle.hpp>

#include <capnp/message.h>
#include <cstdint>
#include <kj/common.h>
#include <span>
#include <vector>

namespace backplane::isolation {

/// The most that one frame may have.
inline constexpr size_t kMostFrameBytes = size_t{64} << 20;
inline constexpr size_t kMostDescriptors = 64;

/// A reference as the other side sees it.
struct Shown {
  uint64_t number = 0;
  uint32_t verbs = 0;  // what may be done with it
};

/// Turns references into numbers of the link, and back.
class References {
 public:
  virtual ~References() = default;
  /// Shows a reference of this side to the other one.
  virtual Shown show(bp_ref ref) = 0;
  /// Takes back what show() gave, because the frame is not sent.
  virtual void unshow(uint64_t number) noexcept = 0;
  /// An owned reference of this side to what the other one shows.
  virtual bp_ref take(Shown shown) = 0;
  /// Closes what take() gave.
  virtual void close(bp_ref ref) noexcept = 0;
};

/// What goes with a frame besides its bytes. Whatever is not sent is taken back.
class Outgoing {
 public:
  explicit Outgoing(References& references) noexcept : references_(references) {}
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;
  ~Outgoing();

  Shown show(bp_ref ref);
  uint32_t add(int64_t descriptor);
  std::span<const int> descriptors() const noexcept { return descriptors_; }
  /// The frame is on its way.
  void sent() noexcept { shown_.clear(); }

 private:
  References& references_;
  std::vector<int> descriptors_;  // borrowed
  std::vector<uint64_t> shown_;
};

/// Throw Error when the value is too deep, too big, or has an unknown tag.
void write(wire::Value::Builder out, const bp_value& value, Outgoing& with,
           unsigned depth = kMaxDepth);
void write(wire::Message::Builder out, const bp_message& message, Outgoing& with);
void write(capnp::List<wire::Pair>::Builder out, std::span<const bp_pair> pairs, Outgoing& with,
           unsigned depth = kMaxDepth);
void write_failure(wire::Complete::Builder out, bp_status status, const bp_error* error);
/// Words that a message takes in a frame, its own among them, so that it is one segment. Throws
/// Error when a frame has no room for it.
size_t words_for(const bp_message& message);

/// What came with a frame. The references that were taken from it are closed with this object,
/// unless kept.
class Incoming {
 public:
  Incoming(References& references, std::span<UniqueFd> descriptors) noexcept
      : references_(references), descriptors_(descriptors) {}
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;
  ~Incoming();

  bp_ref take(Shown shown);
  /// The descriptor at that place, which its frame has; each once.
  UniqueFd take_descriptor(uint32_t place);
  /// The references so far, to be closed by the caller.
  std::vector<bp_ref> keep() noexcept { return std::exchange(taken_, {}); }

 private:
  References& references_;
  std::span<UniqueFd> descriptors_;
  std::vector<bp_ref> taken_;
};

/// What a tree needs in memory; also checks it, so that building it cannot fail half way.
detail::TreeSize measure(wire::Value::Reader in, unsigned depth = kMaxDepth);
detail::TreeSize measure(wire::Message::Reader in);

/// Builds trees in a block that was measured for them.
class TreeReader {
 public:
  /// Descriptors go to `descriptors`, one behind the other, whose owner closes them.
  TreeReader(std::byte* at, std::span<int> descriptors, Incoming& with) noexcept
      : at_(at), descriptors_(descriptors), with_(with) {}

  bp_message message(wire::Message::Reader in);
  bp_value value(wire::Value::Reader in);
  std::span<const bp_pair> pairs(capnp::List<wire::Pair>::Reader in);

 private:
  std::byte* take(size_t size) noexcept;

  std::byte* at_;
  std::span<int> descriptors_;
  Incoming& with_;
};

/// A message in a buffer of its own, which also owns its descriptors; without one when it is a
/// scalar.
struct ReadMessage {
  bp_message message{};  // its owner is not set
  Buffer memory;
};
ReadMessage read(wire::Message::Reader in, Incoming& with);

/// Fills `error` (may be NULL) and returns the status, which is one of the ABI's.
bp_status read_failure(wire::Complete::Reader in, bp_error* error);

inline std::string_view to_view(capnp::Data::Reader data) noexcept {
  return {reinterpret_cast<const char*>(data.begin()), data.size()};
}
inline capnp::Data::Reader to_data(std::string_view text) noexcept {
  return {reinterpret_cast<const kj::byte*>(text.data()), text.size()};
}

}  // namespace backplane::isolation
