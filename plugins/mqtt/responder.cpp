// SPDX-License-Identifier: Apache-2.0
#include "responder.hpp"

#include <backplane/sdk/unique_op.hpp>

namespace backplane::mqtt {

class Responders::Responder final : public Listener,
                                    public std::enable_shared_from_this<Responder> {
 public:
  Responder(Responders& owner, Op op, bp_ref handler) : owner_(owner), op_(op), handler_(handler) {}

  void on_message(const Inbound& message, Hub::Settled) override {
    {
      auto state = state_.lock();
      if (state->final || state->active >= owner_.settings_.max_requests) {
        owner_.dropped_.add();
        return;
      }
      ++state->active;
    }
    Request::start(Active(shared_from_this()), message);
  }
  void on_refused(const Status& status) override { end(status); }

  /// Completes the SERVE as soon as no request is left.
  void end(const Status& status) {
    {
      auto state = state_.lock();
      if (state->final) {
        return;
      }
      state->final = status;
      ++state->active;  // ours, so that it is this call or the last request that completes
    }
    {
      auto responders = owner_.responders_->lock();
      const auto at = responders->find(op_);
      if (at != responders->end() && at->second.get() == this) {
        responders->erase(at);
      }
    }
    owner_.client_.forget(this);
    leave();
  }

 private:
  /// One of `active`.
  class Active {
   public:
    explicit Active(std::shared_ptr<Responder> responder) : responder_(std::move(responder)) {}
    Active(Active&&) noexcept = default;
    Active& operator=(Active&&) = delete;
    ~Active() {
      if (responder_) {
        responder_->leave();
      }
    }
    Responders& owner() const noexcept { return responder_->owner_; }
    bp_ref handler() const noexcept { return responder_->handler_; }

   private:
    std::shared_ptr<Responder> responder_;
  };

  /// One inbound operation on the handler.
  struct Request {
    explicit Request(Active its_active)
        : active(std::move(its_active)), op(active.owner().host_, this, &Request::done) {}
    const Active active;  // the first member: ends when the operation is given back
    OwnedMessage in;
    bp_message borrowed{};
    UniqueOp op;
    std::string response_topic;
    std::string correlation;
    uint8_t qos = 0;

    static void start(Active active, const Inbound& message) {
      auto made = std::make_unique<Request>(std::move(active));
      const MessageView view = message.message;
      made->in = message.message;
      made->borrowed = view.raw();
      made->response_topic = view.header<std::string>(BP_H_REPLY_TO).value_or("");
      if (const auto correlation = view.header(BP_H_CORRELATION)) {
        const auto bytes = correlation->payload().value_or(std::span<const std::byte>());
        made->correlation.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      }
      made->qos = message.qos;
      made->op->verb = made->response_topic.empty() ? BP_V_WRITE : BP_V_CALL;
      made->op->target = made->active.handler();
      made->op->in = &made->borrowed;
      // A handler that never answers shall not keep one of max_requests for ever.
      made->op->deadline_ns = monotonic_ns() + made->active.owner().settings_.call_timeout.count();
      Request* const request = made.release();
      if (const bp_status status = request->op.submit(); status != BP_PENDING) {
        request->answered(status);
      }
    }
    static void done(bp_op* op) { static_cast<Request*>(op->user)->answered(op->status); }
    void answered(bp_status status) noexcept {
      const std::unique_ptr<Request> self(this);
      boundary([&] { finish(op.status(status), op->out); },
               [this](const Status&) noexcept { active.owner().failed_.add(); });
    }
    void finish(const Status& status, const bp_message& out) {
      const OwnedMessage answer = OwnedMessage::take(out);
      if (status.is_error()) {
        active.owner().failed_.add();
      }
      if (response_topic.empty()) {
        return;
      }
      auto publication = std::make_shared<OwnPublication>();
      publication->topic = response_topic;
      publication->correlation = correlation;
      publication->qos = qos;
      if (status.is_error()) {
        MessageBuilder failure(answer.body());
        failure.header("status", status_name(status.code())).header("error", status.message());
        publication->message = OwnedMessage(MessageView(failure));
      } else {
        publication->message = answer;
      }
      active.owner().client_.publish(std::move(publication));
    }
  };

  void leave() {
    Status final;
    {
      auto state = state_.lock();
      if (--state->active > 0 || !state->final) {
        return;
      }
      final = *state->final;
    }
    owner_.host_.complete(op_, final);
  }

  struct State {
    size_t active = 0;
    std::optional<Status> final;
  };

  Responders& owner_;
  const Op op_;
  const bp_ref handler_;
  Guarded<State> state_;
};

Responders::Responders(const Host& host, const Settings& settings, Client& client)
    : host_(host),
      settings_(settings),
      client_(client),
      dropped_(host.counter("requests_dropped_total")),
      failed_(host.counter("requests_failed_total")),
      responders_(
          std::make_shared<Guarded<std::unordered_map<bp_op*, std::shared_ptr<Responder>>>>()) {}

Status Responders::serve(Op op, const std::string& filter) {
  const ValueView body = op.in().body();
  if (body.tag != BP_T_REF) {
    return Status(BP_INVALID_ARGUMENT, "serve '", filter,
                  "': the body is the reference of the handler, got ", body.type_name());
  }
  const auto responder = std::make_shared<Responder>(*this, op, body.as.u);
  responders_->lock()->insert_or_assign(op, responder);
  if (Status status = client_.listen(filter, qos_of(op.in(), settings_.qos), responder);
      status.is_error()) {
    responders_->lock()->erase(op);
    return status;
  }
  return Status::pending();
}

void Responders::cancel(Op op) noexcept {
  std::shared_ptr<Responder> responder;
  {
    auto responders = responders_->lock();
    const auto at = responders->find(op);
    if (at == responders->end()) {
      return;
    }
    responder = at->second;
  }
  responder->end(Status(BP_CANCELLED));
}

}  // namespace backplane::mqtt
