// SPDX-License-Identifier: Apache-2.0
// Operations through the kernel: completed exactly once on every path, cancelled, out of time,
// streamed on credit.
#include "support/eventually.hpp"
#include "support/scripted_plugin.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace backplane::test {
namespace {

using namespace std::chrono_literals;

class Dispatch : public ::testing::Test {
 protected:
  Dispatch() { EXPECT_EQ(sut.start(), BP_OK); }

  // An operation whose completions are counted.
  bp_op* counted(std::uint16_t verb, bp_ref target) {
    bp_op* const op = sut.new_op(verb, target);
    op->user = &done;
    op->done = [](bp_op* finished) { ++*static_cast<std::atomic<int>*>(finished->user); };
    return op;
  }

  void complete(bp_op* op, bp_status status) { sut.service->complete(script.host, op, status); }

  Script script;
  ScriptedKernel sut;
  std::atomic<int> done{0};
};

TEST_F(Dispatch, ReturnsAnInlineResultAndDoesNotCallDone) {
  script.submit = [](bp_op* op) {
    op->out.body.tag = BP_T_INT;
    op->out.body.as.i = 42;
    return BP_OK;
  };
  bp_op* const op = counted(BP_V_READ, sut.open("it:x"));
  EXPECT_EQ(sut.submit(op), BP_OK);
  EXPECT_EQ(op->status, BP_OK);
  EXPECT_EQ(op->out.body.as.i, 42);
  EXPECT_EQ(done, 0);
  sut.free_op(op);
}

TEST_F(Dispatch, ForgetsTheResultOfTheOperationBefore) {
  int calls = 0;
  script.submit = [&](bp_op* op) {
    if (calls++ == 0) op->out.body.tag = BP_T_INT;
    return BP_OK;
  };
  bp_op* const op = counted(BP_V_READ, sut.open("it:x"));
  sut.submit(op);
  EXPECT_EQ(sut.submit(op), BP_OK);
  EXPECT_EQ(op->out.body.tag, BP_T_NULL);
  sut.free_op(op);
}

TEST_F(Dispatch, RefusesAVerbThatTheEndpointDoesNotHave) {
  script.open = [](std::string_view, bp_op*, bp_endpoint* out) {
    *out = Script::endpoint(nullptr, BP_VERB_BIT(BP_V_READ));
    return BP_OK;
  };
  const bp_ref ref = sut.open("it:x");
  for (const unsigned verb : {BP_V_WRITE, 7u, 0u, 31u, 32u, 0xffffu}) {
    bp_op* const op = counted(static_cast<std::uint16_t>(verb), ref);
    bp_error error{};
    op->error = &error;
    EXPECT_EQ(sut.submit(op), BP_UNIMPLEMENTED) << verb;
    EXPECT_EQ(error.code, BP_UNIMPLEMENTED);
    sut.free_op(op);
  }
  EXPECT_EQ(done, 0);
}

TEST_F(Dispatch, SaysWhatIsPossibleInstead) {
  script.open = [](std::string_view, bp_op*, bp_endpoint* out) {
    *out = Script::endpoint(nullptr, BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WATCH));
    return BP_OK;
  };
  const bp_ref ref = sut.open("it:x");
  const auto refusal = [&](std::uint16_t verb, std::uint16_t flags) {
    bp_op* const op = counted(verb, ref);
    op->flags = flags;
    bp_error error{};
    op->error = &error;
    EXPECT_EQ(sut.submit(op), BP_UNIMPLEMENTED);
    sut.free_op(op);
    return std::string(error.message, error.message_len);
  };
  const std::string possible = " is not possible here, or was not granted; possible: read, watch";
  EXPECT_EQ(refusal(BP_V_WRITE, 0), "write" + possible);
  EXPECT_EQ(refusal(BP_V_WATCH, BP_OP_ACK), "watch with BP_OP_ACK" + possible);
  EXPECT_EQ(refusal(BP_V_CALL, BP_OP_DUPLEX), "call with BP_OP_DUPLEX" + possible);
  EXPECT_EQ(refusal(BP_V_READ, 64), "verb 1 with flags 64, unknown to this kernel," + possible);
}

/// A verb with flags, on an endpoint that has everything.
struct Flagged {
  std::uint16_t verb;
  std::uint16_t flags;
};

TEST_F(Dispatch, RefusesAFlagThatIsUnknownOrHasNoMeaningForTheVerb) {
  int seen = 0;
  script.submit = [&](bp_op*) {
    ++seen;
    return BP_OK;
  };
  const bp_ref ref = sut.open("it:x");
  for (const Flagged& each : {Flagged{BP_V_READ, BP_OP_ACK}, Flagged{BP_V_WRITE, BP_OP_DUPLEX},
                              Flagged{BP_V_CALL, BP_OP_ACK}, Flagged{BP_V_WATCH, BP_OP_DUPLEX},
                              Flagged{BP_V_SERVE, BP_OP_ACK}, Flagged{BP_V_BROWSE, BP_OP_ACK},
                              Flagged{BP_V_CALL, BP_OP_ACK | BP_OP_DUPLEX}, Flagged{BP_V_READ, 4},
                              Flagged{BP_V_WATCH, BP_OP_ACK | 0x8000}, Flagged{17, 0},
                              Flagged{16, 0}, Flagged{16, BP_OP_ACK}}) {
    bp_op* const op = counted(each.verb, ref);
    op->flags = each.flags;
    EXPECT_EQ(sut.submit(op), BP_UNIMPLEMENTED) << each.verb << " " << each.flags;
    sut.free_op(op);
  }
  EXPECT_EQ(seen, 0) << "no endpoint has to check";
}

TEST_F(Dispatch, PassesAFlagOnlyToAnEndpointThatHasItForTheVerb) {
  std::uint32_t abilities = 0;
  script.open = [&](std::string_view, bp_op*, bp_endpoint* out) {
    *out = Script::endpoint(nullptr, abilities);
    return BP_OK;
  };
  const bp_sink sink = {BP_SIZE_TO(bp_sink, next), 0,
                        [](bp_op*, const bp_message*, std::uint32_t) { return BP_OK; }};
  const auto submitted = [&](std::uint32_t having, std::uint16_t verb, std::uint16_t flags) {
    abilities = having;
    const bp_ref ref = sut.open("it:x");
    bp_op* const op = counted(verb, ref);
    op->flags = flags;
    op->sink = &sink;
    const bp_status status = sut.submit(op);
    sut.free_op(op);
    sut.service->close(sut.host, ref);
    return status;
  };
  EXPECT_EQ(submitted(BP_CAN_ACK, BP_V_WATCH, BP_OP_ACK), BP_OK);
  EXPECT_EQ(submitted(BP_VERB_BIT(BP_V_WATCH), BP_V_WATCH, BP_OP_ACK), BP_UNIMPLEMENTED);
  EXPECT_EQ(submitted(BP_CAN_ACK, BP_V_WATCH, 0), BP_UNIMPLEMENTED);
  EXPECT_EQ(submitted(BP_CAN_DUPLEX, BP_V_CALL, BP_OP_DUPLEX), BP_OK);
  EXPECT_EQ(submitted(BP_VERB_BIT(BP_V_CALL), BP_V_CALL, BP_OP_DUPLEX), BP_UNIMPLEMENTED);
  EXPECT_EQ(submitted(BP_CAN_DUPLEX, BP_V_CALL, 0), BP_UNIMPLEMENTED);
}

TEST_F(Dispatch, AnAcknowledgedWatchNeedsASinkToo) {
  bp_op* const op = counted(BP_V_WATCH, sut.open("it:x"));
  op->flags = BP_OP_ACK;
  EXPECT_EQ(sut.submit(op), BP_INVALID_ARGUMENT);
  sut.free_op(op);
}

TEST_F(Dispatch, RefusesAnOpenWithFlags) {
  bp_op* const op = counted(0, 0);
  op->flags = BP_OP_DUPLEX;
  EXPECT_EQ(sut.service->open(sut.host, BP_STR("it:x"), nullptr, op), BP_UNIMPLEMENTED);
  sut.free_op(op);
}

TEST_F(Dispatch, TellsWhatCanBeDoneWithAReference) {
  const bp_ref ref = sut.open("it:x");
  const std::uint32_t everything = 0x7eu | BP_CAN_ACK | BP_CAN_DUPLEX;
  EXPECT_EQ(sut.service->verbs(sut.host, ref), everything) << "and nothing that nobody knows";
  sut.service->close(sut.host, ref);
  EXPECT_EQ(sut.service->verbs(sut.host, ref), 0U);
  EXPECT_EQ(sut.service->verbs(sut.host, 0), 0U);
}

TEST_F(Dispatch, RefusesAReferenceThatWasClosedOrNeverWas) {
  const bp_ref ref = sut.open("it:x");
  sut.service->close(sut.host, ref);
  for (const bp_ref stale : {ref, bp_ref{0}, bp_ref{12345}, ~bp_ref{0}}) {
    bp_op* const op = counted(BP_V_READ, stale);
    EXPECT_EQ(sut.submit(op), BP_FAILED_PRECONDITION);
    sut.free_op(op);
  }
  EXPECT_TRUE(eventually([&] { return script.closed == 1; }));
}

TEST_F(Dispatch, DoesNotReuseAReference) {
  const bp_ref first = sut.open("it:x");
  sut.service->close(sut.host, first);
  ASSERT_TRUE(eventually([&] { return script.closed == 1; }));
  const bp_ref second = sut.open("it:x");
  EXPECT_NE(first, second);
  EXPECT_EQ(static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(second))
      << "the slot is used again";
  EXPECT_EQ(sut.service->retain(sut.host, first), BP_FAILED_PRECONDITION);
  EXPECT_EQ(sut.service->retain(sut.host, second), BP_OK);
}

TEST_F(Dispatch, CompletesAPendingOperationOnceByDone) {
  bp_op* seen = nullptr;
  script.submit = [&](bp_op* op) {
    seen = op;
    return BP_PENDING;
  };
  bp_op* const op = counted(BP_V_CALL, sut.open("it:x"));
  EXPECT_EQ(sut.submit(op), BP_PENDING);
  EXPECT_EQ(done, 0);
  complete(seen, BP_NOT_FOUND);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(op->status, BP_NOT_FOUND);
  complete(seen, BP_OK);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(op->status, BP_NOT_FOUND);
  EXPECT_EQ(sut.logged("breach of the ABI contract: complete()"), 1);
  sut.free_op(op);
}

TEST_F(Dispatch, RunsDoneOnceWhenAnEndpointCompletesInsideSubmit) {
  script.submit = [&](bp_op* op) {
    complete(op, BP_OK);
    EXPECT_EQ(done, 0) << "the endpoint is still on the stack";
    return BP_PENDING;
  };
  bp_op* const op = counted(BP_V_CALL, sut.open("it:x"));
  EXPECT_EQ(sut.submit(op), BP_PENDING);
  EXPECT_EQ(done, 1);
  sut.free_op(op);
}

TEST_F(Dispatch, NoticesAnEndpointThatCompletesTwiceOver) {
  script.submit = [&](bp_op* op) {
    complete(op, BP_OK);
    return BP_NOT_FOUND;  // and inline too
  };
  bp_op* const op = counted(BP_V_CALL, sut.open("it:x"));
  EXPECT_EQ(sut.submit(op), BP_NOT_FOUND);
  EXPECT_EQ(done, 0);
  EXPECT_EQ(sut.logged("breach"), 1);
  sut.free_op(op);
}

TEST_F(Dispatch, MayFreeOrResubmitInsideDone) {
  std::vector<bp_op*> pending;
  script.submit = [&](bp_op* op) {
    pending.push_back(op);
    return BP_PENDING;
  };
  struct Again {
    ScriptedKernel* kernel;
    int left;
  } again{&sut, 3};
  bp_op* const op = sut.new_op(BP_V_CALL, sut.open("it:x"));
  op->user = &again;
  op->done = [](bp_op* finished) {
    auto* state = static_cast<Again*>(finished->user);
    if (state->left-- > 0) {
      EXPECT_EQ(state->kernel->submit(finished), BP_PENDING);
    } else {
      state->kernel->free_op(finished);
    }
  };
  sut.submit(op);
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_EQ(pending.size(), i + 1);
    complete(pending[i], BP_OK);
  }
  EXPECT_EQ(again.left, -1);
}

TEST_F(Dispatch, AsksTheEndpointToCancelAndStillCompletesOnce) {
  script.submit = [](bp_op*) { return BP_PENDING; };
  script.cancel = [&](bp_op* op) { complete(op, BP_CANCELLED); };
  bp_op* const op = counted(BP_V_CALL, sut.open("it:x"));
  sut.submit(op);
  sut.service->cancel(sut.host, op);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(op->status, BP_CANCELLED);
  sut.service->cancel(sut.host, op);
  EXPECT_EQ(done, 1);
  sut.free_op(op);
}

TEST_F(Dispatch, PassesOnACancelThatCameWhileSubmitWasRunning) {
  int cancels = 0;
  bool inside = false;
  script.submit = [&](bp_op* op) {
    inside = true;
    std::thread([&] { sut.service->cancel(sut.host, op); }).join();
    EXPECT_EQ(cancels, 0) << "the endpoint does not know the operation yet";
    inside = false;
    return BP_PENDING;
  };
  script.cancel = [&](bp_op* op) {
    EXPECT_FALSE(inside);
    ++cancels;
    complete(op, BP_CANCELLED);
  };
  bp_op* const op = counted(BP_V_CALL, sut.open("it:x"));
  EXPECT_EQ(sut.submit(op), BP_PENDING);
  EXPECT_EQ(cancels, 1);
  EXPECT_EQ(done, 1);
  sut.free_op(op);
}

TEST_F(Dispatch, StandsACancelDuringAnInlineOperation) {
  script.submit = [&](bp_op* op) {
    std::thread([&] { sut.service->cancel(sut.host, op); }).join();
    return BP_OK;
  };
  bp_op* const op = counted(BP_V_READ, sut.open("it:x"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sut.submit(op), BP_OK);
  EXPECT_EQ(done, 0);
  sut.free_op(op);
}

TEST_F(Dispatch, EndsAnOperationAtItsDeadline) {
  script.submit = [](bp_op*) { return BP_PENDING; };
  script.cancel = [&](bp_op* op) { complete(op, BP_CANCELLED); };
  bp_op* const op = counted(BP_V_CALL, sut.open("it:x"));
  bp_error error{};
  op->error = &error;
  op->deadline_ns = in(20ms);
  EXPECT_EQ(sut.submit(op), BP_PENDING);
  EXPECT_TRUE(eventually([&] { return done == 1; }));
  EXPECT_EQ(op->status, BP_DEADLINE_EXCEEDED);
  EXPECT_NE(error.flags & BP_ERROR_RETRY, 0u);
  sut.free_op(op);
}

TEST_F(Dispatch, EndsOperationsInTheOrderOfTheirDeadlines) {
  std::mutex mutex;
  std::vector<bp_op*> order;
  script.submit = [](bp_op*) { return BP_PENDING; };
  script.cancel = [&](bp_op* op) {
    {
      const std::lock_guard lock(mutex);
      order.push_back(op);
    }
    complete(op, BP_CANCELLED);
  };
  const bp_ref ref = sut.open("it:x");
  std::vector<bp_op*> ops;
  for (const auto delay : {60ms, 20ms, 40ms}) {
    ops.push_back(counted(BP_V_CALL, ref));
    ops.back()->deadline_ns = in(delay);
    sut.submit(ops.back());
  }
  ASSERT_TRUE(eventually([&] { return done == 3; }));
  EXPECT_EQ(order, (std::vector<bp_op*>{ops[1], ops[2], ops[0]}));
  for (bp_op* op : ops) sut.free_op(op);
}

TEST_F(Dispatch, RefusesAnOperationWhoseDeadlineHasPassed) {
  bool called = false;
  script.submit = [&](bp_op*) {
    called = true;
    return BP_OK;
  };
  bp_op* const op = counted(BP_V_READ, sut.open("it:x"));
  op->deadline_ns = 1;
  EXPECT_EQ(sut.submit(op), BP_DEADLINE_EXCEEDED);
  EXPECT_FALSE(called);
  sut.free_op(op);
}

TEST_F(Dispatch, KeepsTheRealResultOfAnOperationThatBeatsItsDeadline) {
  bp_op* seen = nullptr;
  script.submit = [&](bp_op* op) {
    seen = op;
    return BP_PENDING;
  };
  bp_op* const op = counted(BP_V_CALL, sut.open("it:x"));
  op->deadline_ns = in(10s);
  sut.submit(op);
  complete(seen, BP_OK);
  EXPECT_EQ(op->status, BP_OK);
  sut.free_op(op);
}

TEST_F(Dispatch, CloseCancelsWhatPendsAndTheEndpointClosesAfterIt) {
  std::vector<bp_op*> pending;
  script.submit = [&](bp_op* op) {
    pending.push_back(op);
    return BP_PENDING;
  };
  int cancels = 0;
  script.cancel = [&](bp_op*) { ++cancels; };
  const bp_ref ref = sut.open("it:x");
  bp_op* const a = counted(BP_V_CALL, ref);
  bp_op* const b = counted(BP_V_CALL, ref);
  sut.submit(a);
  sut.submit(b);
  sut.service->close(sut.host, ref);
  EXPECT_EQ(cancels, 2);
  EXPECT_EQ(script.closed, 0);
  complete(a, BP_CANCELLED);
  EXPECT_EQ(script.closed, 0);
  complete(b, BP_OK);
  EXPECT_EQ(done, 2);
  EXPECT_TRUE(eventually([&] { return script.closed == 1; }));
  sut.free_op(a);
  sut.free_op(b);
}

TEST_F(Dispatch, ARetainedReferenceOutlivesOneClose) {
  const bp_ref ref = sut.open("it:x");
  EXPECT_EQ(sut.service->retain(sut.host, ref), BP_OK);
  sut.service->close(sut.host, ref);
  bp_op* const op = counted(BP_V_READ, ref);
  EXPECT_EQ(sut.submit(op), BP_OK);
  sut.service->close(sut.host, ref);
  EXPECT_EQ(sut.submit(op), BP_FAILED_PRECONDITION);
  sut.free_op(op);
}

TEST_F(Dispatch, MayCloseTheReferenceInsideItsOwnDone) {
  struct Closing {
    ScriptedKernel* kernel;
    bp_ref ref;
    bool done = false;
  } closing{&sut, sut.open("it:x")};
  bp_op* seen = nullptr;
  script.submit = [&](bp_op* op) {
    seen = op;
    return BP_PENDING;
  };
  bp_op* const op = sut.new_op(BP_V_CALL, closing.ref);
  op->user = &closing;
  op->done = [](bp_op* finished) {
    auto* state = static_cast<Closing*>(finished->user);
    state->kernel->service->close(state->kernel->host, state->ref);
    state->done = true;
    state->kernel->free_op(finished);
  };
  sut.submit(op);
  complete(seen, BP_OK);
  EXPECT_TRUE(closing.done);
  EXPECT_TRUE(eventually([&] { return script.closed == 1; }));
}

// ---- streams ----

struct Stream {
  std::vector<std::uint64_t> seqs;
  std::function<bp_status(bp_op*)> on_next;
  std::atomic<int> ended{0};
};
constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0,
                           [](bp_op* op, const bp_message* messages, std::uint32_t n) -> bp_status {
                             auto* stream = static_cast<Stream*>(op->user);
                             EXPECT_EQ(stream->ended, 0) << "nothing comes after the end";
                             for (std::uint32_t i = 0; i < n; ++i)
                               stream->seqs.push_back(messages[i].seq);
                             return stream->on_next ? stream->on_next(op) : BP_OK;
                           }};

class DispatchStream : public Dispatch {
 protected:
  bp_op* watch(std::uint32_t credit) {
    script.submit = [this](bp_op* op) {
      source = op;
      return BP_PENDING;
    };
    bp_op* const op = sut.new_op(BP_V_WATCH, sut.open("it:x"));
    op->credit = credit;
    op->sink = &kSink;
    op->user = &stream;
    op->done = [](bp_op* finished) { ++static_cast<Stream*>(finished->user)->ended; };
    EXPECT_EQ(sut.submit(op), BP_PENDING);
    return op;
  }
  bp_status deliver(std::uint64_t first_seq, std::uint32_t n = 1) {
    std::vector<bp_message> messages(n);
    for (std::uint32_t i = 0; i < n; ++i) messages[i].seq = first_seq + i;
    return sut.service->deliver(script.host, source, messages.data(), n);
  }

  Stream stream;
  bp_op* source = nullptr;
};

TEST_F(DispatchStream, DeliversNoMoreThanTheCredit) {
  bp_op* const op = watch(2);
  EXPECT_EQ(deliver(1, 3), BP_PENDING);
  EXPECT_EQ(deliver(1, 2), BP_OK);
  EXPECT_EQ(deliver(3), BP_PENDING);
  std::uint32_t told = 0;
  script.credit = [&](bp_op*, std::uint32_t n) { told += n; };
  sut.service->credit(sut.host, op, 1);
  EXPECT_EQ(told, 1u);
  stream.on_next = [](bp_op*) { return BP_PENDING; };
  EXPECT_EQ(deliver(3), BP_OK) << "a sink has no third answer: PENDING is about credit alone";
  EXPECT_EQ(stream.seqs, (std::vector<std::uint64_t>{1, 2, 3}));
  complete(source, BP_OK);
  EXPECT_EQ(stream.ended, 1);
  sut.free_op(op);
}

TEST_F(DispatchStream, CreditSaturatesAtNoLimit) {
  bp_op* const op = watch(UINT32_MAX - 1);
  sut.service->credit(sut.host, op, 5);
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(deliver(i), BP_OK);
  complete(source, BP_OK);
  sut.free_op(op);
}

TEST_F(DispatchStream, ReturnsWhatTheConsumerSays) {
  bp_op* const op = watch(10);
  stream.on_next = [](bp_op*) { return BP_ABORTED; };
  EXPECT_EQ(deliver(1), BP_ABORTED);
  complete(source, BP_ABORTED);
  EXPECT_EQ(op->status, BP_ABORTED);
  sut.free_op(op);
}

TEST_F(DispatchStream, EndsAfterNextWhenItIsCancelledInsideIt) {
  bp_op* const op = watch(10);
  script.cancel = [&](bp_op* cancelled) { complete(cancelled, BP_CANCELLED); };
  stream.on_next = [&](bp_op* mine) {
    sut.service->cancel(sut.host, mine);
    EXPECT_EQ(stream.ended, 0) << "next is still running";
    return BP_OK;
  };
  EXPECT_EQ(deliver(1), BP_OK);
  EXPECT_EQ(stream.ended, 1);
  EXPECT_EQ(op->status, BP_CANCELLED);
  sut.free_op(op);
}

TEST_F(DispatchStream, PassesAcknowledgementsUntilTheEnd) {
  bp_op* const op = watch(10);
  std::vector<std::pair<std::uint64_t, bp_status>> acks;
  script.ack = [&](bp_op*, std::uint64_t seq, bp_status status) { acks.emplace_back(seq, status); };
  deliver(1, 2);
  sut.service->ack(sut.host, op, 2, BP_OK);
  sut.service->ack(sut.host, op, 1, BP_ABORTED);
  complete(source, BP_OK);
  sut.service->ack(sut.host, op, 1, BP_OK);
  sut.service->credit(sut.host, op, 1);
  EXPECT_EQ(acks, (std::vector<std::pair<std::uint64_t, bp_status>>{{2, BP_OK}, {1, BP_ABORTED}}));
  sut.free_op(op);
}

TEST_F(DispatchStream, RefusesAWatchWithoutASink) {
  bp_op* const op = sut.new_op(BP_V_WATCH, sut.open("it:x"));
  EXPECT_EQ(sut.submit(op), BP_INVALID_ARGUMENT);
  sut.free_op(op);
}

// ---- several at once ----

TEST_F(Dispatch, SubmitNTakesAPrefixAndTheRestOneAtATime) {
  std::vector<bp_op*> together;
  std::vector<bp_op*> alone;
  script.submit_n = [&](bp_op* const* ops, std::uint32_t n) {
    together.assign(ops, ops + std::min(n, 2u));
    return static_cast<std::uint32_t>(together.size());
  };
  script.submit = [&](bp_op* op) {
    alone.push_back(op);
    return BP_OK;
  };
  const bp_ref ref = sut.open("it:x");
  std::vector<bp_op*> ops;
  for (int i = 0; i < 4; ++i) ops.push_back(counted(BP_V_READ, i == 3 ? bp_ref{0} : ref));
  EXPECT_EQ(sut.service->submit_n(sut.host, ops.data(), 4), 4u);
  EXPECT_EQ(together, (std::vector<bp_op*>{ops[0], ops[1]}));
  EXPECT_EQ(alone, (std::vector<bp_op*>{ops[2]}));
  EXPECT_EQ(done, 2) << "the inline one and the refused one complete by done";
  EXPECT_EQ(ops[3]->status, BP_FAILED_PRECONDITION);
  for (bp_op* op : together) complete(op, BP_OK);
  EXPECT_EQ(done, 4);
  for (bp_op* op : ops) sut.free_op(op);
}

// Threads submit, cancel and complete at random; every operation is completed exactly once, every
// endpoint closed once.
TEST_F(Dispatch, CompletesEveryOperationOnceUnderRandomSchedules) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 400;
  std::mutex mutex;
  std::vector<bp_op*> pending;
  const auto finish_one = [&](std::size_t which) {
    bp_op* op = nullptr;
    {
      const std::lock_guard lock(mutex);
      if (pending.empty()) return;
      which %= pending.size();
      op = pending[which];
      pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(which));
    }
    complete(op, BP_OK);
  };
  script.submit = [&](bp_op* op) {
    const std::lock_guard lock(mutex);
    pending.push_back(op);
    return BP_PENDING;
  };
  script.cancel = [&](bp_op* op) {
    {
      const std::lock_guard lock(mutex);
      const auto found = std::find(pending.begin(), pending.end(), op);
      if (found == pending.end()) return;  // completing on another thread
      pending.erase(found);
    }
    complete(op, BP_CANCELLED);
  };
  std::atomic<int> completions{0};
  std::atomic<int> opened{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int round = 0; round < kRounds; ++round) {
        const bp_ref ref = sut.open("it:x");
        ++opened;
        bp_op* const op = sut.new_op(BP_V_CALL, ref);
        std::atomic<int> ends{0};
        op->user = &ends;
        op->done = [](bp_op* finished) { ++*static_cast<std::atomic<int>*>(finished->user); };
        if (random() % 4 == 0) op->deadline_ns = in(std::chrono::microseconds(random() % 300));
        const bp_status status = sut.submit(op);
        if (status == BP_PENDING) {
          if (random() % 3 == 0) sut.service->cancel(sut.host, op);
          if (random() % 3 == 0) sut.service->close(sut.host, ref);
          while (ends == 0) finish_one(random());
          EXPECT_EQ(ends, 1);
          ++completions;
        } else {
          EXPECT_EQ(status, BP_DEADLINE_EXCEEDED);
          EXPECT_EQ(ends, 0);
          ++completions;
        }
        sut.free_op(op);
        sut.service->close(sut.host, ref);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(completions, kThreads * kRounds);
  EXPECT_TRUE(eventually([&] { return script.closed == opened; }));
}

}  // namespace
}  // namespace backplane::test
