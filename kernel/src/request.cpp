// SPDX-License-Identifier: Apache-2.0
#include "request.hpp"

#include "error.hpp"
#include "file_memory.hpp"
#include "futex.hpp"
#include "kill_point.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/random.h>
#include <utility>

namespace backplane::kernel {
namespace {

constexpr std::uint64_t kHead = sizeof(RequestHead);
constexpr std::int64_t kBetweenLooks = 100'000'000;  // for peers that are gone
// The system takes the lock of a killed one's segment away later than its place.
constexpr int kLooksForLeftovers = 5;
constexpr std::uint64_t kMostPassedOver = 1000;  // before a deadline is looked at in between
constexpr const char* kAnswers = "backplane-answers-";

// By its number alone: one key may be spelled in several ways. A file, of which nothing is left.
NativeKey answers_key(std::uint64_t requester) {
  char number[20];
  std::snprintf(number, sizeof number, "%016llx", static_cast<unsigned long long>(requester));
  return {BP_KEY_POSIX, std::string("/") + kAnswers + number};
}

bool is_over(std::int64_t deadline_ns) noexcept {
  return deadline_ns != 0 && monotonic_now() >= deadline_ns;
}
std::int64_t earlier(std::int64_t look_ns, std::int64_t deadline_ns) noexcept {
  return deadline_ns == 0 ? look_ns : std::min(look_ns, deadline_ns);
}

// Its cursor would tell, too, but that line is written for each sample that it receives.
bool has_subscriber(const Channel& channel) noexcept {
  return channel.place(channel.shape().publishers).id != 0;
}
bool takes_requests(const Channel& channel) noexcept {
  return channel.shape().response_size >= kHead && channel.shape().sample_size >= kHead;
}
std::uint16_t mark_of(std::uint32_t joins) noexcept { return static_cast<std::uint16_t>(joins); }

// False: there is none. The sample's size and data become those of what is behind it.
bool split(bp_sample& sample, RequestHead& head) noexcept {
  if (sample.size < kHead) return false;
  std::memcpy(&head, sample.data, kHead);
  sample.data = static_cast<const std::byte*>(sample.data) + kHead;
  sample.size -= kHead;
  return true;
}

bp_status takes_no_requests(const NativeKey& key, bp_error* error) {
  return set_error(error, BP_DATA_LOSS,
                   text_of(key) + " is a channel that takes no requests: use another key");
}
bp_status is_too_large(const char* what, std::uint64_t size, std::uint64_t most,
                       const std::string& key, bp_error* error) {
  return set_error(error, BP_OUT_OF_RANGE,
                   std::string(what) + " of " + std::to_string(size) +
                       " bytes: there is room for " + std::to_string(most) + " at " + key);
}

}  // namespace

// ---- answering ----

bp_status Responder::open(const NativeKey& key, const ChannelOptions& options,
                          std::uint64_t spin_ns, std::unique_ptr<Responder>& out, bp_error* error) {
  FileMemory::remove_nobodys(kAnswers);
  std::unique_ptr<Responder> made(new Responder(options.memory_flags));
  bp_status status = Channel::open(key, options, made->channel_, error);
  if (status < 0) return status;
  if (!takes_requests(*made->channel_)) return takes_no_requests(key, error);
  status = ChannelSubscriber::open(made->channel_, 0, spin_ns, made->requests_, error);
  if (status == BP_RESOURCE_EXHAUSTED && has_subscriber(*made->channel_)) {
    return set_error(error, BP_ALREADY_EXISTS, "somebody answers at " + text_of(key));
  }
  if (status < 0) return status;
  const ChannelShape& shape = made->channel_->shape();
  if (shape.sample_size < options.shape.sample_size ||
      shape.response_size < options.shape.response_size) {
    return set_error(error, BP_OUT_OF_RANGE,
                     text_of(key) + " is open for requests of " +
                         std::to_string(shape.sample_size - kHead) + " bytes and answers of " +
                         std::to_string(shape.response_size - kHead) +
                         ", which is less: its requesters must close it first");
  }
  kill_point("answers");
  out = std::move(made);
  return BP_OK;
}

Responder::~Responder() {
  requests_.reset();
  kill_point("stopped answering");
}

bp_status Responder::receive(std::int64_t deadline_ns, bp_request& out, bp_error* error) {
  bp_sample sample{};
  const std::uint64_t before = passed_over_;
  for (;;) {
    if (const std::int64_t now = monotonic_now(); now >= next_look_) {
      next_look_ = now + kBetweenLooks;
      forget_the_gone();
    }
    const bp_status status = requests_->receive(earlier(next_look_, deadline_ns), sample, error);
    if (status == BP_DEADLINE_EXCEEDED && !is_over(deadline_ns)) continue;
    if (status < 0) return status;
    RequestHead head{};
    // Else nobody who uses this interface has sent it, or to one that was here before, with whom it
    // is gone.
    if (split(sample, head) && head.mark() == mark_of(requests_->joins())) {
      kill_point("request taken");
      out = {sample.data,   sample.size, head.requester,
             head.number(), sample.slot, std::exchange(passed_over_, 0)};
      return BP_OK;
    }
    requests_->release(sample);
    if (++passed_over_ - before >= kMostPassedOver && is_over(deadline_ns)) {
      requests_->wake_itself();
      return set_error(error, BP_DEADLINE_EXCEEDED,
                       "no request came in time, but what is none, at " + key());
    }
  }
}

bp_status Responder::requester_is_gone(bp_error* error) const {
  return set_error(error, BP_UNAVAILABLE,
                   "who asked at " + key() + " is gone: its answer is for nobody");
}

bp_status Responder::find(std::uint64_t requester, Answers*& out, bp_error* error) {
  const auto at = answers_.find(requester);
  if (at != answers_.end()) {
    if (!has_subscriber(*at->second.channel)) return requester_is_gone(error);
    out = &at->second;
    return BP_OK;
  }
  Answers found;
  ChannelOptions options;
  options.shape.sample_size = channel_->shape().response_size;
  options.memory_flags = memory_flags_;
  bp_status status = Channel::open(answers_key(requester), options, found.channel, error);
  if (status == BP_NOT_FOUND) return requester_is_gone(error);
  if (status < 0) return status;
  kill_point("answers opened");
  status = ChannelPublisher::open(found.channel, "responders", found.publisher, error);
  if (status < 0) return status;
  kill_point("answers joined");
  if (!has_subscriber(*found.channel)) return requester_is_gone(error);
  out = &answers_.emplace(requester, std::move(found)).first->second;
  return BP_OK;
}

void Responder::forget_the_gone() {
  const std::size_t forgotten = std::erase_if(answers_, [&](const auto& each) {
    const bool is_loaned = loan_ && loan_->answers == &each.second;
    return !is_loaned && !has_subscriber(*each.second.channel);
  });
  if (forgotten != 0) kill_point("forgot one");
  // One that was killed may have left answers that were never opened here.
  const std::uint32_t leaves = channel_->memory().leaves;
  if (leaves != leaves_) looks_for_leftovers_ = kLooksForLeftovers;
  leaves_ = leaves;
  if (looks_for_leftovers_ == 0) return;
  --looks_for_leftovers_;
  FileMemory::remove_nobodys(kAnswers);
}

bool Responder::is_loaned_for(const bp_request& request) const noexcept {
  return loan_ && loan_->requester == request.requester && loan_->number == request.number;
}

bp_status Responder::loan(const bp_request& request, std::uint64_t size, void*& out,
                          bp_error* error) {
  loan_.reset();
  const std::uint64_t most = channel_->shape().response_size - kHead;
  if (size > most) return is_too_large("an answer", size, most, key(), error);
  Answers* answers = nullptr;
  bp_status status = find(request.requester, answers, error);
  if (status < 0) return status;
  void* memory = nullptr;
  status = answers->publisher->loan(size + kHead, memory, error);
  if (status < 0) return status;
  const auto head = RequestHead::of(request.requester, request.number, RequestHead::kAnswered);
  std::memcpy(memory, &head, kHead);
  kill_point("answer loaned");
  loan_ = {request.requester, request.number, size, answers};
  out = static_cast<std::byte*>(memory) + kHead;
  return BP_OK;
}

bp_status Responder::respond(const bp_request& request, std::uint64_t size, bp_error* error) {
  if (!is_loaned_for(request)) {
    release(request);
    return set_error(error, BP_FAILED_PRECONDITION,
                     "nothing is loaned to answer request " + std::to_string(request.number) +
                         " at " + key() + ": it is given back");
  }
  const Loan loan = *loan_;
  if (size > loan.size) {
    release(request);
    return set_error(error, BP_OUT_OF_RANGE,
                     std::to_string(size) + " bytes of a loan of " + std::to_string(loan.size) +
                         ": the request is given back");
  }
  if (!give_back(request)) {
    return set_error(
        error, BP_FAILED_PRECONDITION,
        "request " + std::to_string(request.number) + " at " + key() + " was answered already");
  }
  if (!has_subscriber(*loan.answers->channel)) return requester_is_gone(error);
  // Its ring has room for all that may be outstanding, so that nothing is waited for.
  const bp_status status = loan.answers->publisher->publish(size + kHead, kPast, error);
  kill_point("answered");
  return status;
}

// False: it was given back before.
bool Responder::give_back(const bp_request& request) noexcept {
  if (is_loaned_for(request)) loan_.reset();
  bp_sample sample{};
  sample.slot = request.slot;
  const bool was_held = requests_->release(sample);
  kill_point("given back");
  return was_held;
}

void Responder::release(const bp_request& request) {
  if (give_back(request)) tell_it_was_given_back(request);
}

// Its requester would wait for ever. What is loaned for another of its requests stays.
void Responder::tell_it_was_given_back(const bp_request& request) {
  Answers* answers = nullptr;
  if (find(request.requester, answers, nullptr) < 0) return;
  const auto head = RequestHead::of(request.requester, request.number, RequestHead::kGivenBack);
  answers->publisher->publish_beside(std::as_bytes(std::span(&head, 1)), nullptr);
}

// ---- asking ----

bp_status Requester::open(const NativeKey& key, std::uint32_t memory_flags, std::uint64_t spin_ns,
                          std::unique_ptr<Requester>& out, bp_error* error) {
  FileMemory::remove_nobodys(kAnswers);
  std::unique_ptr<Requester> made(new Requester);
  ChannelOptions options;
  options.memory_flags = memory_flags;
  bp_status status = Channel::open(key, options, made->channel_, error);
  if (status < 0) return status;
  if (!takes_requests(*made->channel_)) return takes_no_requests(key, error);
  status = ChannelPublisher::open(made->channel_, "requesters", made->requests_, error);
  if (status < 0) return status;
  kill_point("has a place");
  if (::getrandom(&made->id_, sizeof made->id_, 0) != sizeof made->id_) {
    return set_errno_error(error, errno, "no random number for a requester");
  }
  const ChannelShape& shape = made->channel_->shape();
  made->outstanding_.reserve(shape.held);
  options.which = BP_CHANNEL_NEW;
  options.shape.sample_size = shape.response_size;
  options.shape.capacity = shape.held;  // a power of two: as many as may be outstanding
  options.shape.held = shape.held;
  options.shape.publishers = options.shape.subscribers = 1;
  options.shape.permissions = shape.permissions;
  options.group = made->channel_->segment().group();
  std::shared_ptr<Channel> answers;
  status = Channel::open(answers_key(made->id_), options, answers, error);
  if (status < 0) return status;
  status = ChannelSubscriber::open(answers, 0, spin_ns, made->answers_, error);
  if (status < 0) return status;
  kill_point("may ask");
  out = std::move(made);
  return BP_OK;
}

// Its responder may have the answers open, and be killed: their name is taken away now.
Requester::~Requester() {
  if (answers_ == nullptr || !is_of_this_process()) return;
  guarded([this] { return FileMemory::remove(answers_key(id_), nullptr); });
  kill_point("leaving");
}

bp_status Requester::loan(std::uint64_t size, void*& out, bp_error* error) {
  const std::uint64_t most = channel_->shape().sample_size - kHead;
  if (size > most) {
    return is_too_large("a request", size, most, channel_->segment().name(), error);
  }
  void* memory = nullptr;
  const bp_status status = requests_->loan(size + kHead, memory, error);
  if (status < 0) return status;
  loaned_ = static_cast<RequestHead*>(memory);
  loaned_size_ = size;
  out = loaned_ + 1;
  return BP_OK;
}

bp_status Requester::send(std::uint64_t size, std::int64_t deadline_ns, std::uint64_t& number,
                          bp_error* error) {
  if (loaned_ == nullptr) {
    return set_error(error, BP_FAILED_PRECONDITION,
                     "nothing is loaned that could be sent: call bp_requester_loan first");
  }
  if (size > loaned_size_) {
    return set_error(error, BP_OUT_OF_RANGE,
                     std::to_string(size) + " bytes of a loan of " + std::to_string(loaned_size_));
  }
  if (outstanding_.size() >= channel_->shape().held) {
    return set_error(
        error, BP_RESOURCE_EXHAUSTED,
        std::to_string(outstanding_.size()) + " requests have no answer yet: receive one first");
  }
  const std::uint32_t joins = channel_->memory().joins;
  if (!is_somebody_there()) {
    return set_error(error, BP_UNAVAILABLE, "nobody answers at " + channel_->segment().name());
  }
  if (!outstanding_.empty() && joins != asked_) {
    return set_error(error, BP_UNAVAILABLE,
                     "who was asked before at " + channel_->segment().name() +
                         " is gone: receive says so, then ask the next");
  }
  // The newest is in a line of the cache that the responder writes: only where it tells more.
  const std::uint64_t asked_at = has_forgotten_ ? answers_->newest() : answers_->next();
  *loaned_ = RequestHead::of(id_, number_ + 1, mark_of(joins));
  kill_point("request headed");
  const bp_status status = requests_->publish(size + kHead, deadline_ns, error);
  if (status < 0) return status;
  kill_point("asked");
  loaned_ = nullptr;
  asked_ = joins;
  outstanding_.push_back({++number_, asked_at, false});
  number = number_;
  return BP_OK;
}

bool Requester::is_somebody_there() const noexcept { return has_subscriber(*channel_); }

bool Requester::is_who_was_asked_there() const noexcept {
  return is_somebody_there() && channel_->memory().joins == asked_;
}

bp_status Requester::receive(std::int64_t deadline_ns, bp_response& out, bp_error* error) {
  bp_sample sample{};
  const std::uint64_t before = passed_over_;
  for (;;) {
    // Before the last look at what was answered. With nothing to wait for what came too late is
    // passed over, so that its descriptor is not readable for ever.
    const bool may_come = !outstanding_.empty() && is_who_was_asked_there();
    const std::int64_t until =
        may_come && !is_any_lost() ? earlier(monotonic_now() + kBetweenLooks, deadline_ns) : kPast;
    const bp_status status = answers_->receive(until, sample, error);
    if (status == BP_DEADLINE_EXCEEDED) {
      if (outstanding_.empty()) {
        return set_error(error, BP_FAILED_PRECONDITION,
                         "nothing was asked at " + channel_->segment().name() +
                             " that has no answer: send first");
      }
      if (is_any_lost()) {
        has_forgotten_ = true;
        const std::size_t lost = std::erase_if(
            outstanding_, [](const Outstanding& each) { return each.is_perhaps_lost; });
        return set_error(error, BP_DATA_LOSS,
                         std::to_string(lost) + " answers of " + channel_->segment().name() +
                             " were lost, perhaps: more came than were waited for");
      }
      if (!may_come) {
        has_forgotten_ = true;
        outstanding_.clear();
        return set_error(error, BP_UNAVAILABLE,
                         "who was asked at " + channel_->segment().name() +
                             " is gone; it may have done what was asked");
      }
      if (is_over(deadline_ns)) return status;
      continue;
    }
    if (status < 0) return status;
    kill_point("answer found");
    // Perhaps what nobody waits for: what has come is looked at first.
    for (Outstanding& each : outstanding_) {
      each.is_perhaps_lost |= sample.lost != 0 && each.asked_at < sample.sequence;
    }
    RequestHead head{};
    if (split(sample, head) && head.requester == id_ && take(head.number())) {
      if (head.mark() != RequestHead::kGivenBack) {
        out = {sample.data, sample.size, head.number(), sample.slot,
               std::exchange(passed_over_, 0)};
        return BP_OK;
      }
      answers_->release(sample);
      out = {nullptr, 0, head.number(), 0, std::exchange(passed_over_, 0)};
      return set_error(error, BP_ABORTED,
                       "request " + std::to_string(head.number()) + " at " +
                           channel_->segment().name() + " was given back unanswered");
    }
    answers_->release(sample);
    if (++passed_over_ - before >= kMostPassedOver && is_over(deadline_ns)) {
      answers_->wake_itself();
      return set_error(error, BP_DEADLINE_EXCEEDED,
                       "no answer came in time, but " + std::to_string(passed_over_ - before) +
                           " that nobody waits for");
    }
  }
}

void Requester::release(const bp_response& response) noexcept {
  bp_sample sample{};
  sample.slot = response.slot;
  answers_->release(sample);
  kill_point("answer returned");
}

bool Requester::is_any_lost() const noexcept {
  return std::any_of(outstanding_.begin(), outstanding_.end(),
                     [](const Outstanding& each) { return each.is_perhaps_lost; });
}

bool Requester::take(std::uint64_t number) noexcept {
  return std::erase_if(outstanding_,
                       [number](const Outstanding& each) { return each.number == number; }) != 0;
}

bool Requester::forget(std::uint64_t number) noexcept {
  const bool was_waited_for = take(number);
  has_forgotten_ = has_forgotten_ || was_waited_for;
  return was_waited_for;
}

}  // namespace backplane::kernel
