// SPDX-License-Identifier: Apache-2.0
// What comes too late, or never: operations that are given up, opens that pend, instances that
// stay.
#include "backplane/service/metrics.h"
#include "support/eventually.hpp"
#include "support/scripted_plugin.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

namespace backplane::test {
namespace {

constexpr const char* kImpatient =
    "[system]\nname = \"t\"\nstop_timeout_s = 0.05\n[instances.it]\nplugin = \"scripted\"\n";

class Ending : public ::testing::Test {
 protected:
  void start(const char* manifest = kImpatient) {
    sut.emplace(manifest);
    ASSERT_EQ(sut->start(), BP_OK);
  }
  bp_op* counted(std::uint16_t verb, bp_ref target) {
    bp_op* const op = sut->new_op(verb, target);
    op->user = &done;
    op->done = [](bp_op* finished) { ++*static_cast<std::atomic<int>*>(finished->user); };
    op->error = &error;
    return op;
  }
  bp_status open(bp_op* op, std::string_view address) {
    return sut->service->open(sut->host, {address.data(), address.size()}, nullptr, op);
  }
  void keeps() {
    script.submit = [this](bp_op* op) {
      source = op;
      return BP_PENDING;
    };
  }
  void never_stops() {
    script.stop = [this](bp_op* op) {
      step = op;
      return BP_PENDING;
    };
  }

  Script script;
  std::optional<ScriptedKernel> sut;
  std::atomic<int> done{0};
  bp_error error{};
  bp_op* source = nullptr;  // the operation that keeps() has
  bp_op* step = nullptr;
};

// ---- what was given up ----

TEST_F(Ending, ALateCompletionOfAStepFindsNothingOfTheCallersAnyMore) {
  start();
  never_stops();
  EXPECT_EQ(sut->stop(), BP_DEADLINE_EXCEEDED);
  ASSERT_NE(step, nullptr);
  EXPECT_EQ(step->error, nullptr);
  sut->service->complete(script.host, step, BP_OK);  // ignored
  EXPECT_EQ(sut->logged("breach"), 0) << "who is late cannot know it";
}

TEST_F(Ending, AnOperationThatWasGivenUpSaysWhyAndIsNotTakenAgain) {
  start();
  script.submit = [](bp_op*) { return BP_PENDING; };
  const bp_ref ref = sut->open("it:x");
  bp_op* const op = counted(BP_V_CALL, ref);
  ASSERT_EQ(sut->submit(op), BP_PENDING);
  never_stops();
  EXPECT_EQ(sut->stop(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(op->status, BP_UNAVAILABLE);
  EXPECT_NE(text(error).find("quarantined: restart the process"), std::string::npos) << text(error);
  EXPECT_EQ(op->error, nullptr) << "what the caller lent is his again";
  op->error = &error;
  EXPECT_EQ(sut->submit(op), BP_FAILED_PRECONDITION);
  EXPECT_NE(text(error).find("given up"), std::string::npos) << text(error);
  EXPECT_EQ(open(op, "it:x"), BP_FAILED_PRECONDITION);
  sut->free_op(op);
}

TEST_F(Ending, AQuarantinedInstanceMayCallItsHostForEver) {
  start();
  const bp_ref ref = sut->open("it:x");
  never_stops();
  EXPECT_EQ(sut->stop(), BP_DEADLINE_EXCEEDED);
  const bp_endpoint_service* const service = sut->service;
  sut.reset();  // destroys the kernel, as far as that can be
  EXPECT_NE(service->verbs(script.host, ref), 0u);
  bp_op* const op = service->op_new(script.host);
  op->verb = BP_V_READ;
  op->target = ref;
  EXPECT_EQ(service->submit(script.host, op), BP_UNAVAILABLE);
  service->op_free(script.host, op);
}

// ---- opens ----

TEST_F(Ending, AnOpenThatPendsIsCancelledBeforeTheStop) {
  start();
  bp_op* opening = nullptr;
  script.open = [&](std::string_view, bp_op* op, bp_endpoint*) {
    opening = op;
    return BP_PENDING;
  };
  script.cancel_step = [&](bp_op* op) { sut->service->complete(script.host, op, BP_CANCELLED); };
  bp_op* const op = counted(0, 0);
  ASSERT_EQ(open(op, "it:x"), BP_PENDING);
  EXPECT_EQ(sut->stop(), BP_OK);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(op->status, BP_CANCELLED);
  EXPECT_EQ(script.destroyed, 1);
  sut->free_op(op);
}

class EndingOfAnOpen : public Ending, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(, EndingOfAnOpen, ::testing::Values("it:x", "scripted://there/x"));

TEST_P(EndingOfAnOpen, ThatIsForgottenCompletesWithTheQuarantine) {
  start();
  std::atomic<bool> opening{false};
  script.open = [&](std::string_view, bp_op*, bp_endpoint*) {
    opening = true;
    return BP_PENDING;
  };
  bp_op* const op = counted(0, 0);
  ASSERT_EQ(open(op, GetParam()), BP_PENDING);
  ASSERT_TRUE(eventually([&] { return opening.load(); }));
  EXPECT_LT(sut->stop(), 0) << "what it left is said";
  ASSERT_TRUE(eventually([&] { return done == 1; }));
  EXPECT_EQ(op->status, BP_UNAVAILABLE);
  EXPECT_EQ(sut->logged("1 pending opens"), 1);
  sut->free_op(op);
}

TEST_F(Ending, DoneOfAnOpenMayOpenTheNext) {
  start();
  struct Chain {
    ScriptedKernel* kernel;
    std::atomic<int> done{0};
  } chain{&*sut};
  bp_op* const op = sut->service->op_new(sut->host);
  op->user = &chain;
  op->done = [](bp_op* finished) {
    auto* chained = static_cast<Chain*>(finished->user);
    if (++chained->done < 50) {
      EXPECT_EQ(chained->kernel->service->open(chained->kernel->host, BP_STR("nothing://there/x"),
                                               nullptr, finished),
                BP_PENDING);
    }
  };
  ASSERT_EQ(open(op, "nothing://there/x"), BP_PENDING);
  ASSERT_TRUE(eventually([&] { return chain.done == 50; }));
  EXPECT_EQ(op->status, BP_NOT_FOUND);
  sut->free_op(op);
}

TEST_F(Ending, AUrlThatIsOpenedWhileTheKernelDrainsIsRefusedAtOnce) {
  start();
  bp_op* const op = counted(0, 0);
  script.drain = [&](bp_op*) {
    EXPECT_EQ(open(op, "scripted://there/x"), BP_UNAVAILABLE);
    return BP_OK;
  };
  EXPECT_EQ(sut->drain(), BP_OK);
  EXPECT_EQ(op->status, BP_UNAVAILABLE);
  EXPECT_EQ(text(error), "the kernel is stopping");
  sut->free_op(op);
}

// Who drains waits for what it opened.
TEST_F(Ending, AUrlThatWasOpenedInAStartThatFailsIsRefusedBeforeTheDrain) {
  sut.emplace(
      "[system]\nname = \"t\"\n[instances.first]\nplugin = \"scripted\"\n"
      "[instances.last]\nplugin = \"scripted\"\nafter = [\"first\"]\n");
  bp_op* const op = counted(0, 0);
  int creates = 0;
  script.create = [&](const bp_value&, bp_error*) {
    ++creates;
    return BP_OK;
  };
  script.start = [&](bp_op*) {
    if (creates == 2) return BP_ABORTED;
    EXPECT_EQ(open(op, "scripted://there/x"), BP_PENDING);
    return BP_OK;
  };
  int done_at_drain = -1;
  script.drain = [&](bp_op*) {
    done_at_drain = done;
    return BP_OK;
  };
  EXPECT_EQ(sut->start(), BP_ABORTED);
  EXPECT_EQ(done_at_drain, 1);
  EXPECT_EQ(op->status, BP_UNAVAILABLE);
  EXPECT_EQ(creates, 2) << "no instance is made for a kernel that stops";
  sut->free_op(op);
}

TEST_F(Ending, AUrlsInstanceThatDoesNotStartIsEndedAndTriedAgain) {
  start();
  script.start = [](bp_op*) { return BP_UNAVAILABLE; };
  bp_op* const op = counted(0, 0);
  for (int attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_EQ(open(op, "scripted://there/x"), BP_PENDING);
    ASSERT_TRUE(eventually([&] { return done == attempt; }));
    EXPECT_EQ(op->status, BP_UNAVAILABLE);
    EXPECT_EQ(script.destroyed, attempt) << "nothing piles up";
  }
  script.start = nullptr;
  ASSERT_EQ(open(op, "scripted://there/x"), BP_PENDING);
  ASSERT_TRUE(eventually([&] { return done == 4; }));
  EXPECT_EQ(op->status, BP_OK);
  sut->free_op(op);
}

// ---- credit and ack never call back ----

TEST_F(Ending, CreditNeverCallsDone) {
  start();
  keeps();
  bp_op* const op = counted(BP_V_WATCH, sut->open("it:x"));
  constexpr bp_sink kSink = {BP_SIZE_TO(bp_sink, next), 0,
                             [](bp_op*, const bp_message*, std::uint32_t) { return BP_OK; }};
  op->sink = &kSink;
  ASSERT_EQ(sut->submit(op), BP_PENDING);
  std::atomic<bool> is_back{false};
  bool was_early = false;
  struct Context {
    std::atomic<bool>* is_back;
    bool* was_early;
    std::atomic<int> done{0};
  } context{&is_back, &was_early};
  op->user = &context;
  op->done = [](bp_op* finished) {
    auto* seen = static_cast<Context*>(finished->user);
    eventually([&] { return seen->is_back->load(); });
    *seen->was_early = !*seen->is_back;
    ++seen->done;
  };
  script.credit = [&](bp_op*, std::uint32_t) {
    sut->service->complete(script.host, source, BP_OK);
  };
  sut->service->credit(sut->host, op, 1);
  is_back = true;
  ASSERT_TRUE(eventually([&] { return context.done == 1; }));
  EXPECT_FALSE(was_early);
  sut->free_op(op);
}

// ---- errors ----

TEST_F(Ending, AFailureWithoutATextHasOneAllTheSame) {
  start();
  script.submit = [](bp_op*) { return BP_NOT_FOUND; };
  bp_op* const op = counted(BP_V_READ, sut->open("it:x"));
  error.code = BP_INTERNAL;  // of an earlier operation
  EXPECT_EQ(sut->submit(op), BP_NOT_FOUND);
  EXPECT_EQ(error.code, BP_NOT_FOUND);
  EXPECT_EQ(text(error), "failed without a reason");
  sut->free_op(op);
}

TEST_F(Ending, ADeadlineKeepsWhatTheEndpointSaid) {
  start();
  keeps();
  script.cancel = [&](bp_op* op) {
    op->error->code = BP_UNAVAILABLE;
    op->error->native = 7;
    op->error->message_len = 4;
    std::memcpy(op->error->message, "busy", 4);
    sut->service->complete(script.host, op, BP_CANCELLED);
  };
  bp_op* const op = counted(BP_V_READ, sut->open("it:x"));
  op->deadline_ns = in(std::chrono::milliseconds(20));
  ASSERT_EQ(sut->submit(op), BP_PENDING);
  ASSERT_TRUE(eventually([&] { return done == 1; }));
  EXPECT_EQ(op->status, BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(error.code, BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(error.native, 7);
  EXPECT_EQ(text(error), "the deadline passed before the operation completed: busy");
  sut->free_op(op);
}

// ---- the handler of a SERVE ----

TEST_F(Ending, TheHandlerOfAServeIsHeldUntilItCompletes) {
  start();
  keeps();
  const bp_ref ref = sut->open("it:x");
  bp_endpoint handler = Script::endpoint();
  bp_ref handler_ref = 0;
  ASSERT_EQ(sut->service->adopt(sut->host, &handler, &handler_ref), BP_OK);
  bp_message in{};
  in.body.tag = BP_T_REF;
  in.body.as.u = handler_ref;
  bp_op* const op = counted(BP_V_SERVE, ref);
  op->in = &in;
  ASSERT_EQ(sut->submit(op), BP_PENDING);
  sut->service->close(sut->host, handler_ref);
  EXPECT_NE(sut->service->verbs(script.host, handler_ref), 0u);
  EXPECT_EQ(script.closed, 0);
  sut->service->complete(script.host, source, BP_OK);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(sut->service->verbs(script.host, handler_ref), 0u);
  ASSERT_TRUE(eventually([&] { return script.closed == 1; }));
  EXPECT_EQ(sut->submit(op), BP_INVALID_ARGUMENT) << "it is closed by now";
  sut->free_op(op);
}

// ---- references ----

TEST_F(Ending, WhatIsSubmittedWhileAReferenceClosesCompletesOnceAndIsClosedOnce) {
  start();
  script.submit = [&](bp_op* op) {
    std::thread([this, op] { sut->service->complete(script.host, op, BP_OK); }).detach();
    return BP_PENDING;
  };
  constexpr int kRounds = 200;
  std::atomic<int> pending{0};
  for (int round = 1; round <= kRounds; ++round) {
    const bp_ref ref = sut->open("it:x");
    const auto submit = [&] {
      bp_op* const op = sut->new_op(BP_V_CALL, ref);
      op->user = &pending;
      op->done = [](bp_op* finished) { --*static_cast<std::atomic<int>*>(finished->user); };
      ++pending;
      if (sut->submit(op) != BP_PENDING) --pending;
      while (pending != 0) std::this_thread::yield();
      sut->free_op(op);
    };
    std::thread first(submit);
    sut->service->close(sut->host, ref);
    first.join();
    ASSERT_TRUE(eventually([&] { return script.closed == round; })) << "closed once in each round";
  }
  EXPECT_EQ(script.closed, kRounds);
}

// ---- the kernel ----

TEST_F(Ending, NothingIsLoadedIntoAKernelThatHasStarted) {
  start();
  bp_error refusal{};
  EXPECT_EQ(bp_kernel_load_text(sut->kernel, BP_STR("x"), BP_STR(""), nullptr, nullptr, &refusal),
            BP_FAILED_PRECONDITION);
  EXPECT_NE(text(refusal).find("has started"), std::string::npos);
  EXPECT_EQ(bp_kernel_add_plugin(sut->kernel, &Script::entry, BP_STR(""), &refusal),
            BP_FAILED_PRECONDITION);
}

TEST(KernelOptions, WithoutASizeAreRefused) {
  bp_kernel_options options{};
  bp_kernel* kernel = nullptr;
  bp_error error{};
  EXPECT_EQ(bp_kernel_create(&options, &kernel, &error), BP_INVALID_ARGUMENT);
  EXPECT_NE(text(error).find("struct_size is 0"), std::string::npos);
  EXPECT_EQ(kernel, nullptr);
}

TEST_F(Ending, ABreachOfTheContractIsCounted) {
  start();
  const auto breaches = [&] {
    std::int64_t count = 0;
    bp_kernel_visit_metrics(
        sut->kernel,
        [](void* user, const bp_metric_info* info) {
          if (std::string_view(info->name.ptr, info->name.len) == "contract_breaches_total")
            *static_cast<std::int64_t*>(user) += info->value;
        },
        &count);
    return count;
  };
  EXPECT_EQ(breaches(), 0);
  script.submit = [&](bp_op* op) {
    sut->service->complete(script.host, op, BP_OK);
    return BP_OK;
  };
  bp_op* const op = counted(BP_V_READ, sut->open("it:x"));
  EXPECT_EQ(sut->submit(op), BP_OK);
  EXPECT_EQ(breaches(), 1);
  sut->free_op(op);
}

}  // namespace
}  // namespace backplane::test
