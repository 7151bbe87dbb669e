// SPDX-License-Identifier: Apache-2.0
#include "local_stream.hpp"

namespace backplane::opcua {

Status LocalStreams::begin(Op op, std::function<Messages()> make) {
  const Status posted = post(host_, [this, op, make = std::move(make)] {
    Status status;
    try {
      stopped_.value_or(Status::ok()).or_throw();
      streams_[op].messages = make();
    } catch (...) {
      status = current_exception_status();
    }
    status.is_error() ? finish(op, status) : deliver(op);
  });
  return posted.is_error() ? posted : Status::pending();
}

void LocalStreams::stop(const Status& status) {
  stopped_ = status;
  while (!streams_.empty()) {
    finish(streams_.begin()->first, status);
  }
}

void LocalStreams::poke(Op op, bool cancelled) noexcept {
  boundary(
      [&] {
        post(host_, [this, op, cancelled] {
          if (streams_.contains(op)) {
            cancelled ? finish(op, Status(BP_CANCELLED)) : deliver(op);
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
