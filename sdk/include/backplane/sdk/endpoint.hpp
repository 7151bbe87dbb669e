// SPDX-License-Identifier: Apache-2.0
// Endpoint: an open address, with a typed function for each verb. Applications get one from
// Kernel::open, plugins from open_address().
#pragma once

#include "client_operation.hpp"
#include "serving.hpp"
#include "subscription.hpp"

namespace backplane {

struct WatchOptions {
  /// Messages that may come before Subscription::credit grants more; no limit unless said.
  uint32_t credit = UINT32_MAX;
  /// BP_OVERFLOW_*: what the source does when this consumer is too slow; nothing: what the source
  /// prefers.
  std::optional<uint32_t> overflow{};
  /// Such as BP_H_QOS, BP_H_OPTIONS; borrowed for the call.
  std::span<const bp_pair> headers{};
  /// Called once when the stream has ended, unless the Subscription was destroyed before. Not when
  /// watch() itself returns an error.
  std::function<void(const Status&)> on_end{};
};

/// Owns a reference; closes it when destroyed. Its operations are started in the order of the
/// calls. All functions [any]. The Host (for an application: the Kernel) outlives it.
class Endpoint {
 public:
  Endpoint() noexcept = default;
  /// Takes over a reference.
  Endpoint(const Host& host, bp_ref ref) noexcept : host_(&host), ref_(ref) {}
  Endpoint(Endpoint&& other) noexcept : host_(other.host_), ref_(std::exchange(other.ref_, 0)) {}
  Endpoint& operator=(Endpoint&& other) noexcept {
    close();
    host_ = other.host_;
    ref_ = std::exchange(other.ref_, 0);
    return *this;
  }
  ~Endpoint() { close(); }

  /// T: what the body is converted to; OwnedMessage (headers, time and all), a number, bool,
  /// std::string, a vector of these.
  template <class T = OwnedMessage>
  Operation<T> read(Pairs headers = {}) const {
    return start<T>(BP_V_READ, 0, {}, headers);
  }
  /// write(42.5), write("on", {{BP_H_QOS, 1}}): completes on the strongest acknowledgement that was
  /// asked for.
  Operation<void> write(ValueView value, Pairs headers = {}) const {
    return start<void>(BP_V_WRITE, 0, value, headers);
  }
  Operation<void> write(MessageView message) const {
    return {host(), request(BP_V_WRITE, 0), message.raw(), {}};
  }
  template <class T = OwnedMessage>
  Operation<T> call(ValueView argument = {}, Pairs headers = {}) const {
    return start<T>(BP_V_CALL, 0, argument, headers);
  }
  /// A call that opens a two-way stream: write sends, watch receives.
  Operation<Endpoint> connect(ValueView argument = {}, Pairs headers = {}) const;
  /// The entries below this address: the body tells of one, BP_H_PATH names it.
  Operation<std::vector<OwnedMessage>> browse(Pairs headers = {}) const {
    return start<std::vector<OwnedMessage>>(BP_V_BROWSE, 0, {}, headers);
  }

  /// Calls `callback(MessageView)` for each message, on the source's thread, serially. If it
  /// returns a Status, the watch acknowledges: OK accepts the message, an error asks for it again,
  /// PENDING leaves it to Subscription::ack. Else an exception ends the watch with its Status. Ends
  /// when this endpoint is closed, too.
  template <class Callback>
  Result<Subscription> watch(Callback callback, WatchOptions options = {}) const {
    constexpr bool kAcknowledges =
        std::is_same_v<std::invoke_result_t<Callback&, MessageView>, Status>;
    detail::LongOp::OnMessage on_message = [callback =
                                                std::move(callback)](MessageView message) mutable {
      if constexpr (kAcknowledges) {
        return callback(message);
      } else {
        callback(message);
        return Status::ok();
      }
    };
    MessageBuilder in;
    in.headers(options.headers);
    if (options.overflow) {
      in.header(BP_H_OVERFLOW, *options.overflow);
    }
    auto op = std::make_shared<detail::LongOp>(host(), OwnedMessage(MessageView(in)),
                                               std::move(on_message), std::move(options.on_end));
    if (Status status = op->start(BP_V_WATCH, kAcknowledges ? BP_OP_ACK : 0, ref_, options.credit);
        status.is_error()) {
      return status;
    }
    return Subscription(std::move(op));
  }

  /// Answers this address, which a server offers: `handler(ServedOp)` returns a Status, for reads,
  /// writes and calls. `options` are headers such as BP_H_MATCH. Returns when the server has taken
  /// it, or has not refused it yet. Ends when this endpoint is closed, too.
  template <class Handler>
  requires std::is_same_v<std::invoke_result_t<Handler&, ServedOp>, Status> Result<Registration>
  serve(Handler handler, Pairs options = {})
  const {
    return serve_object(
        std::make_unique<detail::HandlerEndpoint<Handler>>(host(), std::move(handler)), options);
  }
  /// The same with an object that has the verbs as its members, see make_endpoint(); with a Hub it
  /// can be watched.
  template <class T>
  Result<Registration> serve_object(std::unique_ptr<T> object, Pairs options = {}) const {
    const auto& services = host().services().endpoint;
    const bp_endpoint endpoint = make_endpoint(std::move(object));
    bp_ref ref = 0;
    if (const bp_status status = services.adopt(host_->raw(), &endpoint, &ref); status < 0) {
      endpoint.ops->close(endpoint.self);  // the kernel never does: it was not taken
      return Status(status, "the handler was not taken");
    }
    Endpoint handler(*host_, ref);
    MessageBuilder in(ValueView::reference(ref));
    in.headers(options);
    auto op =
        std::make_shared<detail::LongOp>(host(), OwnedMessage(MessageView(in)), nullptr, nullptr);
    if (Status status = op->start(BP_V_SERVE, 0, ref_, 0); status.is_error()) {
      return status;
    }
    return Registration(*host_, std::exchange(handler.ref_, 0), std::move(op));
  }

  bool is_open() const noexcept { return ref_ != 0; }
  /// What can be done here: BP_VERB_BIT, BP_CAN_*; all else is UNIMPLEMENTED.
  uint32_t verbs() const noexcept {
    return host_ != nullptr ? host_->services().endpoint.verbs(host_->raw(), ref_) : 0;
  }
  bp_ref ref() const noexcept { return ref_; }
  void close() noexcept {
    if (const bp_ref ref = std::exchange(ref_, 0)) {
      host_->services().endpoint.close(host_->raw(), ref);
    }
  }

 private:
  const Host& host() const {
    if (host_ == nullptr) {
      throw Error(BP_FAILED_PRECONDITION, "this endpoint was never opened");
    }
    return *host_;
  }
  detail::ClientRequest request(uint16_t verb, uint16_t flags) const noexcept {
    return {verb, flags, ref_, {}, {}};
  }
  template <class T>
  Operation<T> start(uint16_t verb, uint16_t flags, ValueView body, Pairs headers) const {
    return {host(), request(verb, flags),
            bp_message{body, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0}, headers};
  }

  const Host* host_ = nullptr;
  bp_ref ref_ = 0;
};

inline Operation<Endpoint> Endpoint::connect(ValueView argument, Pairs headers) const {
  return start<Endpoint>(BP_V_CALL, BP_OP_DUPLEX, argument, headers);
}

/// Opens `instance:path` or a URL. `address` and the headers `options` are borrowed by the
/// expression that runs it. [any]
inline Operation<Endpoint> open_address(const Host& host, std::string_view address,
                                        Pairs options = {}) {
  return {host,
          {0, 0, 0, address, {}},
          bp_message{{}, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0},
          options};
}

}  // namespace backplane
