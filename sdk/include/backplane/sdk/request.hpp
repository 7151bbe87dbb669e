// SPDX-License-Identifier: Apache-2.0
// Responder, Request, Requester, Response: questions and answers between processes, through shared
// memory (backplane/request.h says what holds).
#pragma once

#include "channel.hpp"
#include <backplane/request.h>

namespace backplane {

namespace detail {
template <class Object>
constexpr void check_message() {
  static_assert(std::is_trivially_copyable_v<Object>);
  static_assert(alignof(Object) <= 16);
}
struct RequestOwner {
  template <class Object>
  static constexpr void check() {
    check_message<Object>();
  }
  void take_back(const bp_request& raw) const noexcept { bp_responder_release(object, &raw); }
  bp_responder* object = nullptr;
};
struct ResponseOwner {
  template <class Object>
  static constexpr void check() {
    check_message<Object>();
  }
  void take_back(const bp_response& raw) const noexcept { bp_requester_release(object, &raw); }
  bp_requester* object = nullptr;
};
}  // namespace detail

/// What was asked; given back unanswered, which its requester is told, if it is destroyed before it
/// is answered. It does not outlive its responder.
class Request : public detail::Borrowed<bp_request, detail::RequestOwner> {
 public:
  /// A random number of whose it is.
  uint64_t requester() const noexcept { return raw_.requester; }
  uint64_t number() const noexcept { return raw_.number; }
  /// Since the request before: samples that are none, or ask a responder that was here before.
  uint64_t passed_over() const noexcept { return raw_.passed_over; }

  /// Memory for the answer. Errors: as of bp_responder_loan.
  Result<std::span<std::byte>> loan(uint64_t size) {
    return detail::loaned(size, [&](void** data, bp_error* error) {
      return bp_responder_loan(owner_.object, &raw_, size, data, error);
    });
  }
  /// Answers with the first `size` bytes of what was loaned. The request is not to be used any
  /// more. Errors: as of bp_responder_respond.
  Status respond_loaned(uint64_t size) {
    bp_error error;  // not zeroed, which would take as long as the rest
    bp_responder* const responder = std::exchange(owner_.object, nullptr);
    return Status::from(bp_responder_respond(responder, &raw_, size, &error), error);
  }
  /// Answers with a copy. Errors: as of loan and respond_loaned.
  Status respond(std::span<const std::byte> bytes) {
    const Status copied = detail::copy_into_loan(*this, bytes);
    return copied.is_error() ? copied : respond_loaned(bytes.size());
  }
  Status respond(std::string_view text) { return respond(std::as_bytes(std::span(text))); }
  template <detail::BytesOfItsOwn Object>
  Status respond(const Object& object) {
    detail::check_message<Object>();
    return respond(std::as_bytes(std::span(&object, 1)));
  }

 private:
  friend class Responder;
  using Borrowed::Borrowed;
};

/// Answers at a key. For one thread at a time:
///
///     Responder adder = Responder::open(key, {.request_size = sizeof(Pair),
///                                             .response_size = sizeof(double)}).value();
///     for (;;) {
///       Request request = adder.receive().value();
///       const auto& [a, b] = request.as<Pair>();
///       static_cast<void>(request.respond(a + b));  // UNAVAILABLE: who asked is gone
///     }
class Responder {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    uint64_t request_size = 0;
    uint64_t response_size = 0;
    uint32_t requesters = 0;
    uint32_t outstanding = 0;  // of each requester
    uint32_t permissions = 0600;
    std::chrono::nanoseconds spin{0};  // max(): always
    bool trust_owner = false;
  };

  /// Errors: as of bp_responder_open and NativeKey::raw.
  static Result<Responder> open(const NativeKey& key, const Options& options) {
    bp_key raw_key{};
    if (Status status = key.raw(raw_key); status.is_error()) {
      return status;
    }
    bp_responder_options raw_options{};
    raw_options.struct_size = sizeof raw_options;
    raw_options.requesters = options.requesters;
    raw_options.request_size = options.request_size;
    raw_options.response_size = options.response_size;
    raw_options.outstanding = options.outstanding;
    raw_options.permissions = options.permissions;
    raw_options.spin_ns = detail::spin_of(options.spin);
    raw_options.flags = options.trust_owner ? BP_CHANNEL_TRUST_OWNER : 0;
    bp_error error{};
    bp_responder* raw = nullptr;
    const bp_status status = bp_responder_open(&raw_key, &raw_options, &raw, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return Responder(raw);
  }

  /// The next request, waited for as long as it takes. Errors: as of bp_responder_receive.
  Result<Request> receive() { return receive_until(Clock::time_point::max()); }
  Result<Request> receive_within(std::chrono::nanoseconds at_most) {
    return receive_until(detail::time_after(at_most));
  }
  /// DEADLINE_EXCEEDED: there is none now.
  Result<Request> try_receive() { return receive_raw(1); }
  Result<Request> receive_until(Clock::time_point deadline) {
    return receive_raw(detail::deadline_of(deadline));
  }
  /// As Subscriber::descriptor.
  Result<int> descriptor() {
    return detail::descriptor_by(
        [&](bp_error* error) { return bp_responder_descriptor(raw_.get(), error); });
  }

  /// For the functions of C.
  bp_responder* raw() const noexcept { return raw_.get(); }

 private:
  struct Close {
    void operator()(bp_responder* responder) const noexcept { bp_responder_close(responder); }
  };
  explicit Responder(bp_responder* raw) : raw_(raw) {}
  Result<Request> receive_raw(int64_t deadline_ns) {
    bp_error error;  // not zeroed, which would take as long as the rest
    bp_request request{};
    const bp_status status = bp_responder_receive(raw_.get(), deadline_ns, &request, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return Request({raw_.get()}, request);
  }

  std::unique_ptr<bp_responder, Close> raw_;
};

/// An answer; given back when it is destroyed. It does not outlive its requester.
class Response : public detail::Borrowed<bp_response, detail::ResponseOwner> {
 public:
  /// Of the request that it answers.
  uint64_t number() const noexcept { return raw_.number; }
  /// Since the answer before: answers that nobody waits for.
  uint64_t passed_over() const noexcept { return raw_.passed_over; }

 private:
  friend class Requester;
  using Borrowed::Borrowed;
};

/// Asks at a key. For one thread at a time:
///
///     Requester requester = Requester::open(key).value();
///     const double sum = requester.call(Pair{1, 2}, 1s).value().as<double>();
class Requester {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    std::chrono::nanoseconds spin{0};  // max(): always
    bool trust_owner = false;
  };

  /// Errors: as of bp_requester_open and NativeKey::raw.
  static Result<Requester> open(const NativeKey& key, const Options& options) {
    bp_key raw_key{};
    if (Status status = key.raw(raw_key); status.is_error()) {
      return status;
    }
    const bp_requester_options raw_options{sizeof raw_options,
                                           options.trust_owner ? BP_CHANNEL_TRUST_OWNER : 0,
                                           detail::spin_of(options.spin)};
    bp_error error{};
    bp_requester* raw = nullptr;
    const bp_status status = bp_requester_open(&raw_key, &raw_options, &raw, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return Requester(raw);
  }
  static Result<Requester> open(const NativeKey& key) { return open(key, Options()); }

  /// Memory for a request. Errors: as of bp_requester_loan.
  Result<std::span<std::byte>> loan(uint64_t size) {
    return detail::loaned(size, [&](void** data, bp_error* error) {
      return bp_requester_loan(raw_.get(), size, data, error);
    });
  }
  /// Asks with the first `size` bytes of what was loaned: the request's number. Errors: as of
  /// bp_requester_send.
  Result<uint64_t> send_loaned(uint64_t size, Clock::time_point deadline) {
    bp_error error;  // not zeroed, which would take as long as the rest
    uint64_t number = 0;
    const bp_status status =
        bp_requester_send(raw_.get(), size, detail::deadline_of(deadline), &number, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return number;
  }
  /// Asks with a copy. Errors: as of loan and send_loaned.
  Result<uint64_t> send(std::span<const std::byte> bytes, Clock::time_point deadline) {
    const Status copied = detail::copy_into_loan(*this, bytes);
    if (copied.is_error()) {
      return copied;
    }
    return send_loaned(bytes.size(), deadline);
  }
  Result<uint64_t> send(std::string_view text, Clock::time_point deadline) {
    return send(std::as_bytes(std::span(text)), deadline);
  }
  template <detail::BytesOfItsOwn Object>
  Result<uint64_t> send(const Object& object, Clock::time_point deadline) {
    detail::check_message<Object>();
    return send(std::as_bytes(std::span(&object, 1)), deadline);
  }
  /// The next answer, to whichever request. Errors: as of bp_requester_receive.
  Result<Response> receive_until(Clock::time_point deadline) {
    uint64_t number = 0;
    return receive_raw(deadline, number);
  }
  Result<Response> receive_within(std::chrono::nanoseconds at_most) {
    return receive_until(detail::time_after(at_most));
  }
  /// No answer to that request is waited for any more.
  void forget(uint64_t number) noexcept { bp_requester_forget(raw_.get(), number); }

  /// Asks, and waits for the answer to that; answers to what was asked before are dropped. Errors:
  /// as of send and receive_until.
  Result<Response> call(std::span<const std::byte> bytes, std::chrono::nanoseconds at_most) {
    const Clock::time_point deadline = detail::time_after(at_most);
    Result<uint64_t> sent = send(bytes, deadline);
    while (!sent && may_make_way(sent.status())) {
      const Status before = receive_until(deadline).status();
      if (before.code() == BP_FAILED_PRECONDITION) {
        return sent.status();
      }
      if (before.is_error() && before.code() != BP_ABORTED && before.code() != BP_UNAVAILABLE) {
        return before;
      }
      sent = send(bytes, deadline);
    }
    if (!sent) {
      return sent.status();
    }
    for (;;) {
      uint64_t number = 0;
      Result<Response> response = receive_raw(deadline, number);
      const bool is_of_another = number != 0 && number != *sent;
      if (!is_of_another) {
        return response;
      }
    }
  }
  Result<Response> call(std::string_view text, std::chrono::nanoseconds at_most) {
    return call(std::as_bytes(std::span(text)), at_most);
  }
  template <detail::BytesOfItsOwn Object>
  Result<Response> call(const Object& object, std::chrono::nanoseconds at_most) {
    detail::check_message<Object>();
    return call(std::as_bytes(std::span(&object, 1)), at_most);
  }
  /// As Subscriber::descriptor; not readable when the responder is gone.
  Result<int> descriptor() {
    return detail::descriptor_by(
        [&](bp_error* error) { return bp_requester_descriptor(raw_.get(), error); });
  }

  /// For the functions of C.
  bp_requester* raw() const noexcept { return raw_.get(); }

 private:
  struct Close {
    void operator()(bp_requester* requester) const noexcept { bp_requester_close(requester); }
  };
  explicit Requester(bp_requester* raw) : raw_(raw) {}
  /// `number`: of the request that is answered, or given back unanswered; 0: of none.
  Result<Response> receive_raw(Clock::time_point deadline, uint64_t& number) {
    bp_error error;  // not zeroed, which would take as long as the rest
    bp_response response{};
    const bp_status status =
        bp_requester_receive(raw_.get(), detail::deadline_of(deadline), &response, &error);
    number = response.number;
    if (status < 0) {
      return Status::from(status, error);
    }
    return Response({raw_.get()}, response);
  }
  /// Whether what was asked before is in the way: as many as may be, or of one that is gone.
  static bool may_make_way(const Status& status) noexcept {
    return status.code() == BP_RESOURCE_EXHAUSTED || status.code() == BP_UNAVAILABLE;
  }

  std::unique_ptr<bp_requester, Close> raw_;
};

}  // namespace backplane
