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
template <class Object>
const Object& object_in(const void* data, uint64_t size) {
  check_message<Object>();
  if (size < sizeof(Object)) {
    throw Error(BP_OUT_OF_RANGE, "the message has ", size, " bytes, the object ", sizeof(Object));
  }
  return *static_cast<const Object*>(data);
}
}  // namespace detail

/// What was asked; given back unanswered if it is destroyed before it is answered. It does not
/// outlive its responder.
class Request {
 public:
  Request(Request&& other) noexcept
      : responder_(std::exchange(other.responder_, nullptr)), raw_(other.raw_) {}
  Request& operator=(Request&& other) noexcept {
    std::swap(responder_, other.responder_);
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Request() {
    if (responder_ != nullptr) {
      bp_responder_release(responder_, &raw_);
    }
  }

  std::span<const std::byte> data() const noexcept {
    return {static_cast<const std::byte*>(raw_.data), raw_.size};
  }
  /// OUT_OF_RANGE is thrown: it is too small for one.
  template <class Object>
  const Object& as() const {
    return detail::object_in<Object>(raw_.data, raw_.size);
  }
  /// A random number of whose it is.
  uint64_t requester() const noexcept { return raw_.requester; }
  uint64_t number() const noexcept { return raw_.number; }

  /// Memory for the answer. Errors: as of bp_responder_loan.
  Result<std::span<std::byte>> loan(uint64_t size) {
    bp_error error{};
    void* data = nullptr;
    const bp_status status = bp_responder_loan(responder_, &raw_, size, &data, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return std::span(static_cast<std::byte*>(data), size);
  }
  /// Answers with the first `size` bytes of what was loaned. The request is not to be used any
  /// more. Errors: as of bp_responder_respond.
  Status respond_loaned(uint64_t size) {
    bp_error error{};
    const bp_status status =
        bp_responder_respond(std::exchange(responder_, nullptr), &raw_, size, &error);
    return Status::from(status, error);
  }
  /// Answers with a copy. Errors: as of loan and respond_loaned.
  Status respond(std::span<const std::byte> bytes) {
    const Result<std::span<std::byte>> memory = loan(bytes.size());
    if (!memory) {
      return memory.status();
    }
    if (!bytes.empty()) {
      std::memcpy(memory->data(), bytes.data(), bytes.size());
    }
    return respond_loaned(bytes.size());
  }
  template <class Object>
  requires std::is_trivially_copyable_v<Object> Status respond(const Object& object) {
    return respond(std::as_bytes(std::span(&object, 1)));
  }

 private:
  friend class Responder;
  Request(bp_responder* responder, const bp_request& raw) : responder_(responder), raw_(raw) {}

  bp_responder* responder_;
  bp_request raw_;
};

/// Answers at a key. For one thread at a time:
///
///     Responder adder = Responder::open(key, {.request_size = sizeof(Pair),
///                                             .response_size = sizeof(double)}).value();
///     for (;;) {
///       Request request = adder.receive().value();
///       const auto& [a, b] = request.as<Pair>();
///       request.respond(a + b).or_throw();
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

  /// Errors: as of bp_responder_open.
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
    bp_error error{};
    const int out = bp_responder_descriptor(raw_.get(), &error);
    if (out < 0) {
      return Status::from(error.code, error);
    }
    return out;
  }

  /// For the functions of C.
  bp_responder* raw() const noexcept { return raw_.get(); }

 private:
  struct Close {
    void operator()(bp_responder* responder) const noexcept { bp_responder_close(responder); }
  };
  explicit Responder(bp_responder* raw) : raw_(raw) {}
  Result<Request> receive_raw(int64_t deadline_ns) {
    bp_error error{};
    bp_request request{};
    const bp_status status = bp_responder_receive(raw_.get(), deadline_ns, &request, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return Request(raw_.get(), request);
  }

  std::unique_ptr<bp_responder, Close> raw_;
};

/// An answer; given back when it is destroyed. It does not outlive its requester.
class Response {
 public:
  Response(Response&& other) noexcept
      : requester_(std::exchange(other.requester_, nullptr)), raw_(other.raw_) {}
  Response& operator=(Response&& other) noexcept {
    std::swap(requester_, other.requester_);
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Response() {
    if (requester_ != nullptr) {
      bp_requester_release(requester_, &raw_);
    }
  }

  std::span<const std::byte> data() const noexcept {
    return {static_cast<const std::byte*>(raw_.data), raw_.size};
  }
  /// OUT_OF_RANGE is thrown: it is too small for one.
  template <class Object>
  const Object& as() const {
    return detail::object_in<Object>(raw_.data, raw_.size);
  }
  /// Of the request that it answers.
  uint64_t number() const noexcept { return raw_.number; }

 private:
  friend class Requester;
  Response(bp_requester* requester, const bp_response& raw) : requester_(requester), raw_(raw) {}

  bp_requester* requester_;
  bp_response raw_;
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

  /// Errors: as of bp_requester_open.
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
    bp_error error{};
    void* data = nullptr;
    const bp_status status = bp_requester_loan(raw_.get(), size, &data, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return std::span(static_cast<std::byte*>(data), size);
  }
  /// Asks with the first `size` bytes of what was loaned: the request's number. Errors: as of
  /// bp_requester_send.
  Result<uint64_t> send_loaned(uint64_t size, Clock::time_point deadline) {
    bp_error error{};
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
    const Result<std::span<std::byte>> memory = loan(bytes.size());
    if (!memory) {
      return memory.status();
    }
    if (!bytes.empty()) {
      std::memcpy(memory->data(), bytes.data(), bytes.size());
    }
    return send_loaned(bytes.size(), deadline);
  }
  /// The next answer, to whichever request. Errors: as of bp_requester_receive.
  Result<Response> receive_until(Clock::time_point deadline) {
    bp_error error{};
    bp_response response{};
    const bp_status status =
        bp_requester_receive(raw_.get(), detail::deadline_of(deadline), &response, &error);
    if (status < 0) {
      return Status::from(status, error);
    }
    return Response(raw_.get(), response);
  }
  Result<Response> receive_within(std::chrono::nanoseconds at_most) {
    return receive_until(detail::time_after(at_most));
  }

  /// Asks, and waits for the answer to that; answers to what was asked before are dropped. Errors:
  /// as of send and receive_until.
  Result<Response> call(std::span<const std::byte> bytes, std::chrono::nanoseconds at_most) {
    const Clock::time_point deadline = detail::time_after(at_most);
    while (receive_until(Clock::time_point::min()).is_ok()) {  // what came too late
    }
    const Result<uint64_t> number = send(bytes, deadline);
    if (!number) {
      return number.status();
    }
    for (;;) {
      Result<Response> response = receive_until(deadline);
      if (!response || response->number() == *number) {
        return response;
      }
    }
  }
  template <class Object>
  requires std::is_trivially_copyable_v<Object> Result<Response> call(
      const Object& object, std::chrono::nanoseconds at_most) {
    return call(std::as_bytes(std::span(&object, 1)), at_most);
  }
  /// As Subscriber::descriptor; not readable when the responder is gone.
  Result<int> descriptor() {
    bp_error error{};
    const int out = bp_requester_descriptor(raw_.get(), &error);
    if (out < 0) {
      return Status::from(error.code, error);
    }
    return out;
  }

  /// For the functions of C.
  bp_requester* raw() const noexcept { return raw_.get(); }

 private:
  struct Close {
    void operator()(bp_requester* requester) const noexcept { bp_requester_close(requester); }
  };
  explicit Requester(bp_requester* raw) : raw_(raw) {}

  std::unique_ptr<bp_requester, Close> raw_;
};

}  // namespace backplane
