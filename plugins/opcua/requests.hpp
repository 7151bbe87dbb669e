// SPDX-License-Identifier: Apache-2.0
// Reads, writes and calls that wait for their answer; each is completed once, by whoever comes
// first: the answer, cancel, stop.
//
// Design notes. They lie in places that are used again, as many as there may be, so that one more
// neither allocates nor is looked for: a key is a place and how often it was used. An operation's
// own words (impl) say its key while it is here, so a cancel that comes late finds nothing.
#pragma once

#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/host.hpp>

#include <optional>
#include <vector>

namespace backplane::opcua {

class Requests {
 public:
  /// `host` outlives it.
  Requests(const Host& host, size_t most) : host_(host), most_(most) {}
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  /// PENDING, with a key that no other request has or had; RESOURCE_EXHAUSTED: there are
  /// `max_requests`. [any]
  Status add(Op op, uint64_t& key) {
    auto state = state_.lock();
    if (state->closed) {
      return *state->closed;
    }
    const size_t at = state->first_free;
    if (at == state->places.size()) {
      if (at >= most_) {
        return Status(BP_RESOURCE_EXHAUSTED, "there are ", most_,
                      " requests under way already: 'max_requests'");
      }
      state->places.push_back({nullptr, at, at + 1});
    }
    Place& place = state->places[at];
    state->first_free = place.next_free;
    place.op = op;
    key = place.key += kOneUse;
    op->impl[0] = key;
    op->impl[1] = tag();
    return Status::pending();
  }
  /// True: the operation is the caller's again, and nobody else completes it. [any]
  bool take_back(uint64_t key) { return take(key) != nullptr; }
  /// The key of what it has cancelled; nothing when that is none of these any more. [any]
  std::optional<uint64_t> cancel(Op op) noexcept {
    std::optional<uint64_t> key;
    {
      auto state = state_.lock();
      if (op->impl[1] == tag()) {
        key = op->impl[0];
        take(*state, *key);
      }
    }
    if (key) {
      host_.complete(op, Status(BP_CANCELLED));
    }
    return key;
  }
  void fail(uint64_t key, const Status& status) {
    if (const Op op = take(key)) {
      host_.complete(op, status);
    }
  }
  void reply(uint64_t key, MessageView message, Status status) {
    if (Op op = take(key)) {
      if (Status replied = op.reply(message); replied.is_error()) {
        status = std::move(replied);
      }
      host_.complete(op, status);
    }
  }
  /// `fill(MessageBuilder&)` makes the answer and returns the status; not called when the request
  /// is gone.
  template <class Fill>
  void answer(uint64_t key, Fill fill) {
    Op op = take(key);
    if (op == nullptr) {
      return;
    }
    Status status;
    try {
      MessageBuilder out;
      status = fill(out);
      op.reply(MessageView(out)).or_throw();
    } catch (...) {
      status = current_exception_status();
    }
    host_.complete(op, status);
  }
  /// Completes all, some of which the server may have, and refuses new ones.
  void close(const Status& status) {
    std::vector<Op> left;
    {
      auto state = state_.lock();
      state->closed = status;
      for (const Place& place : state->places) {
        if (place.op != nullptr) {
          left.push_back(take(*state, place.key));
        }
      }
    }
    for (const Op op : left) {
      host_.complete(op,
                     Status(status.code(), status.message(), ": whether it was done is not known"));
    }
  }

 private:
  static constexpr uint64_t kOneUse = uint64_t{1} << 32;
  struct Place {
    Op op;  // null: it is free
    uint64_t key;
    size_t next_free;
  };
  struct State {
    std::vector<Place> places;
    size_t first_free = 0;  // as many as there are places: none
    std::optional<Status> closed;
  };

  uint64_t tag() const noexcept { return reinterpret_cast<uintptr_t>(this); }
  static Op take(State& state, uint64_t key) noexcept {
    const uint32_t at = static_cast<uint32_t>(key);
    Place& place = state.places[at];
    if (place.op == nullptr || place.key != key) {
      return nullptr;
    }
    place.op->impl[1] = 0;
    place.next_free = std::exchange(state.first_free, at);
    return std::exchange(place.op, nullptr);
  }
  Op take(uint64_t key) noexcept {
    auto state = state_.lock();
    return take(*state, key);
  }

  const Host& host_;
  const size_t most_;
  Guarded<State> state_;
};

}  // namespace backplane::opcua
