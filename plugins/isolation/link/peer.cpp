// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/link/peer.hpp"

#include "plugins/isolation/link/remote_endpoint.hpp"
#include "plugins/isolation/link/served.hpp"
#include <backplane/sdk/boundary.hpp>

#include <utility>

namespace backplane::isolation {
namespace {

/// Messages of one stream between the two sides.
constexpr uint32_t kWindow = 256;
/// Bytes that the other side may leave untaken before operations are refused.
constexpr size_t kMostWaiting = kMostFrameBytes;

uint32_t add_credit(uint32_t credit, uint32_t n) noexcept {
  return n > UINT32_MAX - credit ? UINT32_MAX : credit + n;
}

}  // namespace

Peer::Peer(const Host& host, PeerUser& user, std::string prefix, uint32_t generation)
    : host_(host), user_(user), prefix_(std::move(prefix)), generation_(generation) {
  state_.lock()->last_number = uint64_t{generation} << 40;
}

Peer::~Peer() = default;

void Peer::start(std::unique_ptr<Channel> channel) {
  channel_ = std::move(channel);
  channel_->start(*this);
}

void Peer::close(const Status& why) noexcept {
  State ended;
  {
    auto state = state_.lock();
    if (!state->alive) {
      return;
    }
    state->alive = false;
    state->why = why;
    ended.asked = std::exchange(state->asked, {});
    ended.served = state->served;
    ended.opened = std::exchange(state->opened, {});
    ended.shown = std::exchange(state->shown, {});
  }
  if (channel_ != nullptr) {
    channel_->stop();
  }
  for (auto& entry : ended.asked) {
    const Asked& asked = entry.second;
    if (asked.op == nullptr) {
      boundary([&] { asked.answer(nullptr, why); }, [](const Status&) noexcept {});
      continue;
    }
    const bp_status status = asked.ended < 0 ? asked.ended : why.to(asked.op->error);
    service().complete(host_.raw(), asked.op, status);
  }
  for (auto& [number, opened] : ended.opened) {
    for (const auto& waiting : opened.waiting) {
      forget(waiting->number);
    }
    close(opened.ref);
  }
  for (auto& [number, served] : ended.served) {
    served->cancel();
  }
  for (auto& [number, ref] : ended.shown) {
    close(ref);
  }
}

void Peer::when_idle(std::function<void()> callback) {
  {
    auto state = state_.lock();
    if (!idle()) {
      state->when_idle = std::move(callback);
      return;
    }
  }
  callback();
}

void Peer::served_ended() {
  std::function<void()> callback;
  {
    auto state = state_.lock();
    if (serving_.fetch_sub(1, std::memory_order_acq_rel) != 1) {
      return;
    }
    callback = std::exchange(state->when_idle, {});
  }
  if (callback) {
    callback();
  }
}

// ---------------------------------------------------------------- asking

uint64_t Peer::ask(const Fill& fill, Answer answer, size_t words) {
  FrameBuilder frame(words);
  Outgoing with(*this);
  uint64_t number = 0;
  {
    auto state = state_.lock();
    if (!state->alive) {
      throw Error(state->why);
    }
    number = ++state->last_number;
  }
  fill(frame.root(), number, with);
  {
    auto state = state_.lock();
    if (!state->alive) {
      throw Error(state->why);
    }
    Asked asked;
    asked.answer = std::move(answer);
    state->asked.emplace(number, std::move(asked));
  }
  send_asked(number, frame, with);
  return number;
}

void Peer::send_asked(uint64_t number, FrameBuilder& frame, Outgoing& with) {
  try {
    channel_->send(frame.message(), with.descriptors());
    with.sent();
  } catch (...) {
    // Whoever takes it out completes it: who has asked, when it was not the end.
    const auto taken_back = state_.lock()->asked.extract(number);
    if (!taken_back.empty()) {
      throw;
    }
  }
}

void Peer::tell(FrameBuilder& frame) { channel_->send(frame.message(), {}); }

void Peer::tell_log(uint32_t level, std::string_view message, std::span<const bp_pair> fields) {
  std::vector<bp_pair> shown(fields.begin(), fields.end());
  for (bp_pair& field : shown) {  // what is told of it is its number
    if (field.val.tag == BP_T_REF || field.val.tag == BP_T_FD) {
      field.val.tag = BP_T_INT;
    }
  }
  FrameBuilder frame;
  Outgoing with(*this);
  auto log = frame.root().initLog();
  log.setLevel(level);
  log.setMessage(to_data(message));
  write(log.initFields(static_cast<unsigned>(shown.size())), shown, with);
  channel_->send(frame.message(), {});
}

void Peer::wait_on_loop(uint64_t number) {
  channel_->receive_until([&](wire::Frame::Reader frame) {
    return frame.which() == wire::Frame::COMPLETE && frame.getComplete().getOp() == number;
  });
}

void Peer::answer(uint64_t number, const Status& status, ValueView body) {
  FrameBuilder frame;
  Outgoing with(*this);
  auto complete = frame.root().initComplete();
  bp_error error{};
  complete.setOp(number);
  write_failure(complete, status.to(&error), &error);
  write(complete.initMessage().initBody(), body, with);
  channel_->send(frame.message(), with.descriptors());
  with.sent();
}

void Peer::answer_failure(uint64_t number, bp_status status, const bp_error* error) {
  FrameBuilder frame;
  auto complete = frame.root().initComplete();
  complete.setOp(number);
  write_failure(complete, status, error);
  channel_->send(frame.message(), {});
}

uint64_t Peer::send_open(std::string_view address, const bp_message* options, bp_op* op,
                         Answer answer) {
  const size_t words = (options != nullptr ? words_for(*options) : 0) + address.size() / 8 + 64;
  return ask(
      [&](wire::Frame::Builder frame, uint64_t number, Outgoing& with) {
        auto open = frame.initOpen();
        open.setOp(number);
        open.setAddress(to_data(address));
        if (options != nullptr) {
          write(open.initOptions(), *options, with);
        }
        if (op != nullptr) {
          op->impl[0] = number;
        }
      },
      std::move(answer), words);
}

Status Peer::open(std::string_view address, const bp_message* options, bp_op* op, bp_endpoint* out,
                  PeerSource source) {
  OwnedMessage kept_options{MessageView(options)};
  Answer finish = [self = shared_from_this(), op, out, source = std::move(source),
                   address = std::string(address), kept_options = std::move(kept_options)](
                      const Answered* answer, const Status& failure) {
    const bp_status status = boundary(op->error, [&]() -> bp_status {
      if (answer == nullptr) {
        return failure.to(op->error);
      }
      if (answer->frame.getStatus() != BP_OK) {
        return read_failure(answer->frame, op->error);
      }
      const auto verbs = static_cast<uint32_t>(answer->frame.getMessage().getBody().getBits());
      *out = RemoteEndpoint::as_endpoint(
          std::make_shared<RemoteEndpoint>(self, answer->frame.getOp(), address, kept_options,
                                           source),
          verbs);
      return BP_OK;
    });
    self->service().complete(self->host_.raw(), op, status);
  };
  send_open(address, options, op, std::move(finish));
  return Status::pending();
}

uint64_t Peer::open_again(std::string_view address, const bp_message* options,
                          std::function<void(uint64_t)> failed) {
  return send_open(address, options, nullptr,
                   [failed = std::move(failed)](const Answered* answer, const Status&) {
                     if (answer != nullptr && answer->frame.getStatus() < 0) {
                       failed(answer->frame.getOp());
                     }
                   });
}

bp_status Peer::submit(bp_op* op, uint64_t target, bool opened) {
  FrameBuilder frame((op->in != nullptr ? words_for(*op->in) : 0) + 64);
  Outgoing with(*this);
  auto submit = frame.root().initSubmit();
  submit.setTarget(target);
  submit.setOpened(opened);
  submit.setVerb(op->verb);
  submit.setFlags(op->flags);
  submit.setDeadline(op->deadline_ns);
  if (op->in != nullptr) {
    write(submit.initMessage(), *op->in, with);
  }
  if (channel_->waiting() > kMostWaiting) {
    throw Error(BP_RESOURCE_EXHAUSTED,
                "the other process does not take what is sent to it: later again");
  }
  Asked asked;
  uint64_t number = 0;
  asked.op = op;
  asked.stream = op->verb == BP_V_WATCH || op->verb == BP_V_BROWSE;
  if (asked.stream) {
    asked.untold = op->credit;
    submit.setCredit(take_credit(asked));
  }
  {
    auto state = state_.lock();
    if (!state->alive) {
      throw Error(state->why);
    }
    number = ++state->last_number;
    submit.setOp(number);
    op->impl[0] = number;
    state->asked.emplace(number, std::move(asked));
  }
  // From here on it may complete at any time.
  send_asked(number, frame, with);
  return BP_PENDING;
}

void Peer::cancel(uint64_t number) {
  {
    auto state = state_.lock();
    if (!state->alive || !state->asked.contains(number)) {
      return;
    }
  }
  FrameBuilder frame;
  frame.root().setCancel(number);
  channel_->send(frame.message(), {});
  user_.cancelling();
}

void Peer::ping(Answer answer) {
  ask([](wire::Frame::Builder frame, uint64_t number, Outgoing&) { frame.setPing(number); },
      std::move(answer));
}

// What may be told now, as far as the window goes.
uint32_t Peer::take_credit(Asked& asked) noexcept {
  if (asked.outstanding > kWindow / 2) {
    return 0;
  }
  const uint32_t n = std::min(asked.untold, kWindow - asked.outstanding);
  if (asked.untold != UINT32_MAX) {
    asked.untold -= n;
  }
  asked.outstanding += n;
  return n;
}

void Peer::tell_credit(uint64_t number, uint32_t n) {
  if (n == 0) {
    return;
  }
  FrameBuilder frame;
  auto credit = frame.root().initCredit();
  credit.setOp(number);
  credit.setN(n);
  channel_->send(frame.message(), {});
}

void Peer::credit(uint64_t number, uint32_t n) {
  uint32_t told = 0;
  {
    auto state = state_.lock();
    const auto found = state->asked.find(number);
    if (found == state->asked.end()) {
      return;
    }
    found->second.untold = add_credit(found->second.untold, n);
    told = take_credit(found->second);
  }
  tell_credit(number, told);
}

void Peer::acknowledge(uint64_t number, uint64_t seq, bp_status status) {
  FrameBuilder frame;
  auto acknowledge = frame.root().initAcknowledge();
  acknowledge.setOp(number);
  acknowledge.setSeq(seq);
  acknowledge.setStatus(status);
  channel_->send(frame.message(), {});
}

void Peer::release(uint64_t target, bool opened) {
  if (!opened) {
    --state_.lock()->imported;
  }
  FrameBuilder frame;
  auto release = frame.root().initRelease();
  release.setTarget(target);
  release.setOpened(opened);
  channel_->send(frame.message(), {});
}

// ---------------------------------------------------------------- references

Shown Peer::show(bp_ref ref) {
  if (ref == 0) {
    return {};
  }
  const uint32_t verbs = service().verbs(host_.raw(), ref);
  if (verbs == 0 || service().retain(host_.raw(), ref) < 0) {
    throw Error(BP_FAILED_PRECONDITION, "a reference in the message is closed");
  }
  bool full = false;
  {
    auto state = state_.lock();
    if (state->alive && state->shown.size() < kMost) {
      const uint64_t number = ++state->last_number;
      state->shown.emplace(number, ref);
      return {number, verbs};
    }
    full = state->alive;
  }
  close(ref);
  if (full) {
    throw Error(BP_RESOURCE_EXHAUSTED, "the other process holds ", kMost,
                " references already: those that came in results are closed with the endpoint "
                "that gave them");
  }
  return {};
}

void Peer::unshow(uint64_t number) noexcept {
  bp_ref ref = 0;
  {
    auto state = state_.lock();
    if (const auto found = state->shown.find(number); found != state->shown.end()) {
      ref = found->second;
      state->shown.erase(found);
    }
  }
  close(ref);
}

bp_ref Peer::take(Shown shown) {
  if (shown.number == 0) {
    return 0;
  }
  if (state_.lock()->imported++ >= kMost) {
    throw Error(BP_DATA_LOSS, "the other process shows too many references");
  }
  bp_endpoint endpoint = RemoteEndpoint::as_endpoint(
      std::make_shared<RemoteEndpoint>(shared_from_this(), shown.number), shown.verbs);
  bp_ref ref = 0;
  if (const bp_status status = service().adopt(host_.raw(), &endpoint, &ref); status < 0) {
    endpoint.ops->close(endpoint.self);
    throw Error(status, "a reference cannot be taken over");
  }
  return ref;
}

void Peer::close(bp_ref ref) noexcept {
  if (ref != 0) {
    service().close(host_.raw(), ref);
  }
}

}  // namespace backplane::isolation
