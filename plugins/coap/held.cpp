// SPDX-License-Identifier: Apache-2.0
#include "held.hpp"

namespace backplane::coap {

HeldRequests::HeldRequests(Stack& stack, const Options& options,
                           std::function<void(uint64_t)> timed_out)
    : stack_(stack), options_(options), timed_out_(std::move(timed_out)) {
  timer_.emplace(stack.host(), [this] {
    armed_ = false;
    expire();
  });
}

void HeldRequests::hold(uint64_t id, Asked asked) {
  const int64_t deadline = monotonic_ns() + options_.answer_timeout.count();
  coap_session_t* const session = asked.session;
  held_.emplace(id, Entry{std::move(asked), share(session)});
  deadlines_.emplace_back(deadline, id);
  if (!armed_) {
    armed_ = timer_->at(deadline).is_ok();
  }
}

std::optional<Asked> HeldRequests::take(uint64_t id) {
  const auto found = held_.find(id);
  if (found == held_.end()) {
    return std::nullopt;
  }
  Asked asked = std::move(found->second.asked);
  // The session outlives this turn of the loop: libcoap frees idle ones only when it reads.
  held_.erase(found);
  while (!deadlines_.empty() && held_.find(deadlines_.front().second) == held_.end()) {
    deadlines_.pop_front();
  }
  return asked;
}

void HeldRequests::send(const Asked& asked, const Answer& answer) {
  if (coap_session_get_state(asked.session) != COAP_SESSION_STATE_ESTABLISHED) {
    return;  // its DTLS has ended; the library would begin a handshake with the client now
  }
  const Stack::Entry entry(stack_);
  Pdu pdu(coap_new_pdu(asked.type, answer.code, asked.session));
  if (!pdu || coap_add_token(pdu.get(), asked.token.size(), asked.token.data()) == 0) {
    return;
  }
  answer_safely(stack_.host(), pdu.get(),
                [&] { write_answer(pdu.get(), answer, asked.wanted, asked.block1); });
  coap_send(asked.session, pdu.release());  // owns it, whatever it returns
}

std::vector<uint64_t> HeldRequests::ids() const {
  std::vector<uint64_t> ids;
  for (const auto& [id, entry] : held_) {
    ids.push_back(id);
  }
  return ids;
}

void HeldRequests::expire() {
  const int64_t now = monotonic_ns();
  while (!deadlines_.empty() && deadlines_.front().first <= now) {
    const uint64_t id = deadlines_.front().second;
    deadlines_.pop_front();
    if (held_.count(id) != 0) {
      timed_out_(id);
    }
  }
  if (!deadlines_.empty() && timer_) {
    armed_ = timer_->at(deadlines_.front().first).is_ok();
  }
}

}  // namespace backplane::coap
