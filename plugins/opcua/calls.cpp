// SPDX-License-Identifier: Apache-2.0
#include "calls.hpp"

#include "error_map.hpp"

namespace backplane::opcua {

struct Calls::Call {
  Call(Calls& its_calls, uint64_t its_id, Method& its_method, OwnedMessage its_in,
       uintptr_t its_caller, Answer its_answer)
      : calls(its_calls),
        id(its_id),
        method(its_method),
        in(std::move(its_in)),
        caller(its_caller),
        answer(std::move(its_answer)) {}
  Calls& calls;
  const uint64_t id;
  Method& method;
  const OwnedMessage in;
  const uintptr_t caller;
  Answer answer;               // none: it was given
  Handler* handler = nullptr;  // none: watchers
  bp_message raw{};
  std::optional<UniqueOp> op;
  alignas(16) std::byte scratch[512];
};

Calls::Calls(const Host& host, size_t most, std::chrono::nanoseconds timeout)
    : host_(host),
      most_(most),
      timeout_(timeout),
      timer_(host, [this] { expire(); }),
      count_(host.counter("opcua_calls_total")),
      refused_(host.counter("opcua_calls_refused_total")) {}

Calls::~Calls() = default;

uint64_t Calls::begin(Method& method, OwnedMessage in, uintptr_t caller, Answer answer) {
  count_.add();
  Status refusal;
  Handler* const handler = find(method);
  if (is_draining_) {
    refusal = Status(BP_UNAVAILABLE, "the server is ending");
  } else if (calls_.size() >= most_) {
    refusal =
        Status(BP_RESOURCE_EXHAUSTED, "there are ", most_, " calls under way already: 'max_calls'");
  } else if (handler == nullptr && method.hub().watchers() == 0) {
    refusal = Status(BP_UNIMPLEMENTED, "nobody answers method '", method.declared().id,
                     "': serve it, or watch it");
  } else if (handler == nullptr && !method.declared().outputs.empty()) {
    refusal = Status(BP_UNIMPLEMENTED, "nobody serves method '", method.declared().id,
                     "', and who watches it cannot give its outputs");
  }
  if (refusal.is_error()) {
    refused_.add();
    answer(refusal, {});
    return 0;
  }
  const uint64_t id = ++last_id_;
  auto made = std::make_unique<Call>(*this, id, method, std::move(in), caller, std::move(answer));
  Call& call = *made;
  if (handler != nullptr) {
    try {
      call.op.emplace(host_, &call, &Calls::done);
    } catch (const Error& error) {
      refused_.add();
      call.answer(error.status(), {});
      return 0;
    }
  }
  calls_.emplace(id, std::move(made));
  ++unanswered_;
  const int64_t deadline = monotonic_after(timeout_);
  deadlines_.emplace_back(deadline, id);
  if (!is_armed_) {
    is_armed_ = timer_.at(deadline).is_ok();
  }
  if (handler != nullptr) {
    submit(call, *handler);
  } else {
    publish(call);
  }
  return id;
}

void Calls::submit(Call& call, Handler& handler) {
  call.handler = &handler;
  ++handler.calls;
  call.raw = call.in.view().raw();
  bp_op* const op = call.op->operator->();
  op->verb = BP_V_CALL;
  op->target = handler.ref;
  op->in = &call.raw;
  op->scratch = call.scratch;
  op->scratch_len = sizeof call.scratch;
  op->deadline_ns = monotonic_after(timeout_);
  const uint64_t id = call.id;
  if (const bp_status status = call.op->submit(); status != BP_PENDING) {
    finish(id, call.op->status(status), MessageView(op->out));
  }
}

void Calls::done(bp_op* op) {
  Call& call = *static_cast<Call*>(op->user);
  // Never at once: it may have completed inside submit(), whose caller looks at it still.
  static_cast<void>(post(call.calls.host_, [&call] {
    call.calls.finish(call.id, call.op->status((*call.op)->status), MessageView((*call.op)->out));
  }));
}

void Calls::publish(Call& call) {
  const uint64_t id = call.id;
  Hub& hub = call.method.hub();
  const OwnedMessage in = call.in;  // the call may be over before this returns
  static_cast<void>(hub.publish(in, [this, id](const Status& status) { settled(id, status); }));
}

/// On any thread, perhaps inside publish().
void Calls::settled(uint64_t id, const Status& status) {
  if (on_loop(host_)) {
    finish(id, status, MessageView());
  } else {
    static_cast<void>(post(host_, [this, id, status] { finish(id, status, MessageView()); }));
  }
}

void Calls::finish(uint64_t id, const Status& status, MessageView out) {
  const auto at = calls_.find(id);
  const std::unique_ptr<Call> call = std::move(at->second);
  calls_.erase(at);
  std::vector<Variant> outputs;
  Status result = status;
  if (call->answer && status.is_ok()) {
    try {
      outputs = call->method.outputs(out.body());
    } catch (const Error& error) {
      // The caller is not to blame.
      result = Status(BP_INTERNAL, error.status().message());
      host_.log().warning("a method was answered with what it does not declare",
                          {{"error", error.status().message()}});
    }
  }
  answer(*call, result, std::move(outputs));
  if (call->op) {
    static_cast<void>(call->op->take_owner());
  }
  if (call->handler != nullptr) {
    --call->handler->calls;
    leave(*call->handler);
  }
  while (!deadlines_.empty() && calls_.find(deadlines_.front().second) == calls_.end()) {
    deadlines_.pop_front();
  }
  changed();
}

void Calls::answer(Call& call, const Status& status, std::vector<Variant> outputs) {
  if (const Answer answer = std::exchange(call.answer, nullptr)) {
    --unanswered_;
    answer(status, std::move(outputs));
  }
}

void Calls::abandon(uint64_t id) {
  const auto at = calls_.find(id);
  if (at == calls_.end()) {
    return;
  }
  Call& call = *at->second;
  answer(call, Status(BP_CANCELLED), {});
  if (call.op) {
    call.op->cancel();
  }
  changed();
}

void Calls::abandon_caller(uintptr_t caller) {
  std::vector<uint64_t> ids;
  for (const auto& [id, call] : calls_) {
    if (call->caller == caller) {
      ids.push_back(id);
    }
  }
  for (const uint64_t id : ids) {
    abandon(id);
  }
}

void Calls::expire() {
  is_armed_ = false;
  const int64_t now = monotonic_ns();
  while (!deadlines_.empty() && deadlines_.front().first <= now) {
    const uint64_t id = deadlines_.front().second;
    deadlines_.pop_front();
    if (const auto at = calls_.find(id); at != calls_.end()) {
      answer(*at->second,
             Status(BP_DEADLINE_EXCEEDED, "method '", at->second->method.declared().id,
                    "' was not answered within call_timeout_s"),
             {});
      abandon(id);
    }
  }
  if (!deadlines_.empty() && !is_armed_) {
    is_armed_ = timer_.at(deadlines_.front().first).is_ok();
  }
}

void Calls::stop(const Status& status) {
  is_draining_ = true;
  std::vector<uint64_t> ids;
  for (const auto& [id, call] : calls_) {
    ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    if (const auto at = calls_.find(id); at != calls_.end()) {
      answer(*at->second, status, {});
      abandon(id);
    }
  }
  timer_.cancel();
}

Status Calls::serve(Op op, uint64_t op_id, Method& method) {
  const MessageView in = op.in();
  const std::string& id = method.declared().id;
  if (in.body().tag != BP_T_REF || in.body().as.u == 0) {
    return Status(BP_INVALID_ARGUMENT, "serve '", id,
                  "': the body must be the reference of a handler");
  }
  if (in.header<uint32_t>(BP_H_MATCH).value_or(BP_MATCH_EXACT) != BP_MATCH_EXACT) {
    return Status(BP_INVALID_ARGUMENT, "serve '", id, "': a method is served exactly, match 0");
  }
  if (is_draining_) {
    return Status(BP_UNAVAILABLE, "the server is ending");
  }
  if (find(method) != nullptr) {
    return Status(BP_ALREADY_EXISTS, "'", id, "' is served already");
  }
  handlers_.push_back(std::make_unique<Handler>(Handler{op_id, op, in.body().as.u, &method}));
  return Status::pending();
}

Calls::Handler* Calls::find(const Method& method) noexcept {
  for (const auto& handler : handlers_) {
    if (handler->method == &method && !handler->is_withdrawn) {
      return handler.get();
    }
  }
  return nullptr;
}

void Calls::withdraw(uint64_t op_id) {
  for (const auto& handler : handlers_) {
    if (handler->op_id == op_id) {
      handler->is_withdrawn = true;
      leave(*handler);
      return changed();
    }
  }
}

void Calls::withdraw_all() {
  std::vector<uint64_t> ids;
  for (const auto& handler : handlers_) {
    ids.push_back(handler->op_id);
  }
  for (const uint64_t id : ids) {
    withdraw(id);
  }
}

void Calls::leave(Handler& handler) {
  if (!handler.is_withdrawn || handler.calls > 0) {
    return;
  }
  const Op op = handler.op;
  std::erase_if(handlers_, [&](const auto& each) { return each.get() == &handler; });
  host_.complete(op, Status(BP_CANCELLED));
}

}  // namespace backplane::opcua
