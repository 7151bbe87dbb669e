// SPDX-License-Identifier: Apache-2.0
// Request: an inbound operation as a handler function of an application sees it, answered at once
// or later.
#pragma once

#include "endpoint_object.hpp"
#include "pending.hpp"

#include <memory>

namespace backplane {

/// An answer that is owed. Answer once, on any thread; the caller may have given up by then, which
/// is no error. Destroyed without an answer, it answers INTERNAL.
class [[nodiscard]] Deferred {
 public:
  Deferred(const Host& host, std::shared_ptr<PendingList> pending, Op op) noexcept
      : host_(&host), pending_(std::move(pending)), op_(op) {}
  Deferred(Deferred&&) noexcept = default;
  Deferred& operator=(Deferred&&) = delete;
  ~Deferred() { finish(Status(BP_INTERNAL, "the handler dropped the request without an answer")); }

  void finish(const Status& status) noexcept {
    if (const auto pending = std::exchange(pending_, nullptr)) {
      pending->complete(op_, status);
    }
  }
  template <class Answer>
  void reply(Answer&& answer) noexcept {
    if (const auto pending = std::exchange(pending_, nullptr); pending && pending->take(op_)) {
      host_->complete_with(op_, std::forward<Answer>(answer));
    }
  }

 private:
  const Host* host_;
  std::shared_ptr<PendingList> pending_;
  Op op_;
};

/// `return request.reply(21.5);`, `return Status(BP_NOT_FOUND, ...);`, or keep `request.defer()`
/// and return Status::pending().
class Request : public Op {
 public:
  Request(Op op, const Host& host, const std::shared_ptr<PendingList>& pending) noexcept
      : Op(op), host_(host), pending_(pending) {}
  /// The concrete path, where a prefix is served.
  std::string_view path() const noexcept {
    const auto path = in().header(BP_H_PATH);
    return path ? path->get<std::string_view>().value_or("") : std::string_view();
  }
  /// The peer's proven identity; empty: none.
  std::string_view peer_user() const noexcept {
    const auto user = in().header(BP_H_PEER_USER);
    return user ? user->get<std::string_view>().value_or("") : std::string_view();
  }
  Deferred defer() const {
    const Status status = pending_->add(*this);
    if (!status.is_pending()) {
      throw Error(status);
    }
    return Deferred(host_, pending_, *this);
  }

 private:
  const Host& host_;
  const std::shared_ptr<PendingList>& pending_;
};

namespace detail {

/// The endpoint behind a handler function.
template <class Handler>
class HandlerEndpoint final {
 public:
  HandlerEndpoint(const Host& host, Handler handler)
      : host_(host), pending_(std::make_shared<PendingList>(host)), handler_(std::move(handler)) {}
  Status read(Op op) { return handle(op); }
  Status write(Op op) { return handle(op); }
  Status call(Op op) { return handle(op); }
  void cancel(Op op) noexcept { pending_->cancel(op); }

 private:
  Status handle(Op op) { return handler_(Request(op, host_, pending_)); }
  const Host& host_;
  std::shared_ptr<PendingList> pending_;
  Handler handler_;
};

}  // namespace detail
}  // namespace backplane
