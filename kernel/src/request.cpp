// SPDX-License-Identifier: Apache-2.0
#include "request.hpp"

#include "error.hpp"
#include "futex.hpp"
#include "kill_point.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <sys/random.h>

namespace backplane::kernel {
namespace {

constexpr std::uint64_t kHead = sizeof(RequestHead);
constexpr std::int64_t kBetweenLooks = 100'000'000;  // for peers that are gone

// Gone with its requester; a key of System V would leave a file.
NativeKey answers_key(const NativeKey& requests, std::uint64_t requester) {
  char number[20];
  std::snprintf(number, sizeof number, "%016llx", static_cast<unsigned long long>(requester));
  return safe_key(KeyUse::kSharedMemory, BP_KEY_POSIX,
                  "answers to " + std::string(number) + " of " + text_of(requests));
}

std::int64_t next_look(std::int64_t deadline_ns) noexcept {
  const std::int64_t look = monotonic_now() + kBetweenLooks;
  return deadline_ns == 0 ? look : std::min(look, deadline_ns);
}

bool has_subscriber(const Channel& channel) noexcept {
  return channel.place(channel.shape().publishers).cursor != ChannelMemory::kNotJoined;
}

// The head in front of what is in a sample; its own size and data become those of the rest.
const RequestHead* split(bp_sample& sample) noexcept {
  if (sample.size < kHead) return nullptr;
  const auto* const head = static_cast<const RequestHead*>(sample.data);
  sample.data = head + 1;
  sample.size -= kHead;
  return head;
}

bp_status requester_is_gone(bp_error* error) {
  return set_error(error, BP_UNAVAILABLE, "who asked is gone, and takes no answer");
}

}  // namespace

// ---- answering ----

bp_status Responder::open(const NativeKey& key, const ChannelOptions& options,
                          std::uint64_t spin_ns, std::unique_ptr<Responder>& out, bp_error* error) {
  std::unique_ptr<Responder> made(new Responder(key, options.memory_flags));
  bp_status status = Channel::open(key, options, made->channel_, error);
  if (status < 0) return status;
  const ChannelShape& shape = made->channel_->shape();
  if (shape.response_size < options.shape.response_size) {
    return set_error(
        error, BP_OUT_OF_RANGE,
        text_of(key) + " is open for answers of up to " +
            std::to_string(shape.response_size - std::min(shape.response_size, kHead)) +
            " bytes: its requesters must close it first");
  }
  status = ChannelSubscriber::open(made->channel_, 0, spin_ns, made->requests_, error);
  if (status == BP_RESOURCE_EXHAUSTED && has_subscriber(*made->channel_)) {
    return set_error(error, BP_ALREADY_EXISTS, "somebody answers at " + text_of(key));
  }
  if (status == BP_OK) out = std::move(made);
  return status;
}

bp_status Responder::receive(std::int64_t deadline_ns, bp_request& out, bp_error* error) {
  bp_sample sample{};
  for (;;) {
    const std::int64_t until = deadline_ns == kPast ? kPast : next_look(deadline_ns);
    const bp_status status = requests_->receive(until, sample, error);
    if (status == BP_DEADLINE_EXCEEDED) {
      forget_the_gone();
      if (deadline_ns != 0 && monotonic_now() >= deadline_ns) return status;
      continue;
    }
    if (status < 0) return status;
    bp_sample rest = sample;
    const RequestHead* const head = split(rest);
    if (head == nullptr) {  // nobody who uses this interface has sent it
      requests_->release(sample);
      continue;
    }
    out = {rest.data, rest.size, head->requester, head->number, rest.slot};
    return BP_OK;
  }
}

bp_status Responder::find(std::uint64_t requester, Answers*& out, bp_error* error) {
  const auto at = answers_.find(requester);
  if (at != answers_.end()) {
    if (!has_subscriber(*at->second.channel)) return requester_is_gone(error);
    out = &at->second;
    return BP_OK;
  }
  forget_the_gone();
  Answers found;
  ChannelOptions options;
  options.shape.sample_size = channel_->shape().response_size;
  options.memory_flags = memory_flags_;
  bp_status status = Channel::open(answers_key(key_, requester), options, found.channel, error);
  if (status == BP_NOT_FOUND) return requester_is_gone(error);
  if (status == BP_OK) status = ChannelPublisher::open(found.channel, found.publisher, error);
  if (status < 0) return status;
  if (!has_subscriber(*found.channel)) return requester_is_gone(error);
  out = &answers_.insert_or_assign(requester, std::move(found)).first->second;
  return BP_OK;
}

void Responder::forget_the_gone() noexcept {
  std::erase_if(answers_, [](const auto& each) { return !has_subscriber(*each.second.channel); });
}

bp_status Responder::loan(const bp_request& request, std::uint64_t size, void*& out,
                          bp_error* error) {
  loaned_ = nullptr;
  Answers* answers = nullptr;
  bp_status status = find(request.requester, answers, error);
  if (status < 0) return status;
  if (size > channel_->shape().response_size - kHead) {
    return set_error(error, BP_OUT_OF_RANGE,
                     "an answer of " + std::to_string(size) + " bytes: there is room for " +
                         std::to_string(channel_->shape().response_size - kHead));
  }
  void* memory = nullptr;
  status = answers->publisher->loan(size + kHead, memory, error);
  if (status < 0) return status;
  loaned_ = static_cast<RequestHead*>(memory);
  *loaned_ = {request.requester, request.number};
  out = loaned_ + 1;
  return BP_OK;
}

bp_status Responder::respond(const bp_request& request, std::uint64_t size, bp_error* error) {
  const RequestHead* const loaned = std::exchange(loaned_, nullptr);
  release(request);
  if (loaned == nullptr || loaned->requester != request.requester ||
      loaned->number != request.number) {
    return set_error(error, BP_FAILED_PRECONDITION, "nothing is loaned to answer this request");
  }
  Answers* answers = nullptr;
  const bp_status status = find(request.requester, answers, error);
  if (status < 0) return status;
  // Its ring has room for all that may be outstanding, so that nothing is waited for.
  return answers->publisher->publish(size + kHead, kPast, error);
}

void Responder::release(const bp_request& request) noexcept {
  bp_sample sample{};
  sample.slot = request.slot;
  requests_->release(sample);
}

// ---- asking ----

bp_status Requester::open(const NativeKey& key, std::uint32_t memory_flags, std::uint64_t spin_ns,
                          std::unique_ptr<Requester>& out, bp_error* error) {
  std::unique_ptr<Requester> made(new Requester);
  ChannelOptions options;
  options.memory_flags = memory_flags;
  bp_status status = Channel::open(key, options, made->channel_, error);
  if (status < 0) return status;
  const ChannelShape& shape = made->channel_->shape();
  if (shape.response_size < kHead || shape.sample_size < kHead) {
    return set_error(error, BP_DATA_LOSS, text_of(key) + " is a channel that takes no requests");
  }
  status = ChannelPublisher::open(made->channel_, made->requests_, error);
  if (status < 0) return status;
  if (::getrandom(&made->id_, sizeof made->id_, 0) != sizeof made->id_) {
    return set_errno_error(error, errno, "no random number");
  }
  options.which = BP_CHANNEL_NEW;
  options.shape.sample_size = shape.response_size;
  options.shape.capacity = shape.held;  // a power of two: as many as may be outstanding
  options.shape.held = shape.held;
  options.shape.publishers = options.shape.subscribers = 1;
  options.shape.permissions = shape.permissions;
  std::shared_ptr<Channel> answers;
  status = Channel::open(answers_key(key, made->id_), options, answers, error);
  if (status == BP_OK) {
    status = ChannelSubscriber::open(answers, 0, spin_ns, made->answers_, error);
  }
  if (status == BP_OK) out = std::move(made);
  return status;
}

bp_status Requester::loan(std::uint64_t size, void*& out, bp_error* error) {
  const std::uint64_t most = channel_->shape().sample_size - kHead;
  if (size > most) {
    return set_error(error, BP_OUT_OF_RANGE,
                     "a request of " + std::to_string(size) + " bytes: there is room for " +
                         std::to_string(most));
  }
  void* memory = nullptr;
  const bp_status status = requests_->loan(size + kHead, memory, error);
  if (status < 0) return status;
  loaned_ = static_cast<RequestHead*>(memory);
  out = loaned_ + 1;
  return BP_OK;
}

bp_status Requester::send(std::uint64_t size, std::int64_t deadline_ns, std::uint64_t& number,
                          bp_error* error) {
  if (loaned_ == nullptr) {
    return set_error(error, BP_FAILED_PRECONDITION, "nothing is loaned that could be sent");
  }
  if (n_outstanding_ >= channel_->shape().held) {
    return set_error(
        error, BP_RESOURCE_EXHAUSTED,
        std::to_string(n_outstanding_) + " requests have no answer yet: receive one first");
  }
  const std::uint32_t joins = channel_->memory().joins;
  if (!is_somebody_there() || (n_outstanding_ != 0 && joins != asked_)) {
    return nobody_answers(error);
  }
  *loaned_ = {id_, number_ + 1};
  const bp_status status = requests_->publish(size + kHead, deadline_ns, error);
  if (status < 0) return status;
  kill_point("asked");
  loaned_ = nullptr;
  asked_ = joins;
  ++n_outstanding_;
  number = ++number_;
  return BP_OK;
}

bool Requester::is_somebody_there() const noexcept { return has_subscriber(*channel_); }

bool Requester::is_who_was_asked_there() const noexcept {
  return is_somebody_there() && channel_->memory().joins == asked_;
}

bp_status Requester::nobody_answers(bp_error* error) const {
  return set_error(
      error, BP_UNAVAILABLE,
      "nobody answers at " + channel_->segment().name() + ", or not who was asked before");
}

bp_status Requester::receive(std::int64_t deadline_ns, bp_response& out, bp_error* error) {
  if (n_outstanding_ == 0) {
    return set_error(error, BP_FAILED_PRECONDITION, "nothing was asked that has no answer");
  }
  bp_sample sample{};
  for (;;) {
    const bool is_there = is_who_was_asked_there();  // before the last look at what it answered
    const std::int64_t until = deadline_ns == kPast || !is_there ? kPast : next_look(deadline_ns);
    const bp_status status = answers_->receive(until, sample, error);
    if (status == BP_DEADLINE_EXCEEDED) {
      if (!is_there) {
        n_outstanding_ = 0;
        given_up_ = number_;
        return nobody_answers(error);
      }
      if (deadline_ns != 0 && monotonic_now() >= deadline_ns) return status;
      continue;
    }
    if (status < 0) return status;
    bp_sample rest = sample;
    const RequestHead* const head = split(rest);
    if (head == nullptr || head->requester != id_ || head->number <= given_up_ ||
        head->number > number_) {
      answers_->release(sample);
      continue;
    }
    --n_outstanding_;
    out = {rest.data, rest.size, head->number, rest.slot};
    return BP_OK;
  }
}

void Requester::release(const bp_response& response) noexcept {
  bp_sample sample{};
  sample.slot = response.slot;
  answers_->release(sample);
}

}  // namespace backplane::kernel
