// SPDX-License-Identifier: Apache-2.0
#include "served.hpp"

namespace backplane::coap {
namespace {

uint16_t verb_of(coap_pdu_code_t method) noexcept {
  return method == COAP_REQUEST_CODE_GET   ? BP_V_READ
         : method == COAP_REQUEST_CODE_PUT ? BP_V_WRITE
                                           : BP_V_CALL;
}

}  // namespace

Status Served::serve(Op op, uint64_t op_id, const Target& target) {
  const MessageView in = op.in();
  const auto match = in.header<uint32_t>(BP_H_MATCH).value_or(BP_MATCH_EXACT);
  if (in.body().tag != BP_T_REF || in.body().as.u == 0) {
    return Status(BP_INVALID_ARGUMENT, "serve '", target.text,
                  "': the body must be the reference of a handler");
  }
  if (match != BP_MATCH_EXACT && match != BP_MATCH_PREFIX) {
    return Status(BP_INVALID_ARGUMENT, "serve '", target.text, "': unknown match ", match,
                  "; 0 exact, 1 prefix");
  }
  const std::string path = "/" + target.path;
  for (const auto& handler : handlers_) {
    if (handler->link.path == path && !handler->cancelled) {
      return Status(BP_ALREADY_EXISTS, "'", path, "' is served already");
    }
  }
  auto handler = std::make_unique<Handler>();
  handler->op_id = op_id;
  handler->op = op;
  handler->ref = in.body().as.u;
  handler->is_prefix = match == BP_MATCH_PREFIX;
  handler->link.path = path;
  handler->link.title = in.header<std::string>(BP_H_TITLE).value_or("");
  handler->link.rt = in.header<std::string>(BP_H_TYPE).value_or("");
  handlers_.push_back(std::move(handler));
  paths_.lock()->insert(target.path);
  return Status::pending();
}

void Served::refuse_inside(const Target& target) {
  if (paths_.lock()->contains(target.path)) {
    throw Error(BP_UNIMPLEMENTED, "'", target.text,
                "' is served by a handler, which answers peers ",
                "alone: inside, a declared resource can be read, written and watched");
  }
}

void Served::cancel(uint64_t op_id) {
  for (const auto& handler : handlers_) {
    if (handler->op_id == op_id) {
      handler->cancelled = true;
      leave(*handler);
      return;
    }
  }
}

void Served::cancel_all() {
  std::vector<uint64_t> ids;
  for (const auto& [id, inbound] : inbound_) {
    ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    abandon(id);
  }
  ids.clear();
  for (const auto& handler : handlers_) {
    ids.push_back(handler->op_id);
  }
  for (const uint64_t id : ids) {
    cancel(id);
  }
}

std::vector<Link> Served::links() const {
  std::vector<Link> links;
  for (const auto& handler : handlers_) {
    if (!handler->cancelled) {
      links.push_back(handler->link);
    }
  }
  return links;
}

const Served::Handler* Served::find(std::string_view path) const noexcept {
  const Handler* best = nullptr;
  for (const auto& handler : handlers_) {
    const std::string& own = handler->link.path;
    const bool below = handler->is_prefix && path.size() > own.size() &&
                       path.substr(0, own.size()) == own &&
                       (own.back() == '/' || path[own.size()] == '/');
    if (!handler->cancelled && (path == own || below) &&
        (best == nullptr || own.size() > best->link.path.size())) {
      best = handler.get();
    }
  }
  return best;
}

std::optional<Answer> Served::start(uint64_t id, std::string_view path, const coap_pdu_t* request,
                                    Bytes body, std::string_view address, const Proof& proof,
                                    std::chrono::nanoseconds timeout) {
  Handler* const handler = find(path);
  if (handler == nullptr) {
    return answer_of(coap_pdu_get_code(request), BP_UNAVAILABLE, MessageView(), "");
  }
  auto made = std::make_unique<Inbound>(*this, id, *handler);
  Inbound& inbound = *made;
  inbound.method = coap_pdu_get_code(request);
  const uint16_t format = format_option(request);
  MessageBuilder message(body.empty() && format == kNoFormat ? ValueView()
                                                             : value_of(body, format));
  message.header(BP_H_PATH, path)
      .header(BP_H_METHOD, method_name(inbound.method))
      .header(BP_H_PEER_ADDRESS, address)
      .header(BP_H_QOS, coap_pdu_get_type(request) == COAP_MESSAGE_CON ? 1u : 0u);
  if (!proof.user.empty()) {
    message.header(BP_H_PEER_USER, std::string_view(proof.user));
  }
  if (!proof.certificate.empty()) {
    message.header(BP_H_PEER_CERTIFICATE, ValueView(std::as_bytes(std::span(proof.certificate))));
  }
  add_option_headers(message, request, format);
  message.time_now();
  inbound.in = OwnedMessage(message.view());
  inbound.raw = inbound.in.view().raw();
  inbound.op->verb = verb_of(inbound.method);
  inbound.op->target = handler->ref;
  inbound.op->in = &inbound.raw;
  inbound.op->scratch = inbound.scratch;
  inbound.op->scratch_len = sizeof inbound.scratch;
  inbound.op->deadline_ns = monotonic_ns() + timeout.count();
  ++handler->requests;
  inbound_.emplace(id, std::move(made));
  const bp_status status = inbound.op.submit();
  if (status == BP_PENDING) {
    return std::nullopt;
  }
  return finish(inbound, status);
}

void Served::abandon(uint64_t id) {
  if (const auto found = inbound_.find(id); found != inbound_.end()) {
    found->second->op.cancel();
  }
}

void Served::done(bp_op* op) {
  Inbound& inbound = *static_cast<Inbound*>(op->user);
  // Never at once: the operation may have completed inside start(), whose caller does not yet know
  // the id as pending.
  const Status posted = post(inbound.served.host_, [&inbound] {
    Served& self = inbound.served;
    const uint64_t id = inbound.id;
    self.answered_(id, self.finish(inbound, inbound.op->status));
  });
  static_cast<void>(posted);  // without memory for a task the peer's request times out
}

Answer Served::finish(Inbound& inbound, bp_status status) {
  Answer answer;
  const MessageView out(inbound.op->out);
  try {
    const std::string text(inbound.op.status(status).message());
    answer = answer_of(inbound.method, status, out, text);
  } catch (const Error& error) {
    answer = answer_of(inbound.method, BP_INTERNAL, MessageView(), error.status().message());
  }
  static_cast<void>(inbound.op.take_owner());
  Handler& handler = inbound.handler;
  inbound_.erase(inbound.id);
  --handler.requests;
  leave(handler);
  return answer;
}

void Served::leave(Handler& handler) {
  if (!handler.cancelled || handler.requests > 0) {
    return;
  }
  const Op op = handler.op;
  {
    auto paths = paths_.lock();
    paths->erase(paths->find(std::string_view(handler.link.path).substr(1)));
  }
  handlers_.erase(std::find_if(handlers_.begin(), handlers_.end(),
                               [&](const auto& item) { return item.get() == &handler; }));
  host_.complete(op, Status(BP_CANCELLED));
}

}  // namespace backplane::coap
