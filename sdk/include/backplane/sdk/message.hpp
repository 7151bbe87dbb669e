// SPDX-License-Identifier: Apache-2.0
// Messages: MessageView reads a borrowed one, MessageBuilder makes one on the stack, OwnedMessage
// keeps one.
#pragma once

#include "arena.hpp"
#include "buffer.hpp"
#include <backplane/headers.h>
#include <backplane/message.h>

#include <array>

namespace backplane {

/// A borrowed message, valid as long as the call that shows it. Who keeps it makes an OwnedMessage
/// of it.
class MessageView {
 public:
  /// An empty message.
  MessageView() noexcept : MessageView(kEmpty) {}
  MessageView(const bp_message& message) noexcept : message_(&message) {}
  /// NULL: an empty one. A template, so that the 0 of write(0) is a number, not such a pointer.
  template <class Raw>
  requires std::same_as<std::remove_const_t<Raw>, bp_message> MessageView(Raw* message)
  noexcept : message_(message != nullptr ? message : &kEmpty) {}

  ValueView body() const noexcept { return message_->body; }
  /// The body as a T; the error says what was there instead.
  template <class T>
  Result<T> as() const {
    return body().template as_result<T>();
  }

  std::span<const bp_pair> headers() const noexcept {
    return {message_->headers, message_->n_headers};
  }
  /// The first header with this key: an id of headers.h (BP_H_*), or a name of the wire.
  std::optional<ValueView> header(uint32_t id) const noexcept { return find(BP_T_UINT, id, {}); }
  std::optional<ValueView> header(std::string_view name) const noexcept {
    return find(BP_T_STRING, 0, name);
  }
  /// The same as a T; nothing when it is absent or no T.
  template <class T, class Key>
  std::optional<T> header(const Key& key) const {
    const auto value = header(key);
    return value ? value->template get<T>() : std::nullopt;
  }

  /// When the source made it; nothing if it did not say.
  std::optional<Time> time() const noexcept {
    return message_->time_ns == BP_TIME_NONE
               ? std::nullopt
               : std::optional(Time(std::chrono::nanoseconds(message_->time_ns)));
  }
  uint64_t seq() const noexcept { return message_->seq; }
  uint32_t flags() const noexcept { return message_->flags; }
  bool is_initial() const noexcept { return (flags() & BP_M_INITIAL) != 0; }
  bool is_last() const noexcept { return (flags() & BP_M_LAST) != 0; }
  bool is_redelivered() const noexcept { return (flags() & BP_M_REDELIVERED) != 0; }

  const bp_message& raw() const noexcept { return *message_; }

 private:
  static constexpr bp_message kEmpty = {{}, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0};
  std::optional<ValueView> find(uint8_t tag, uint64_t id, std::string_view name) const noexcept {
    for (const bp_pair& header : headers()) {
      if (header.key.tag == tag &&
          (tag == BP_T_UINT ? header.key.as.u == id
                            : std::string_view(header.key.as.s, header.key.len) == name)) {
        return ValueView(header.val);
      }
    }
    return std::nullopt;
  }

  const bp_message* message_;
};

/// A message that is being made in somebody's memory. Text and bytes given to it are borrowed,
/// unless copied with arena().copy().
class MessageDraft {
 public:
  /// For its first headers, which most often are all; more are in the arena.
  using Room = std::array<bp_pair, 4>;
  /// Neither `message` nor `room` need be initialised. They outlive it, as the arena does, which
  /// several may share.
  MessageDraft(Arena& arena, bp_message& message, Room& room, ValueView body = {})
      : headers_(arena, room), arena_(arena), message_(message) {
    message_ = {body, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0};
  }
  MessageDraft(const MessageDraft&) = delete;
  MessageDraft& operator=(const MessageDraft&) = delete;

  MessageDraft& body(ValueView body) { return message_.body = body, *this; }
  MessageDraft& header(uint32_t id, ValueView value) { return add(id, value); }
  MessageDraft& header(std::string_view name, ValueView value) { return add(name, value); }
  MessageDraft& headers(std::span<const bp_pair> pairs) {
    for (const bp_pair& pair : pairs) {
      add(pair.key, pair.val);
    }
    return *this;
  }
  MessageDraft& headers(Pairs pairs) { return headers(to_span(pairs)); }
  MessageDraft& flags(uint32_t flags) { return message_.flags = flags, *this; }
  MessageDraft& seq(uint64_t seq) { return message_.seq = seq, *this; }
  MessageDraft& time(Time time) {
    return message_.time_ns = time.time_since_epoch().count(), *this;
  }
  MessageDraft& time_now() { return time(std::chrono::system_clock::now()); }
  /// The buffer that body and headers lie in, borrowed: who keeps the message then shares it
  /// instead of copying.
  MessageDraft& owner(bp_buffer* buffer) { return message_.owner = buffer, *this; }

  Arena& arena() noexcept { return arena_; }
  /// The message that it writes to, as it is so far.
  const bp_message& view() const noexcept { return message_; }
  operator MessageView() const noexcept { return view(); }

 private:
  MessageDraft& add(const ValueView& key, const ValueView& value) {
    headers_.add(key, value);
    message_.headers = headers_.pairs().data();
    message_.n_headers = static_cast<uint32_t>(headers_.size());
    return *this;
  }

  MapBuilder headers_;
  Arena& arena_;
  bp_message& message_;
};

namespace detail {
struct MessagePlace {
  bp_message message;
  MessageDraft::Room room;
};
}  // namespace detail

/// The same in memory of its own: the stack, while it is small. Stays where it is.
///
///     MessageBuilder message(21.5);
///     message.header(BP_H_CONTENT_TYPE, "application/json").header("unit", "Cel").time_now();
///     hub.publish(message);
class MessageBuilder : private detail::MessagePlace, private StackArena<512>, public MessageDraft {
 public:
  explicit MessageBuilder(ValueView body = {})
      : MessageDraft(static_cast<Arena&>(*this), MessagePlace::message, MessagePlace::room, body) {}
};

/// A message that stays: shares the owner of a counted one, else holds a copy of the whole tree in
/// one allocation, or in none when it is a scalar without headers. Copies share. Reading it is
/// const and thread-safe.
///
/// A descriptor in it is the owner's, or a duplicate that is closed with the last copy. A reference
/// in it is borrowed still: good as long as somebody holds it, so who keeps the message retains it.
class OwnedMessage {
 public:
  OwnedMessage() noexcept = default;
  /// Throws Error when it is nested deeper than kMaxDepth, or a descriptor cannot be duplicated.
  explicit OwnedMessage(MessageView from) : message_(from.raw()) {
    owner_ = Buffer::retain(message_.owner);
    if (!owner_) {
      copy();
    }
  }
  explicit OwnedMessage(ValueView body) : OwnedMessage(MessageView(MessageBuilder(body).view())) {}
  /// Takes over the ownership that came with an operation's `out`; copies what is borrowed
  /// (scratch).
  static OwnedMessage take(const bp_message& out) {
    const Buffer owner = Buffer::adopt(out.owner);
    return OwnedMessage(MessageView(out));
  }

  operator MessageView() const noexcept { return message_; }
  MessageView view() const noexcept { return message_; }
  ValueView body() const noexcept { return message_.body; }
  template <class T>
  Result<T> as() const {
    return view().template as<T>();
  }
  void set_flags(uint32_t flags) noexcept { message_.flags = flags; }
  void set_seq(uint64_t seq) noexcept { message_.seq = seq; }

  /// Gives message and ownership away, for an operation's `out`.
  [[nodiscard]] bp_message release() && noexcept {
    bp_message out =
        std::exchange(message_, bp_message{{}, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0});
    out.owner = owner_.release();
    return out;
  }

 private:
  void copy() {
    const detail::TreeSize size = detail::tree_size(message_);
    if (size.bytes == 0 && size.descriptors == 0) {
      message_.headers = nullptr;
      return;
    }
    owner_ = Buffer::make(size.bytes, size.descriptors);
    detail::TreeCopy tree(owner_.data(), owner_.descriptors().data());
    message_.body = tree.copy(message_.body);
    message_.headers = tree.pairs({message_.headers, message_.n_headers}).data();
    message_.owner = owner_.get();
  }

  bp_message message_ = {{}, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0};
  Buffer owner_;
};

}  // namespace backplane
