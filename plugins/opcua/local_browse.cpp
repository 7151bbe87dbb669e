// SPDX-License-Identifier: Apache-2.0
#include "local_browse.hpp"

#include "reference.hpp"

namespace backplane::opcua {

Status LocalBrowses::begin(Op op, const Address& address, std::string_view text) {
  const Status posted =
      post(server_.host(), [self = shared_from_this(), op, address, text = std::string(text)] {
        Status status;
        try {
          self->looks_[op].found = self->server_.browse(address, text);
        } catch (...) {
          status = current_exception_status();
        }
        status.is_error() ? self->finish(op, status) : self->deliver(op);
      });
  return posted.is_error() ? posted : Status::pending();
}

void LocalBrowses::poke(Op op, bool cancelled) noexcept {
  boundary(
      [&] {
        post(server_.host(), [self = shared_from_this(), op, cancelled] {
          if (self->looks_.count(op) != 0) {
            cancelled ? self->finish(op, Status(BP_CANCELLED)) : self->deliver(op);
          }
        }).or_throw();
      },
      [](const Status&) noexcept {});
}

void LocalBrowses::deliver(Op op) {
  Look& look = looks_.at(op);
  while (look.next < look.found->referencesSize) {
    MessageBuilder entry;
    fill_entry(entry, look.found->references[look.next]);
    const Status status = server_.host().deliver(op, MessageView(entry));
    if (status.is_pending()) {
      return;  // more when there is credit
    }
    if (status.is_error()) {
      return finish(op, status);
    }
    ++look.next;
  }
  finish(op, Status::ok());
}

void LocalBrowses::finish(Op op, const Status& status) {
  looks_.erase(op);
  server_.host().complete(op, status);
}

}  // namespace backplane::opcua
