// SPDX-License-Identifier: Apache-2.0
// Operation<T>: an operation of a caller that is not started yet, and the three ways to run it.
#pragma once

#include "detail/client_op.hpp"

namespace backplane {

/// What Endpoint::read and its like return: use it in the same expression, since text and headers
/// given to it are borrowed until then. Not starting it is a mistake that the compiler reports. T
/// void: a Status where others have a Result<T>.
///
/// Blocks, and throws Error:
///     double now = endpoint.read<double>().value();
/// Blocks, at most 2 s:
///     Result<double> now = endpoint.read<double>().within(2s).get();
/// On the completing thread, perhaps before it returns:
///     endpoint.read<double>().then([](Result<double> now) { ... });
/// In a coroutine; the first throws Error:
///     double now = co_await endpoint.read<double>();
///     Result<double> now = co_await endpoint.read<double>().as_result();
///
/// What blocks is FAILED_PRECONDITION on a loop thread, and not started. Never block inside `done`
/// or `next` either: the completion may have to come from there.
template <class T>
class [[nodiscard]] Operation {
 public:
  using Outcome = detail::Outcome<T>;

  Operation(const Host& host, detail::ClientRequest request, const bp_message& in, Pairs headers)
      : host_(host), request_(request), builder_(in.body) {
    builder_.headers({in.headers, in.n_headers}).headers(headers);
    builder_.flags(in.flags);
    if (in.time_ns != BP_TIME_NONE) {
      builder_.time(Time(std::chrono::nanoseconds(in.time_ns)));
    }
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  /// Ends with DEADLINE_EXCEEDED when it takes longer; at once when nothing is left of the time.
  /// Without it, or with nothing, it takes as long as the plugin allows.
  Operation&& within(std::optional<std::chrono::nanoseconds> timeout) && {
    request_.timeout = timeout;
    return std::move(*this);
  }

  /// Blocks until completion.
  Outcome get() && {
    if (Status status = may_block(host_); status.is_error()) {
      return status;
    }
    detail::BlockingOp op(host_);
    op.run(request_, builder_.view());
    return op.template take<T>();
  }
  /// Blocks; throws Error on failure.
  T value() && requires(!std::is_void_v<T>) { return std::move(*this).get().value(); }
  void or_throw() && { std::move(*this).get().or_throw(); }

  /// Calls `callback(Outcome)` once. Copies the request. Exceptions of the callback are logged.
  template <class Callback>
  void then(Callback callback) && {
    auto* op = new detail::DetachedOp<T, Callback>(
        host_, OwnedMessage(MessageView(builder_.view())), std::move(callback));
    op->run(request_);
  }

  detail::AwaitedOp<T> operator co_await() && { return {host_, request_, builder_.view()}; }
  /// For co_await: an outcome instead of an exception.
  detail::AwaitedOutcome<T> as_result() && { return {{host_, request_, builder_.view()}}; }

 private:
  const Host& host_;
  detail::ClientRequest request_;
  MessageBuilder builder_;
};

}  // namespace backplane
