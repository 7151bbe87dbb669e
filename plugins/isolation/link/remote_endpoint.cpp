// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/link/remote_endpoint.hpp"

#include <backplane/sdk/boundary.hpp>

namespace backplane::isolation {

RemoteEndpoint::RemoteEndpoint(std::shared_ptr<Peer> peer, uint64_t number)
    : opened_(false), target_{std::move(peer), number} {}

RemoteEndpoint::RemoteEndpoint(std::shared_ptr<Peer> peer, uint64_t number, std::string address,
                               OwnedMessage options, PeerSource source)
    : opened_(true),
      address_(std::move(address)),
      options_(std::move(options)),
      source_(std::move(source)),
      target_{std::move(peer), number} {}

bp_endpoint RemoteEndpoint::as_endpoint(std::shared_ptr<RemoteEndpoint> self,
                                        uint32_t verbs) noexcept {
  RemoteEndpoint* const endpoint = self.get();
  endpoint->self_ = std::move(self);
  return {&kOps, endpoint, verbs, 0};
}

void RemoteEndpoint::keep(std::vector<bp_ref> refs) {
  const std::lock_guard lock(mutex_);
  kept_.insert(kept_.end(), refs.begin(), refs.end());
}

std::shared_ptr<Peer> RemoteEndpoint::peer() {
  const std::lock_guard lock(mutex_);
  return target_.peer;
}

RemoteEndpoint::Target RemoteEndpoint::target() {
  const std::lock_guard lock(mutex_);
  if (!source_) {
    return target_;
  }
  Status why;
  std::shared_ptr<Peer> now = source_(why);
  if (now == nullptr) {
    throw Error(why);
  }
  if (now != target_.peer || target_.number == 0) {
    const MessageView options = options_;
    const uint64_t number =
        now->open_again(address_, &options.raw(), [self = weak_from_this()](uint64_t failed) {
          if (const auto endpoint = self.lock()) {
            endpoint->open_failed(failed);
          }
        });
    target_ = {std::move(now), number};
  }
  return target_;
}

void RemoteEndpoint::open_failed(uint64_t number) noexcept {
  const std::lock_guard lock(mutex_);
  if (target_.number == number) {
    target_.number = 0;
  }
}

bp_status RemoteEndpoint::submit(bp_op* op) noexcept {
  return boundary(op->error, [op]() -> bp_status {
    RemoteEndpoint& self = of(op);
    const Target target = self.target();
    return target.peer->submit(op, target.number, self.opened_);
  });
}

// An operation that an earlier peer had is over: its number means nothing to the present one.
void RemoteEndpoint::cancel(bp_op* op) noexcept {
  boundary(nullptr, [op] { of(op).peer()->cancel(op->impl[0]); });
}

void RemoteEndpoint::credit(bp_op* op, uint32_t n) noexcept {
  boundary(nullptr, [op, n] { of(op).peer()->credit(op->impl[0], n); });
}

void RemoteEndpoint::acknowledge(bp_op* op, uint64_t seq, bp_status status) noexcept {
  boundary(nullptr, [=] { of(op).peer()->acknowledge(op->impl[0], seq, status); });
}

void RemoteEndpoint::close(void* self) noexcept {
  const std::shared_ptr<RemoteEndpoint> endpoint =
      std::move(static_cast<RemoteEndpoint*>(self)->self_);
  const Target& target = endpoint->target_;
  boundary(nullptr, [&] {
    if (target.number != 0) {
      target.peer->release(target.number, endpoint->opened_);
    }
  });
  for (const bp_ref ref : endpoint->kept_) {
    target.peer->service().close(target.peer->host_.raw(), ref);
  }
}

}  // namespace backplane::isolation
