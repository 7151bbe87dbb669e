// SPDX-License-Identifier: Apache-2.0
#include "remote_path.hpp"

#include "error_map.hpp"
#include <backplane/sdk/run_on_loop.hpp>

namespace backplane::coap {
namespace {

/// A request that is an operation.
class Request final : public Exchange {
 public:
  Request(Client& client, std::shared_ptr<const Target> target, coap_pdu_code_t method, Op op)
      : Exchange(client, std::move(target), method), op_(op) {
    operation = op->impl[2];
    headers_ = op.in();
    type_ = type_of(op.in());
    if (op.verb() != BP_V_READ) {
      encode(op.in().body(), op.in().header<std::string_view>(BP_H_CONTENT_TYPE), payload_);
    }
    if (payload_.bytes.size() > client.options().max_body) {
      throw Error(BP_RESOURCE_EXHAUSTED, "a body of ", payload_.bytes.size(),
                  " bytes; 'max_body' is ", client.options().max_body);
    }
  }

 private:
  void finished(const Status& status, const coap_pdu_t* pdu, Bytes body) override {
    const Host& host = client_.host();
    if (status.is_error()) {
      host.complete(op_, status);
      return;
    }
    Status outcome = error_of_answer(coap_pdu_get_code(pdu), as_text(body));
    try {
      MessageBuilder message;
      fill_message(message, pdu, body);
      static_cast<void>(op_.reply(message));
    } catch (...) {
      outcome = current_exception_status();
    }
    host.complete(op_, outcome);
  }

  Op op_;
};

/// GET /.well-known/core for a browse.
class Listing final : public Exchange {
 public:
  Listing(Client& client, std::shared_ptr<const Target> target, Hub hub, std::string path)
      : Exchange(client, std::move(target), COAP_REQUEST_CODE_GET),
        hub_(std::move(hub)),
        path_(std::move(path)) {}

 private:
  void finished(const Status& status, const coap_pdu_t* pdu, Bytes body) override {
    const Status outcome =
        status.is_error() ? status : error_of_answer(coap_pdu_get_code(pdu), as_text(body));
    if (outcome.is_error()) {
      hub_.stop(outcome);
      return;
    }
    const auto links = read_links(as_text(body), kMostLinks);
    if (links) {
      publish_links(hub_, *links, path_);
    } else {
      hub_.stop(Status(BP_DATA_LOSS, "the peer's /.well-known/core is no link format (RFC 6690)"));
    }
  }

  Hub hub_;
  const std::string path_;
};

}  // namespace

Status RemotePath::request(Op op, coap_pdu_code_t method) {
  op->impl[2] = client_.new_operation();
  auto exchange = std::make_shared<Request>(client_, target_, method, op);
  return run_on_loop(client_.host(), op, [this, exchange] { return client_.begin(exchange); });
}

Status RemotePath::read(Op op) { return request(op, COAP_REQUEST_CODE_GET); }

Status RemotePath::write(Op op) { return request(op, COAP_REQUEST_CODE_PUT); }

Status RemotePath::call(Op op) {
  const auto name = op.in().header<std::string_view>(BP_H_METHOD).value_or("POST");
  const coap_pdu_code_t method = method_of(name);
  if (method == COAP_EMPTY_CODE) {
    return Status(BP_INVALID_ARGUMENT, "method '", name,
                  "'; expected POST, FETCH, PATCH, iPATCH, DELETE, PUT or GET");
  }
  return request(op, method);
}

Status RemotePath::watch(Op op) {
  auto observation = client_.observation(target_);
  {
    const auto present = observation_.lock();
    *present = observation;
  }
  Status status = observation->hub().watch(op);
  observation->unpin();
  if (status.is_pending()) {
    // Not at once, even on the loop: the watch is known to its caller only after this has returned.
    const Status posted = post(client_.host(), [observation] { observation->begin(); });
    static_cast<void>(posted);
  }
  return status;
}

Status RemotePath::browse(Op op) {
  std::optional<Hub> hub;
  Status status = browses_.begin(client_.host(), op, hub);
  if (!status.is_pending()) {
    return status;
  }
  Target links = parse_target("/.well-known/core");
  links.queries = target_->queries;
  const std::string path = target_->path == links.path ? "/" : "/" + target_->path;
  auto listing = std::make_shared<Listing>(
      client_, std::make_shared<const Target>(std::move(links)), *hub, path);
  const auto begin = [this, listing, hub = *hub]() mutable {
    const Status begun = client_.begin(listing);
    if (begun.is_error()) {
      hub.stop(begun);
    }
  };
  if (const Status posted = post(client_.host(), begin); posted.is_error()) {
    hub->stop(posted);
  }
  return status;
}

void RemotePath::cancel(Op op) noexcept {
  switch (op.verb()) {
    case BP_V_WATCH:
      if (const auto observation = observation_.copy()) {
        observation->hub().cancel(op);
        static_cast<void>(post(client_.host(), [observation] { observation->end_if_unwatched(); }));
      }
      break;
    case BP_V_BROWSE:
      browses_.cancel(op);
      break;
    default:
      static_cast<void>(
          post(client_.host(), [&client = client_, id = op->impl[2]] { client.cancel(id); }));
      break;
  }
}

void RemotePath::credit(Op op, uint32_t n) noexcept {
  if (op.verb() == BP_V_BROWSE) {
    browses_.credit(op, n);
  } else if (const auto observation = observation_.copy()) {
    observation->hub().credit(op, n);
  }
}

void RemotePath::ack(Op op, uint64_t seq, bp_status status) noexcept {
  if (const auto observation = observation_.copy()) {
    observation->hub().ack(op, seq, status);
  }
}

}  // namespace backplane::coap
