// SPDX-License-Identifier: Apache-2.0
// ServedOp: an inbound operation as a handler function of an application sees it, answered at once
// or later.
#pragma once

#include "endpoint_object.hpp"
#include "pending.hpp"

#include <memory>

namespace backplane {

namespace detail {

/// The requests of one handler that are answered later. By number, because an answer may come after
/// the caller gave up.
struct DeferredRequests {
  explicit DeferredRequests(const Host& instance) : host(instance), pending(instance) {}
  const Host& host;
  Pending<uint64_t> pending;
  std::atomic<uint64_t> last{0};
};

}  // namespace detail

/// An answer that is owed. Answer once, on any thread; the caller may have given up by then, which
/// is no error. Destroyed without an answer, it answers INTERNAL.
class [[nodiscard]] Deferred {
 public:
  Deferred(std::shared_ptr<detail::DeferredRequests> requests, uint64_t number) noexcept
      : requests_(std::move(requests)), number_(number) {}
  Deferred(Deferred&&) noexcept = default;
  Deferred& operator=(Deferred&&) = delete;
  ~Deferred() { finish(Status(BP_INTERNAL, "the handler dropped the request without an answer")); }

  void finish(const Status& status) noexcept {
    if (const auto requests = std::exchange(requests_, nullptr)) {
      if (const auto request = requests->pending.take(number_)) {
        requests->host.complete(request->op, status);
      }
    }
  }
  template <class Answer>
  void reply(Answer&& answer) noexcept {
    if (const auto requests = std::exchange(requests_, nullptr)) {
      if (const auto request = requests->pending.take(number_)) {
        requests->host.complete_with(request->op, std::forward<Answer>(answer));
      }
    }
  }

 private:
  std::shared_ptr<detail::DeferredRequests> requests_;
  uint64_t number_;
};

/// `return request.reply(21.5);`, `return Status(BP_NOT_FOUND, ...);`, or keep `request.defer()`
/// and return Status::pending().
class ServedOp : public Op {
 public:
  ServedOp(Op op, const std::shared_ptr<detail::DeferredRequests>& requests) noexcept
      : Op(op), requests_(requests) {}
  /// The concrete path, where a prefix is served.
  std::string_view path() const noexcept { return text(BP_H_PATH); }
  /// The peer's proven identity; empty: none.
  std::string_view peer_user() const noexcept { return text(BP_H_PEER_USER); }
  Deferred defer() const {
    const uint64_t number = ++requests_->last;
    if (const Status status = requests_->pending.add(number, *this); !status.is_pending()) {
      throw Error(status);
    }
    return Deferred(requests_, number);
  }

 private:
  std::string_view text(uint32_t id) const noexcept {
    return in().header<std::string_view>(id).value_or(std::string_view());
  }
  const std::shared_ptr<detail::DeferredRequests>& requests_;
};

namespace detail {

/// The endpoint behind a handler function.
template <class Handler>
class HandlerEndpoint final {
 public:
  HandlerEndpoint(const Host& host, Handler handler)
      : requests_(std::make_shared<DeferredRequests>(host)), handler_(std::move(handler)) {}
  Status read(Op op) { return handle(op); }
  Status write(Op op) { return handle(op); }
  Status call(Op op) { return handle(op); }
  void cancel(Op op) noexcept { requests_->pending.cancel(op); }

 private:
  Status handle(Op op) {
    const uint64_t before = requests_->last;
    Status status = handler_(ServedOp(op, requests_));
    if (status.is_pending() && requests_->last == before) {
      return Status(BP_INTERNAL, "the handler returned pending without a defer(): nobody answers");
    }
    return status;
  }
  std::shared_ptr<DeferredRequests> requests_;
  Handler handler_;
};

}  // namespace detail
}  // namespace backplane
