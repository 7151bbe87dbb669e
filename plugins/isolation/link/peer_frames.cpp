// SPDX-License-Identifier: Apache-2.0
// What a peer does with the frames that come.
#include "plugins/isolation/link/peer.hpp"
#include "plugins/isolation/link/remote_endpoint.hpp"
#include "plugins/isolation/link/served.hpp"
#include <backplane/sdk/boundary.hpp>

#include <utility>

namespace backplane::isolation {

void Peer::received(wire::Frame::Reader frame, std::span<UniqueFd> descriptors) {
  switch (frame.which()) {
    case wire::Frame::SUBMIT:
      return on_submit(frame.getSubmit(), descriptors);
    case wire::Frame::COMPLETE:
      return on_complete(frame.getComplete(), descriptors);
    case wire::Frame::DELIVER:
      return on_deliver(frame.getDeliver(), descriptors);
    case wire::Frame::CREDIT:
      if (const auto served = find_served(frame.getCredit().getOp())) {
        served->credit(frame.getCredit().getN());
      }
      return;
    case wire::Frame::ACKNOWLEDGE: {
      const auto acknowledge = frame.getAcknowledge();
      if (const auto served = find_served(acknowledge.getOp())) {
        served->acknowledge(acknowledge.getSeq(), acknowledge.getStatus());
      }
      return;
    }
    case wire::Frame::CANCEL:
      if (const auto served = find_served(frame.getCancel())) {
        served->cancel();
      }
      return;
    case wire::Frame::OPEN:
      return on_open(frame.getOpen(), descriptors);
    case wire::Frame::RELEASE:
      return on_release(frame.getRelease());
    case wire::Frame::PING:
      return answer(frame.getPing(), Status());
    default:
      return user_.received(frame);
  }
}

std::shared_ptr<Served> Peer::find_served(uint64_t number) {
  auto state = state_.lock();
  const auto found = state->served.find(number);
  return found == state->served.end() ? nullptr : found->second;
}

void Peer::forget(uint64_t number) { state_.lock()->served.erase(number); }

std::shared_ptr<Served> Peer::admit(uint64_t number) {
  auto served = std::make_shared<Served>(shared_from_this(), number);
  auto state = state_.lock();
  if (state->served.size() >= kMost || !state->served.emplace(number, served).second) {
    state.unlock();
    throw Error(BP_DATA_LOSS,
                "the other process uses the number of an operation twice, or has more "
                "than ",
                kMost, " under way");
  }
  return served;
}

/// Reads what an operation is asked with; when that fails, it never begins.
template <class Read>
void Peer::read_for(Served& served, Read read) {
  try {
    read();
  } catch (...) {
    forget(served.number);
    throw;
  }
}

void Peer::on_submit(wire::Submit::Reader in, std::span<UniqueFd> descriptors) {
  const std::shared_ptr<Served> served = admit(in.getOp());
  bp_op* const op = served->op();
  op->verb = in.getVerb();
  op->flags = in.getFlags();
  op->credit = in.getCredit();
  op->deadline_ns = in.getDeadline();
  if (op->verb != BP_V_WATCH && op->verb != BP_V_BROWSE) {
    op->sink = nullptr;
  }
  read_for(*served, [&] {
    if (in.hasMessage()) {
      Incoming with(*this, descriptors);
      served->set_message(in.getMessage(), with);
    }
  });
  bp_ref target = 0;
  {
    auto state = state_.lock();
    if (!in.getOpened()) {
      const auto shown = state->shown.find(in.getTarget());
      target = shown == state->shown.end() ? 0 : shown->second;
    } else if (const auto opened = state->opened.find(in.getTarget());
               opened != state->opened.end()) {
      target = opened->second.ref;
      if (target == 0) {
        opened->second.waiting.push_back(served);
        return;
      }
    }
  }
  // None: it was closed, or its open has failed, which crosses with this.
  if (target == 0) {
    bp_error error{};
    const Status status(BP_UNAVAILABLE, "it is not open in the other process any more");
    return served->refuse(status.to(&error), &error);
  }
  served->submit(target);
}

void Peer::on_complete(wire::Complete::Reader in, std::span<UniqueFd> descriptors) {
  Asked asked;
  {
    auto state = state_.lock();
    const auto found = state->asked.find(in.getOp());
    if (found == state->asked.end()) {
      return;
    }
    asked = std::move(found->second);
    state->asked.erase(found);
  }
  if (asked.op != nullptr) {
    return complete_operation(asked, in, descriptors);
  }
  const Answered answer{in, descriptors};
  asked.answer(&answer, Status());
}

void Peer::complete_operation(Asked& asked, wire::Complete::Reader in,
                              std::span<UniqueFd> descriptors) {
  bp_op* const op = asked.op;
  bp_status status = BP_OK;
  const auto fill = [&] {
    status = read_failure(in, op->error);
    if (!in.hasMessage()) {
      return;
    }
    Incoming with(*this, descriptors);
    const detail::TreeSize size = measure(in.getMessage());
    if (size.descriptors == 0 && size.bytes <= op->scratch_len) {
      op->out = TreeReader(static_cast<std::byte*>(op->scratch), {}, with).message(in.getMessage());
    } else {
      ReadMessage read_out = read(in.getMessage(), with);
      op->out = read_out.message;
      op->out.owner = read_out.memory.release();
    }
    std::vector<bp_ref> refs = with.keep();
    const bool owned =
        (op->flags & BP_OP_DUPLEX) != 0 && status == BP_OK && op->out.body.tag == BP_T_REF;
    if (owned) {
      std::erase(refs, op->out.body.as.u);
    }
    if (!refs.empty()) {
      static_cast<RemoteEndpoint*>(op->self)->keep(std::move(refs));
    }
  };
  bp_error problem{};
  const bp_status malformed = boundary(&problem, fill);
  if (malformed < 0) {
    status = malformed;
    if (op->error != nullptr) {
      *op->error = problem;
    }
  }
  service().complete(host_.raw(), op, asked.ended < 0 ? asked.ended : status);
  if (malformed < 0) {
    throw Error(Status::from(malformed, problem));
  }
}

void Peer::on_deliver(wire::Deliver::Reader in, std::span<UniqueFd> descriptors) {
  const auto list = in.getMessages();
  bp_op* op = nullptr;
  {
    auto state = state_.lock();
    const auto found = state->asked.find(in.getOp());
    if (found == state->asked.end()) {
      return;
    }
    Asked& asked = found->second;
    if (!asked.stream || list.size() > asked.outstanding) {
      throw Error(BP_DATA_LOSS, "more messages of a stream than it has credit for");
    }
    asked.outstanding -= list.size();
    if (asked.ended < 0) {
      return;
    }
    op = asked.op;
  }
  Incoming with(*this, descriptors);
  detail::TreeSize size;
  for (const auto message : list) {
    size += measure(message);
  }
  Buffer memory;
  if (size.bytes != 0 || size.descriptors != 0) {
    memory = Buffer::make(size.bytes, size.descriptors);
  }
  std::vector<bp_message> messages(list.size());
  TreeReader reader(memory.data(), memory ? memory.descriptors() : std::span<int>(), with);
  for (unsigned i = 0; i < list.size(); ++i) {
    messages[i] = reader.message(list[i]);
    messages[i].owner = memory.get();
  }
  const bp_status status = service().deliver(host_.raw(), op, messages.data(), list.size());
  if (status == BP_PENDING) {
    throw Error(BP_DATA_LOSS, "more messages of a stream than its consumer has granted");
  }
  uint32_t told = 0;
  {
    auto state = state_.lock();
    const auto found = state->asked.find(in.getOp());
    if (found == state->asked.end()) {
      return;
    }
    if (status < 0) {
      found->second.ended = status;
    } else {
      told = take_credit(found->second);
    }
  }
  if (status < 0) {
    cancel(in.getOp());
  }
  tell_credit(in.getOp(), told);
}

void Peer::on_open(wire::Open::Reader in, std::span<UniqueFd> descriptors) {
  const std::shared_ptr<Served> served = admit(in.getOp());
  std::string address;
  read_for(*served, [&] {
    address = concat(prefix_, to_view(in.getAddress()));
    if (in.hasOptions()) {
      Incoming with(*this, descriptors);
      served->set_message(in.getOptions(), with);
    }
    auto state = state_.lock();
    if (state->opened.size() >= kMost || !state->opened.emplace(in.getOp(), Opened{}).second) {
      state.unlock();
      throw Error(BP_DATA_LOSS, "the other process opens more than ", kMost, " endpoints");
    }
  });
  served->open(address);
}

void Peer::opened(Served& served, bp_status status) {
  const bp_ref ref = status == BP_OK ? served.op()->out.body.as.u : 0;
  if (status < 0) {
    answer_failure(served.number, status, &served.error());
  } else {
    boundary(nullptr, [&] {
      answer(served.number, Status(), ValueView(service().verbs(host_.raw(), ref)));
    });
  }
  // What has waited goes first: `ref` shows once nothing waits any more.
  for (;;) {
    std::vector<std::shared_ptr<Served>> waiting;
    bool wanted = false;
    {
      auto state = state_.lock();
      if (const auto found = state->opened.find(served.number); found != state->opened.end()) {
        wanted = ref != 0;
        waiting = std::exchange(found->second.waiting, {});
        if (ref == 0) {
          state->opened.erase(found);
        } else if (waiting.empty()) {
          found->second.ref = ref;
          return;
        }
      }
    }
    for (const auto& each : waiting) {
      status < 0 ? each->refuse(status, &served.error()) : each->submit(ref);
    }
    if (!wanted) {
      return close(ref);
    }
  }
}

void Peer::on_release(wire::Release::Reader in) {
  if (!in.getOpened()) {
    return unshow(in.getTarget());
  }
  Opened closed;
  {
    auto state = state_.lock();
    if (const auto found = state->opened.find(in.getTarget()); found != state->opened.end()) {
      closed = std::move(found->second);
      state->opened.erase(found);
    }
  }
  for (const auto& waiting : closed.waiting) {
    waiting->refuse(BP_CANCELLED, nullptr);
  }
  close(closed.ref);
}

}  // namespace backplane::isolation
