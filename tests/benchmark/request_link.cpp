// SPDX-License-Identifier: Apache-2.0
// The first side asks, the second answers, so that a message there and back is one call.
#include "backplane/sdk/request.hpp"
#include "message_link.hpp"

namespace backplane::benchmark {
namespace {

using namespace std::chrono_literals;

std::chrono::nanoseconds spin_of(const LinkOptions& options) {
  return options.spins ? std::chrono::nanoseconds::max() : 0ns;
}
NativeKey key_of(const LinkOptions& options) { return NativeKey("/" + options.name); }

class AskingLink final : public MessageLink {
 public:
  explicit AskingLink(const LinkOptions& options)
      : size_(options.size),
        requester_(Requester::open(key_of(options), {.spin = spin_of(options)}).value()) {}

  void send(std::uint64_t number) override {
    *reinterpret_cast<std::uint64_t*>(requester_.loan(size_).value().data()) = number;
    requester_.send_loaned(size_, Requester::Clock::time_point::max()).or_throw();
  }
  std::optional<std::uint64_t> receive() override {
    const Result<Response> response = requester_.receive_within(100ms);
    if (!response) return std::nullopt;
    return response->as<std::uint64_t>();
  }

 private:
  const std::uint64_t size_;
  Requester requester_;
};

class AnsweringLink final : public MessageLink {
 public:
  explicit AnsweringLink(const LinkOptions& options)
      : size_(options.size),
        responder_(Responder::open(key_of(options), {.request_size = options.size,
                                                     .response_size = options.size,
                                                     .spin = spin_of(options)})
                       .value()) {}

  void send(std::uint64_t number) override {
    *reinterpret_cast<std::uint64_t*>(request_->loan(size_).value().data()) = number;
    request_->respond_loaned(size_).or_throw();
    request_.reset();
  }
  std::optional<std::uint64_t> receive() override {
    Result<Request> request = responder_.receive_within(100ms);
    if (!request) return std::nullopt;
    request_.emplace(std::move(*request));
    return request_->as<std::uint64_t>();
  }

 private:
  const std::uint64_t size_;
  Responder responder_;
  std::optional<Request> request_;
};

}  // namespace

std::unique_ptr<MessageLink> request_link(const LinkOptions& options) {
  if (options.is_first) return std::make_unique<AskingLink>(options);
  return std::make_unique<AnsweringLink>(options);
}

}  // namespace backplane::benchmark
