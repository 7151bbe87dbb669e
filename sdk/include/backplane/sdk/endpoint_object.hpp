// SPDX-License-Identifier: Apache-2.0
// An endpoint from a C++ object: its verbs are the member functions it has.
#pragma once

#include "boundary.hpp"
#include "operation.hpp"
#include <backplane/endpoint.h>

#include <memory>

namespace backplane {

namespace detail {

template <class T>
concept HasRead = requires(T& t, Op op) {
  t.read(op);
};
template <class T>
concept HasWrite = requires(T& t, Op op) {
  t.write(op);
};
template <class T>
concept HasCall = requires(T& t, Op op) {
  t.call(op);
};
template <class T>
concept HasWatch = requires(T& t, Op op) {
  t.watch(op);
};
template <class T>
concept HasServe = requires(T& t, Op op) {
  t.serve(op);
};
template <class T>
concept HasBrowse = requires(T& t, Op op) {
  t.browse(op);
};
template <class T>
concept HasConnect = requires(T& t, Op op) {
  t.connect(op);
};
template <class T>
concept HasAck = requires(T& t, Op op) {
  t.ack(op, uint64_t{}, bp_status{});
};

/// The only place that turns `self` back into an object.
template <class T>
struct EndpointTable {
  static T& object(bp_op* op) noexcept { return *static_cast<T*>(op->self); }

  static bp_status submit(bp_op* op) noexcept {
    return boundary(op->error,
                    [op]() -> bp_status { return dispatch(object(op), op).to(op->error); });
  }
  static Status dispatch(T& target, Op op) {
    switch (op.verb()) {
      case BP_V_READ:
        if constexpr (HasRead<T>) return target.read(op);
        break;
      case BP_V_WRITE:
        if constexpr (HasWrite<T>) return target.write(op);
        break;
      case BP_V_CALL:
        if constexpr (HasConnect<T>) {
          if (op.is_duplex()) return target.connect(op);
        }
        if constexpr (HasCall<T>) return target.call(op);
        break;
      case BP_V_WATCH:
        if constexpr (HasWatch<T>) return target.watch(op);
        break;
      case BP_V_SERVE:
        if constexpr (HasServe<T>) return target.serve(op);
        break;
      case BP_V_BROWSE:
        if constexpr (HasBrowse<T>) return target.browse(op);
        break;
      default:
        break;
    }
    return Status(BP_UNIMPLEMENTED, "this endpoint has no verb ", op.verb(), " with flags ",
                  op->flags);
  }
  static void cancel(bp_op* op) noexcept {
    if constexpr (requires(T & t) { t.cancel(Op(op)); }) {
      object(op).cancel(Op(op));
    }
  }
  static void credit(bp_op* op, uint32_t n) noexcept {
    if constexpr (requires(T & t) { t.credit(Op(op), n); }) {
      object(op).credit(Op(op), n);
    }
  }
  static void ack(bp_op* op, uint64_t seq, bp_status status) noexcept {
    if constexpr (HasAck<T>) {
      object(op).ack(Op(op), seq, status);
    }
  }
  static void close(void* self) noexcept { delete static_cast<T*>(self); }

  static constexpr bp_endpoint_ops kOps = {
      BP_SIZE_TO(bp_endpoint_ops, close), 0, &submit, nullptr, &cancel, &credit, &ack, &close};
};

}  // namespace detail

/// The verbs that T has member functions for, and with which flags: BP_VERB_BIT, BP_CAN_*.
template <class T>
constexpr uint32_t verbs_of() noexcept {
  return (detail::HasRead<T> ? BP_VERB_BIT(BP_V_READ) : 0u) |
         (detail::HasWrite<T> ? BP_VERB_BIT(BP_V_WRITE) : 0u) |
         (detail::HasCall<T> ? BP_VERB_BIT(BP_V_CALL) : 0u) |
         (detail::HasWatch<T> ? BP_VERB_BIT(BP_V_WATCH) : 0u) |
         (detail::HasServe<T> ? BP_VERB_BIT(BP_V_SERVE) : 0u) |
         (detail::HasBrowse<T> ? BP_VERB_BIT(BP_V_BROWSE) : 0u) |
         (detail::HasConnect<T> ? BP_CAN_DUPLEX : 0u) |
         (detail::HasWatch<T> && detail::HasAck<T> ? BP_CAN_ACK : 0u);
}

/// Makes `object` an endpoint that owns it: the kernel's close deletes it. Members that count, each
/// `Status verb(Op op)`, on any thread, not blocking: read, write, call, watch, serve, browse.
/// Status::pending() means that it will be completed by Host::complete; errors may be thrown. A
/// call with BP_OP_DUPLEX goes to `Status connect(Op op)`. A class whose operations pend also has
/// `void cancel(Op) noexcept`, one that streams `void credit(Op, uint32_t n) noexcept`; who watches
/// with BP_OP_ACK needs `void ack(Op, uint64_t seq, bp_status) noexcept`. What it has no member for
/// never reaches it. `verbs` narrows what this very endpoint can do. T is final, or has a virtual
/// destructor.
///
///     class Sine { public: Status read(Op op) { return op.reply(std::sin(phase())); } };
template <class T>
bp_endpoint make_endpoint(std::unique_ptr<T> object, uint32_t verbs = verbs_of<T>()) noexcept {
  static_assert(verbs_of<T>() != 0,
                "an endpoint needs a verb: Status read(Op), write, call, watch, serve or browse");
  static_assert(std::is_final_v<T> || std::has_virtual_destructor_v<T> ||
                !std::is_polymorphic_v<T>);
  return {&detail::EndpointTable<T>::kOps, object.release(), verbs, 0};
}

}  // namespace backplane
