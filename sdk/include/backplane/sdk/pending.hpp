// SPDX-License-Identifier: Apache-2.0
// Pending: operations in flight, each completed exactly once, whoever comes first: the answer,
// cancel, a lost connection, stop.
//
// Design notes. Taking an operation out is the decision: it happens under the lock, and whoever
// took it completes it, without the lock. cancel() may come for an operation that is being
// completed: the operation's own words (impl) name this collection only while it is in it, so a
// late call finds nothing and does nothing. Completing may close the endpoint that holds the
// collection; nothing here is touched after it.
#pragma once

#include "guarded.hpp"
#include "host.hpp"

#include <optional>
#include <unordered_map>
#include <variant>

namespace backplane {

/// Without a key, and without allocation: linked through impl[]. For operations that wait for one
/// common thing. An Op given to take() or complete() must still be one's own to touch, as it is
/// inside cancel(): who only remembers an Op, and may come after its completion, needs a key
/// (Pending).
class PendingList {
 public:
  /// `host` outlives it.
  explicit PendingList(const Host& host) noexcept : host_(&host) {}
  PendingList(const PendingList&) = delete;
  PendingList& operator=(const PendingList&) = delete;

  /// PENDING; or what close() said. [any]
  Status add(Op op) {
    auto state = state_.lock();
    if (state->closed) {
      return *state->closed;
    }
    link(op, kTag) = tag();
    link(op, kNext) = 0;
    link(op, kPrevious) = word(state->last);
    (state->last != nullptr ? link(state->last, kNext) : state->first) = word(op);
    state->last = op;
    state->size += 1;
    return Status::pending();
  }
  /// True: it was here, and the caller completes it now. [any]
  [[nodiscard]] bool take(Op op) noexcept {
    auto state = state_.lock();
    if (link(op, kTag) != tag()) {
      return false;
    }
    unlink(*state, op);
    return true;
  }
  /// The oldest one, for the caller to complete; or none. [any]
  [[nodiscard]] Op take_first() noexcept {
    auto state = state_.lock();
    bp_op* const op = pointer(state->first);
    if (op != nullptr) {
      unlink(*state, op);
    }
    return op;
  }
  /// False: somebody else completes it. [any]
  bool complete(Op op, const Status& status) noexcept {
    const Host& host = *host_;
    if (!take(op)) {
      return false;
    }
    host.complete(op, status);
    return true;
  }
  void cancel(Op op) noexcept { complete(op, Status(BP_CANCELLED)); }
  void complete_all(const Status& status) noexcept { end(status, false); }
  /// Completes all, and refuses new ones with the same status. [any]
  void close(const Status& status) noexcept { end(status, true); }
  size_t size() noexcept { return state_.lock()->size; }

 private:
  enum Word { kNext, kPrevious, kTag };
  struct State {
    uint64_t first = 0;
    bp_op* last = nullptr;
    size_t size = 0;
    std::optional<Status> closed;
  };
  static uint64_t word(bp_op* op) noexcept { return reinterpret_cast<uintptr_t>(op); }
  static bp_op* pointer(uint64_t op) noexcept { return reinterpret_cast<bp_op*>(op); }
  static uint64_t& link(bp_op* op, Word which) noexcept { return op->impl[which]; }
  uint64_t tag() const noexcept { return reinterpret_cast<uintptr_t>(this); }

  static void unlink(State& state, bp_op* op) noexcept {
    bp_op* const next = pointer(link(op, kNext));
    bp_op* const previous = pointer(link(op, kPrevious));
    (previous != nullptr ? link(previous, kNext) : state.first) = word(next);
    if (next != nullptr) {
      link(next, kPrevious) = word(previous);
    } else {
      state.last = previous;
    }
    link(op, kTag) = 0;
    state.size -= 1;
  }
  void end(const Status& status, bool closing) noexcept {
    const Host& host = *host_;
    bp_op* op = nullptr;
    {
      auto state = state_.lock();
      if (closing) {
        state->closed = status;
      }
      op = pointer(std::exchange(state->first, 0));
      state->last = nullptr;
      state->size = 0;
      for (bp_op* each = op; each != nullptr; each = pointer(link(each, kNext))) {
        link(each, kTag) = 0;
      }
    }
    while (op != nullptr) {
      bp_op* const next = pointer(link(op, kNext));
      host.complete(op, status);
      op = next;
    }
  }

  const Host* host_;
  Guarded<State> state_;
};

/// Keyed by the protocol's own token (message id, correlation data); `Data` is what the endpoint
/// wants to know again. Add before sending, because the answer may come first:
///
///     Status call(Op op) {
///       const uint16_t id = next_id();
///       if (Status status = requests_.add(id, op); !status.is_pending()) return status;
///       if (Status status = send(id, op.in()); status.is_error() && requests_.take(id)) return
///       status; return Status::pending();
///     }
///     void answered(uint16_t id, ValueView body) {
///       if (auto request = requests_.take(id)) host().complete_with(request->op, body);
///     }
template <class Key, class Data = std::monostate, class Hash = std::hash<Key>>
class Pending {
 public:
  struct Request {
    Op op;
    Key key;
    Data data;
  };

  /// `host` outlives it.
  explicit Pending(const Host& host) noexcept : host_(&host) {}
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  /// PENDING; ALREADY_EXISTS for a key in use; or what close() said. [any]
  Status add(Key key, Op op, Data data = {}) {
    auto state = state_.lock();
    if (state->closed) {
      return *state->closed;
    }
    const auto [at, added] = state->requests.try_emplace(key, Request{op, key, std::move(data)});
    if (!added) {
      return Status(BP_ALREADY_EXISTS, "the token of this request is in use");
    }
    op->impl[0] = reinterpret_cast<uintptr_t>(&at->second);
    op->impl[1] = reinterpret_cast<uintptr_t>(this);
    return Status::pending();
  }
  /// The request, for the caller to complete; nothing when it is not here any more. [any]
  [[nodiscard]] std::optional<Request> take(const Key& key) {
    auto state = state_.lock();
    return extract(*state, state->requests.find(key));
  }
  [[nodiscard]] std::optional<Request> take_operation(Op op) {
    auto state = state_.lock();
    if (op->impl[1] != reinterpret_cast<uintptr_t>(this)) {
      return std::nullopt;
    }
    const Key& key = reinterpret_cast<const Request*>(op->impl[0])->key;
    return extract(*state, state->requests.find(key));
  }
  /// Completes it with CANCELLED and returns it, so that the endpoint can tell its peer; nothing
  /// when it is not here. [any]
  std::optional<Request> cancel(Op op) {
    const Host& host = *host_;
    auto request = take_operation(op);
    if (request) {
      host.complete(op, Status(BP_CANCELLED));
    }
    return request;
  }
  void complete_all(const Status& status) { end(status, false); }
  /// Completes all, and refuses new ones with the same status. [any]
  void close(const Status& status) { end(status, true); }
  size_t size() { return state_.lock()->requests.size(); }

 private:
  using Requests = std::unordered_map<Key, Request, Hash>;
  struct State {
    Requests requests;
    std::optional<Status> closed;
  };
  static std::optional<Request> extract(State& state, typename Requests::iterator at) {
    if (at == state.requests.end()) {
      return std::nullopt;
    }
    at->second.op->impl[1] = 0;
    std::optional<Request> out(std::move(at->second));
    state.requests.erase(at);
    return out;
  }
  void end(const Status& status, bool closing) {
    const Host& host = *host_;
    Requests requests;
    {
      auto state = state_.lock();
      if (closing) {
        state->closed = status;
      }
      requests.swap(state->requests);
      for (auto& [key, request] : requests) {
        request.op->impl[1] = 0;
      }
    }
    for (auto& [key, request] : requests) {
      host.complete(request.op, status);
    }
  }

  const Host* host_;
  Guarded<State> state_;
};

}  // namespace backplane
