// SPDX-License-Identifier: Apache-2.0
#include "paged.hpp"

#include "client.hpp"
#include "error_map.hpp"

namespace backplane::opcua {

void PagedStream::run(Session& session) {
  if (!is_over_) {
    ask(session, UA_BYTESTRING_NULL, What::kPage);
  }
}

void PagedStream::end(const Status& status) {
  if (has_page_) {
    go_on(What::kRelease);
  }
  finish(status);
}

void PagedStream::deliver() {
  while (!is_over_ && has_page_ && next_ < size()) {
    Status status;
    try {
      MessageBuilder message;
      if (!fill(next_, message)) {
        return;
      }
      status = client_.host().deliver(op_, MessageView(message));
    } catch (...) {
      status = current_exception_status();
    }
    if (status.is_pending()) {
      return;  // more when there is credit
    }
    if (status.is_error()) {
      return end(status);
    }
    ++next_;
  }
  if (is_over_ || !has_page_) {
    return;
  }
  if (point_->length == 0 || !wants_more()) {
    return end(Status::ok());
  }
  go_on(What::kPage);
}

void PagedStream::take(UA_StatusCode status, const UA_ByteString& point) {
  if (is_bad(status)) {
    return finish(bad_status(status, context()));
  }
  generation_ = client_.generation();
  point_ = Point::copy_of(point);
  has_page_ = true;
  next_ = 0;
  if (is_over_) {
    return go_on(What::kRelease);
  }
  deliver();
}

/// The server keeps the rest until it is asked for, or told that nobody wants it.
void PagedStream::go_on(What what) {
  has_page_ = false;
  const Point point = std::move(point_);
  // A point is of one session.
  Session* const session = client_.generation() == generation_ ? client_.session() : nullptr;
  if (session != nullptr && point->length != 0) {
    boundary([&] { ask(*session, *point, what); }, [&](const Status& status) { finish(status); });
  } else if (session == nullptr && what == What::kPage) {
    finish(Status(BP_UNAVAILABLE, context(), ": the session was lost"));
  }
}

void PagedStream::finish(const Status& status) {
  if (!std::exchange(is_over_, true)) {
    const auto self = shared_from_this();
    client_.paged().streams_.lock()->all.erase(op_);
    client_.host().complete(op_, status);
  }
}

Status PagedStreams::begin(std::shared_ptr<PagedStream> stream) {
  {
    auto streams = streams_.lock();
    if (streams->stopped) {
      return *streams->stopped;
    }
    streams->all.insert_or_assign(stream->op_, stream);
  }
  client_.submit(std::move(stream));
  return Status::pending();
}

void PagedStreams::stop(const Status& status) {
  std::map<bp_op*, std::shared_ptr<PagedStream>> all;
  {
    auto streams = streams_.lock();
    streams->stopped = status;
    all = streams->all;
  }
  for (const auto& [op, stream] : all) {
    stream->end(status);
  }
}

void PagedStreams::poke(Op op, bool cancelled) noexcept {
  boundary(
      [&] {
        std::shared_ptr<PagedStream> stream;
        {
          auto streams = streams_.lock();
          const auto at = streams->all.find(op);
          if (at == streams->all.end()) {
            return;
          }
          stream = at->second;
        }
        post(client_.host(), [stream, cancelled] {
          cancelled ? stream->end(Status(BP_CANCELLED)) : stream->deliver();
        }).or_throw();
      },
      [](const Status&) noexcept {});
}

}  // namespace backplane::opcua
