// SPDX-License-Identifier: Apache-2.0
#include "local_stream.hpp"

namespace backplane::opcua {

Status LocalStreams::begin(Op op, std::function<Messages()> make) {
  const Status posted = post(host_, [self = shared_from_this(), op, make = std::move(make)] {
    Status status;
    try {
      self->streams_[op].messages = make();
    } catch (...) {
      status = current_exception_status();
    }
    status.is_error() ? self->finish(op, status) : self->deliver(op);
  });
  return posted.is_error() ? posted : Status::pending();
}

void LocalStreams::poke(Op op, bool cancelled) noexcept {
  boundary(
      [&] {
        post(host_, [self = shared_from_this(), op, cancelled] {
          if (self->streams_.count(op) != 0) {
            cancelled ? self->finish(op, Status(BP_CANCELLED)) : self->deliver(op);
          }
        }).or_throw();
      },
      [](const Status&) noexcept {});
}

void LocalStreams::deliver(Op op) {
  Stream& stream = streams_.at(op);
  for (; stream.next < stream.messages.count; ++stream.next) {
    Status status;
    try {
      MessageBuilder message;
      stream.messages.fill(stream.next, message);
      status = host_.deliver(op, MessageView(message));
    } catch (...) {
      status = current_exception_status();
    }
    if (status.is_pending()) {
      return;  // more when there is credit
    }
    if (status.is_error()) {
      return finish(op, status);
    }
  }
  finish(op, Status::ok());
}

void LocalStreams::finish(Op op, const Status& status) {
  streams_.erase(op);
  host_.complete(op, status);
}

}  // namespace backplane::opcua
