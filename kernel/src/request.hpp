// SPDX-License-Identifier: Apache-2.0
// Requests and answers through channels (backplane/request.h).
#pragma once

#include "backplane/request.h"
#include "channel_publisher.hpp"
#include "channel_subscriber.hpp"

#include <map>
#include <optional>
#include <vector>

namespace backplane::kernel {

// In front of each request, and of each answer. What is received is a copy: others may write it.
struct RequestHead {
  static constexpr std::uint16_t kAnswered = 0;
  static constexpr std::uint16_t kGivenBack = 1;

  static constexpr RequestHead of(std::uint64_t requester, std::uint64_t number,
                                  std::uint16_t mark) noexcept {
    return {requester, number << 16U | mark};
  }
  std::uint64_t number() const noexcept { return word >> 16U; }
  std::uint16_t mark() const noexcept { return static_cast<std::uint16_t>(word); }

  std::uint64_t requester;  // a random number
  // The requester's number, and 16 bits: of a request the lowest of ChannelMemory::joins, which
  // tell who is asked; of an answer kAnswered or kGivenBack.
  std::uint64_t word;
};

class Responder {
 public:
  static bp_status open(const NativeKey& key, const ChannelOptions& options, std::uint64_t spin_ns,
                        std::unique_ptr<Responder>& out, bp_error* error);
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;
  ~Responder();

  bool is_of_this_process() const noexcept { return requests_->is_of_this_process(); }
  bp_status receive(std::int64_t deadline_ns, bp_request& out, bp_error* error);
  bp_status loan(const bp_request& request, std::uint64_t size, void*& out, bp_error* error);
  bp_status respond(const bp_request& request, std::uint64_t size, bp_error* error);
  void release(const bp_request& request);
  int descriptor(bp_error* error) { return requests_->descriptor(error); }

 private:
  // Where a requester has its answers.
  struct Answers {
    std::shared_ptr<Channel> channel;
    std::unique_ptr<ChannelPublisher> publisher;
  };
  // The memory is the requester's, and not looked at: it may have been written over.
  struct Loan {
    std::uint64_t requester;
    std::uint64_t number;
    std::uint64_t size;
    Answers* answers;  // which are kept until it ends
  };

  explicit Responder(std::uint32_t memory_flags) : memory_flags_(memory_flags) {}
  std::string key() const { return channel_->segment().name(); }
  bool is_loaned_for(const bp_request& request) const noexcept;
  bool give_back(const bp_request& request) noexcept;
  void tell_it_was_given_back(const bp_request& request);
  bp_status find(std::uint64_t requester, Answers*& out, bp_error* error);
  bp_status requester_is_gone(bp_error* error) const;
  void forget_the_gone();

  const std::uint32_t memory_flags_;
  std::shared_ptr<Channel> channel_;
  std::unique_ptr<ChannelSubscriber> requests_;
  std::map<std::uint64_t, Answers> answers_;
  std::optional<Loan> loan_;
  std::int64_t next_look_ = 0;     // for requesters that are gone
  std::uint32_t leaves_ = 0;       // ChannelMemory::leaves, at the last look
  std::uint64_t passed_over_ = 0;  // since the last request
  int looks_for_leftovers_ = 0;
};

class Requester {
 public:
  static bp_status open(const NativeKey& key, std::uint32_t memory_flags, std::uint64_t spin_ns,
                        std::unique_ptr<Requester>& out, bp_error* error);
  Requester(const Requester&) = delete;
  Requester& operator=(const Requester&) = delete;
  ~Requester();

  bool is_of_this_process() const noexcept { return answers_->is_of_this_process(); }
  bp_status loan(std::uint64_t size, void*& out, bp_error* error);
  bp_status send(std::uint64_t size, std::int64_t deadline_ns, std::uint64_t& number,
                 bp_error* error);
  bp_status receive(std::int64_t deadline_ns, bp_response& out, bp_error* error);
  void release(const bp_response& response) noexcept;
  bool forget(std::uint64_t number) noexcept;  // false: no answer to it is waited for
  int descriptor(bp_error* error) { return answers_->descriptor(error); }

 private:
  Requester() = default;
  // A request without an answer.
  struct Outstanding {
    std::uint64_t number;
    std::uint64_t asked_at;  // no answer of a sequence before it is its
    bool is_perhaps_lost;
  };

  bool is_somebody_there() const noexcept;
  bool is_who_was_asked_there() const noexcept;
  bool is_any_lost() const noexcept;
  bool take(std::uint64_t number) noexcept;

  std::uint64_t id_ = 0;
  std::shared_ptr<Channel> channel_;  // of requests
  std::unique_ptr<ChannelPublisher> requests_;
  std::unique_ptr<ChannelSubscriber> answers_;
  RequestHead* loaned_ = nullptr;
  std::uint64_t loaned_size_ = 0;
  std::uint64_t number_ = 0;       // of the last request
  std::uint64_t passed_over_ = 0;  // since the last answer
  std::vector<Outstanding> outstanding_;
  bool has_forgotten_ = false;  // and so there may be answers that nobody waits for
  std::uint32_t asked_ = 0;     // ChannelMemory::joins, of the responder that has them
};

}  // namespace backplane::kernel
