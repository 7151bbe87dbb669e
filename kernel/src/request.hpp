// SPDX-License-Identifier: Apache-2.0
// Requests and answers through channels (backplane/request.h).
#pragma once

#include "backplane/request.h"
#include "channel_publisher.hpp"
#include "channel_subscriber.hpp"

#include <map>

namespace backplane::kernel {

// In front of each request, and of each answer.
struct RequestHead {
  std::uint64_t requester;  // a random number
  std::uint64_t number;
};

class Responder {
 public:
  static bp_status open(const NativeKey& key, const ChannelOptions& options, std::uint64_t spin_ns,
                        std::unique_ptr<Responder>& out, bp_error* error);

  bool is_of_this_process() const noexcept { return requests_->is_of_this_process(); }
  bp_status receive(std::int64_t deadline_ns, bp_request& out, bp_error* error);
  bp_status loan(const bp_request& request, std::uint64_t size, void*& out, bp_error* error);
  bp_status respond(const bp_request& request, std::uint64_t size, bp_error* error);
  void release(const bp_request& request) noexcept;
  int descriptor(bp_error* error) { return requests_->descriptor(error); }

 private:
  // Where a requester has its answers.
  struct Answers {
    std::shared_ptr<Channel> channel;
    std::unique_ptr<ChannelPublisher> publisher;
  };

  Responder(NativeKey key, std::uint32_t memory_flags)
      : key_(std::move(key)), memory_flags_(memory_flags) {}
  bp_status find(std::uint64_t requester, Answers*& out, bp_error* error);
  void forget_the_gone() noexcept;

  const NativeKey key_;
  const std::uint32_t memory_flags_;
  std::shared_ptr<Channel> channel_;
  std::unique_ptr<ChannelSubscriber> requests_;
  std::map<std::uint64_t, Answers> answers_;
  RequestHead* loaned_ = nullptr;
};

class Requester {
 public:
  static bp_status open(const NativeKey& key, std::uint32_t memory_flags, std::uint64_t spin_ns,
                        std::unique_ptr<Requester>& out, bp_error* error);

  bool is_of_this_process() const noexcept { return answers_->is_of_this_process(); }
  bp_status loan(std::uint64_t size, void*& out, bp_error* error);
  bp_status send(std::uint64_t size, std::int64_t deadline_ns, std::uint64_t& number,
                 bp_error* error);
  bp_status receive(std::int64_t deadline_ns, bp_response& out, bp_error* error);
  void release(const bp_response& response) noexcept;
  int descriptor(bp_error* error) { return answers_->descriptor(error); }

 private:
  Requester() = default;
  bool is_somebody_there() const noexcept;
  bool is_who_was_asked_there() const noexcept;
  bp_status nobody_answers(bp_error* error) const;

  std::uint64_t id_ = 0;
  std::shared_ptr<Channel> channel_;  // of requests
  std::unique_ptr<ChannelPublisher> requests_;
  std::unique_ptr<ChannelSubscriber> answers_;
  RequestHead* loaned_ = nullptr;
  std::uint64_t number_ = 0;         // of the last request
  std::uint64_t given_up_ = 0;       // up to this one: no answer is waited for
  std::uint32_t n_outstanding_ = 0;  // without an answer
  std::uint32_t asked_ = 0;          // ChannelMemory::joins, of the responder that has them
};

}  // namespace backplane::kernel
