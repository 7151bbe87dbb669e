// SPDX-License-Identifier: Apache-2.0
#include "local_path.hpp"

#include <backplane/sdk/run_on_loop.hpp>

namespace backplane::coap {

std::shared_ptr<Resource> LocalPath::resource() {
  auto resource = resource_.lock();
  if (!*resource) {
    server_.served().refuse_inside(target_);
    *resource = server_.resource(target_, create_);
    if (!*resource) {
      throw Error(BP_NOT_FOUND, "'", target_.text, "' is not declared here; add it to 'resources'");
    }
  }
  return *resource;
}

Status LocalPath::read(Op op) {
  return run_on_loop(server_.host(), op,
                     [op, resource = resource()]() mutable { return op.reply(resource->value()); });
}

Status LocalPath::write(Op op) {
  return run_on_loop(server_.host(), op, [this, op, resource = resource()] {
    return server_.write(*resource, op.in());
  });
}

Status LocalPath::watch(Op op) { return resource()->hub().watch(op); }

Status LocalPath::serve(Op op) {
  if (server_.resource(target_, false)) {
    return Status(BP_ALREADY_EXISTS, "'", target_.text,
                  "' is a resource, declared or written to, which answers by itself");
  }
  const uint64_t id = server_.new_operation();
  op->impl[2] = id;
  return run_on_loop(server_.host(), op,
                     [this, op, id] { return server_.served().serve(op, id, target_); });
}

Status LocalPath::browse(Op op) {
  std::optional<Hub> hub;
  Status status = browses_.begin(server_.host(), op, hub);
  if (status.is_pending()) {
    const std::string path = target_.path == ".well-known/core" ? "/" : "/" + target_.path;
    const auto list = [&server = server_, hub = *hub, path]() mutable {
      publish_links(hub, server.links(), path);
    };
    if (const Status posted = post(server_.host(), list); posted.is_error()) {
      hub->stop(posted);
    }
  }
  return status;
}

void LocalPath::cancel(Op op) noexcept {
  switch (op.verb()) {
    case BP_V_WATCH:
      if (const auto resource = known()) {
        resource->hub().cancel(op);
      }
      break;
    case BP_V_SERVE:
      static_cast<void>(post(
          server_.host(), [&server = server_, id = op->impl[2]] { server.served().cancel(id); }));
      break;
    case BP_V_BROWSE:
      browses_.cancel(op);
      break;
    default:  // on their way to the loop, where they end at once
      break;
  }
}

void LocalPath::credit(Op op, uint32_t n) noexcept {
  if (op.verb() == BP_V_BROWSE) {
    browses_.credit(op, n);
  } else if (const auto resource = known()) {
    resource->hub().credit(op, n);
  }
}

void LocalPath::ack(Op op, uint64_t seq, bp_status status) noexcept {
  if (const auto resource = known()) {
    resource->hub().ack(op, seq, status);
  }
}

}  // namespace backplane::coap
