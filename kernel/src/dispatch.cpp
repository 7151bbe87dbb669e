// SPDX-License-Identifier: Apache-2.0
// The path of one operation. Everything here runs on the caller's thread; see operation.hpp for
// completion and thread_registry.hpp for why a slot stays valid without a count.
#include "dispatch.hpp"

#include "backplane/service/log.h"
#include "completion_queue.hpp"
#include "endpoint_table.hpp"
#include "error.hpp"
#include "executor.hpp"
#include "host.hpp"
#include "kernel.hpp"
#include "operation.hpp"
#include "verb.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace backplane::kernel {
namespace {

constexpr VerbMask kStreams = bit(Verb::kWatch) | bit(Verb::kBrowse) | kWatchWithAck;

// What an operation asks for, as one bit of the target's mask; 0: there is no such thing.
inline VerbMask asked_for(const bp_op& op) noexcept {
  if (op.flags == 0) [[likely]]
    return op.verb < 16 ? BP_VERB_BIT(op.verb) : 0;
  if (op.verb == BP_V_WATCH && op.flags == BP_OP_ACK) return kWatchWithAck;
  if (op.verb == BP_V_CALL && op.flags == BP_OP_DUPLEX) return kCallDuplex;
  return 0;
}

[[gnu::cold]] bp_status refuse(bp_op* op, bp_status status, std::string_view why) noexcept {
  op->status = status;
  op->out = bp_message{};
  op->out.time_ns = BP_TIME_NONE;
  return set_error(op->error, status, why);
}

[[gnu::cold]] bp_status refuse_verb(bp_op* op, VerbMask possible) noexcept {
  const VerbMask asked = asked_for(*op) & with_flags(UINT32_MAX);
  const std::string what = asked != 0 ? in_words(asked)
                                      : "verb " + std::to_string(op->verb) + " with flags " +
                                            std::to_string(op->flags) + ", unknown to this kernel,";
  return refuse(
      op, BP_UNIMPLEMENTED,
      what + " is not possible here, or was not granted; possible: " + in_words(possible));
}

[[gnu::cold]] bp_status refuse_request(bp_op* op) noexcept {
  return refuse(op, BP_UNIMPLEMENTED,
                "the operation is of a newer ABI and uses what this kernel does not know");
}

inline bool is_sink(const bp_sink* sink) noexcept {
  return sink != nullptr && sink->struct_size >= BP_SIZE_TO(bp_sink, next) && sink->next != nullptr;
}

inline bool is_handler(const Host& host, const bp_message* in) noexcept {
  return in != nullptr && in->body.tag == BP_T_REF && host.table().find(in->body.as.u) != nullptr;
}

// Everything that is checked before an endpoint sees an operation. NULL: refused, with the status
// in op.
inline Slot* admit(const Host& host, bp_op* op, bp_status& refused) noexcept {
  // Operations come from op_new, so that the size is this kernel's own unless the caller overwrote
  // it.
  if (op->struct_size != BP_SIZE_TO(bp_op, impl)) [[unlikely]] {
    refused = refuse_request(op);
    return nullptr;
  }
  Slot* const slot = host.table().find(op->target);
  if (slot == nullptr) [[unlikely]] {
    refused = refuse(op, BP_FAILED_PRECONDITION,
                     "the reference is closed, or never was one: open the address again");
    return nullptr;
  }
  const VerbMask asked = asked_for(*op);
  if ((slot->verbs & asked) == 0) [[unlikely]] {
    refused = refuse_verb(op, slot->verbs);
    return nullptr;
  }
  if ((asked & kStreams) != 0 && Operation::of(op)->queue == nullptr && !is_sink(op->sink))
      [[unlikely]] {
    refused = refuse(op, BP_INVALID_ARGUMENT, "watch and browse need a sink with a `next`");
    return nullptr;
  }
  if (op->verb == BP_V_SERVE && !is_handler(host, op->in)) [[unlikely]] {
    refused =
        refuse(op, BP_INVALID_ARGUMENT, "serve needs an open reference of a handler as the body");
    return nullptr;
  }
  if (Operation::of(op)->abandoned()) [[unlikely]] {
    refused = refuse(op, BP_FAILED_PRECONDITION,
                     "the operation was given up with its instance: free it, and take another");
    return nullptr;
  }
  if (op->deadline_ns != 0 && op->deadline_ns <= monotonic_now()) [[unlikely]] {
    refused =
        refuse(op, BP_DEADLINE_EXCEEDED, "the deadline had passed before the operation started");
    return nullptr;
  }
  return slot;
}

inline Operation& prepare(const Host& host, bp_op* op, Slot* slot,
                          const ThreadState& thread) noexcept {
  Operation& operation = *Operation::of(op);
  operation.begin(Operation::Kind::kSubmit, &host);
  operation.slot = slot;
  operation.provider = slot->provider;
  op->self = slot->self;
  if (op->verb == BP_V_SERVE && host.table().retain(op->in->body.as.u))
    operation.handler = op->in->body.as.u;
  slot->provider->counters.add(Count::kOperations, 1, thread);
  return operation;
}

// After the endpoint's submit returned. From pend_in on, op belongs to whoever `done` handed it to.
inline bp_status settle_return(Operation& operation, bp_status status,
                               const ThreadState& thread) noexcept {
  if (status == BP_PENDING) {
    operation.provider->counters.add(Count::kPending, 1, thread);
    operation.pend_in(*operation.slot->pending);
    return BP_PENDING;
  }
  const Host* const provider = operation.provider;
  if (status > 0) [[unlikely]] {
    provider->breach("submit returned a positive number that is not PENDING");
    status = BP_INTERNAL;
  }
  operation.op.status = status;
  if (operation.handler != 0) [[unlikely]]
    provider->table().release(std::exchange(operation.handler, 0));
  if (!operation.finish_inline()) [[unlikely]]
    provider->breach("submit called complete() and did not return PENDING");
  if (status < 0) {
    fill_error(operation.op.error, status);
    if (status != BP_CANCELLED) provider->counters.add(Count::kFailed, 1, thread);
  }
  return status;
}

bp_op* op_new(const bp_host* host) {
  Operation* const operation = OperationPool::take();
  if (operation == nullptr) return nullptr;
  const Host& owner = Host::of(host);
  operation->caller = &owner;
  owner.counters.add(Count::kLiveOperations, 1, ThreadRegistry::current());
  return &operation->op;
}

void op_free(const bp_host* host, bp_op* op) {
  if (op == nullptr) return;
  Operation* const operation = Operation::of(op);
  const Host& owner = Host::of(host);
  if (!operation->at_rest()) {
    owner.breach("op_free of an operation that is under way");
    return;
  }
  owner.counters.add(Count::kLiveOperations, -1, ThreadRegistry::current());
  if (!operation->abandoned()) OperationPool::give(operation);
}

bp_status open(const bp_host* host, bp_str address, const bp_message* options, bp_op* op) {
  return open_to(host, address, options, op, nullptr);
}

bp_status adopt(const bp_host* host, const bp_endpoint* endpoint, bp_ref* out) {
  return Host::of(host).kernel.adopt(Host::of(host), *endpoint, endpoint->verbs, *out, nullptr);
}

bp_status retain(const bp_host* host, bp_ref ref) {
  return Host::of(host).table().retain(ref) ? BP_OK : BP_FAILED_PRECONDITION;
}

void close_reference(const bp_host* host, bp_ref ref) {
  if (ref == 0) return;
  const Host& owner = Host::of(host);
  if (!owner.table().release(ref) && owner.kernel.checked()) {
    owner.kernel.log(&owner, BP_LOG_DEBUG, "close of a reference that is not open");
  }
}

std::uint32_t verbs(const bp_host* host, bp_ref ref) {
  const InKernel inside(ThreadRegistry::current());
  const Slot* const slot = Host::of(host).table().find(ref);
  return slot == nullptr ? 0 : slot->verbs;
}

bp_status submit(const bp_host* host, bp_op* op) { return submit_to(host, op, nullptr); }

// Offers runs of operations whose endpoints share a table to its submit_n; what that does not take
// goes one at a time.
std::uint32_t submit_n(const bp_host* host, bp_op* const* ops, std::uint32_t n) {
  const Host& caller = Host::of(host);
  ThreadState& thread = ThreadRegistry::current();
  const InKernel inside(thread);
  std::uint32_t taken = 0;
  while (taken < n) {
    const bp_endpoint_ops* table = nullptr;
    std::uint32_t run = taken;
    bp_status refused = BP_OK;
    for (; run < n; ++run) {
      Operation::of(ops[run])->queue = nullptr;
      Slot* const slot = admit(caller, ops[run], refused);
      if (slot == nullptr) break;
      if (table == nullptr) table = slot->ops();
      if (slot->ops() != table) break;
      prepare(caller, ops[run], slot, thread);
    }
    const std::uint32_t offered = run - taken;
    if (offered == 0) {  // the first one is refused: it completes by done all the same
      ops[taken]->done(ops[taken]);
      ++taken;
      continue;
    }
    const std::uint32_t accepted = std::min(table->submit_n(ops + taken, offered), offered);
    for (std::uint32_t i = taken; i < taken + accepted; ++i)
      settle_return(*Operation::of(ops[i]), BP_PENDING, thread);
    for (std::uint32_t i = taken + accepted; i < run; ++i) {
      Operation& operation = *Operation::of(ops[i]);
      if (settle_return(operation, table->submit(ops[i]), thread) != BP_PENDING)
        ops[i]->done(ops[i]);
    }
    taken = run;
  }
  return taken;
}

void cancel(const bp_host*, bp_op* op) { Operation::of(op)->request_cancel(false); }

void credit(const bp_host*, bp_op* op, std::uint32_t n) {
  Operation& operation = *Operation::of(op);
  if (n == 0 || !operation.enter()) return;
  operation.add_credit(n);
  operation.leave_without_done();
}

void ack(const bp_host*, bp_op* op, std::uint64_t seq, bp_status status) {
  Operation& operation = *Operation::of(op);
  if (!operation.enter()) return;
  if (operation.kind == Operation::Kind::kSubmit) operation.slot->ops()->ack(op, seq, status);
  operation.leave_without_done();
}

void complete(const bp_host* host, bp_op* op, bp_status status) {
  if (status > 0) {
    Host::of(host).breach("complete() with a positive status");
    status = BP_INTERNAL;
  }
  Operation& operation = *Operation::of(op);
  // Whose operation was given up cannot know it: late is no breach.
  if (!operation.complete(status) && !operation.abandoned())
    Host::of(host).breach("complete() of an operation that had completed");
}

bp_status deliver(const bp_host* host, bp_op* op, const bp_message* messages, std::uint32_t n) {
  if (n == 0) return BP_OK;
  Operation& operation = *Operation::of(op);
  if (!operation.enter()) {
    if (!operation.abandoned())
      Host::of(host).breach("deliver() to an operation that had completed");
    return BP_FAILED_PRECONDITION;
  }
  bp_status status = BP_PENDING;
  if (operation.take_credit(n)) {
    operation.provider->counters.add(Count::kDelivered, n, ThreadRegistry::current());
    status = operation.queue != nullptr ? operation.queue->push_messages(op, messages, n)
                                        : std::min(op->sink->next(op, messages, n), BP_OK);
  }
  operation.leave();
  return status;
}

}  // namespace

bp_status submit_to(const bp_host* host, bp_op* op, CompletionQueue* queue) noexcept {
  const Host& caller = Host::of(host);
  ThreadState& thread = ThreadRegistry::current();
  const InKernel inside(thread);
  Operation::of(op)->queue = queue;
  bp_status refused = BP_OK;
  Slot* const slot = admit(caller, op, refused);
  if (slot == nullptr) return refused;
  Operation& operation = prepare(caller, op, slot, thread);
  return settle_return(operation, slot->ops()->submit(op), thread);
}

bp_status open_to(const bp_host* host, bp_str address, const bp_message* options, bp_op* op,
                  CompletionQueue* queue) noexcept {
  const Host& caller = Host::of(host);
  if (op->struct_size != BP_SIZE_TO(bp_op, impl)) return refuse_request(op);
  if (op->flags != 0) return refuse(op, BP_UNIMPLEMENTED, "open has no flags");
  Operation& operation = *Operation::of(op);
  if (operation.abandoned())
    return refuse(op, BP_FAILED_PRECONDITION,
                  "the operation was given up with its instance: free it, and take another");
  operation.queue = queue;
  operation.begin(Operation::Kind::kOpen, &caller);
  try {
    return caller.kernel.open(caller, view(address), options, operation);
  } catch (const std::exception& error) {
    operation.finish_inline();
    return refuse(op, BP_INTERNAL, error.what());
  }
}

const bp_endpoint_service kEndpointService = {BP_SIZE_TO(bp_endpoint_service, verbs),
                                              0,
                                              op_new,
                                              op_free,
                                              open,
                                              adopt,
                                              retain,
                                              close_reference,
                                              submit,
                                              submit_n,
                                              cancel,
                                              credit,
                                              ack,
                                              complete,
                                              deliver,
                                              verbs};

}  // namespace backplane::kernel
