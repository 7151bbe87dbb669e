// SPDX-License-Identifier: Apache-2.0
// A session manager asks the application to save, and waits for the answer within a budget: in
// time, late, withdrawn.
#include "integration/verbs/client.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <utility>

namespace backplane::test {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

class SessionPhase : public Fixture {
 protected:
  // An application whose handler keeps the question.
  struct Application {
    explicit Application(Fixture& test) : fixture(test), handler(test, BP_VERB_BIT(BP_V_CALL)) {
      handler.on_submit = [this](bp_op* op) -> bp_status {
        const std::lock_guard lock(mutex);
        question = op;
        asked.notify_all();
        return BP_PENDING;
      };
      handler.on_cancel = [this](bp_op* op) {
        {
          const std::lock_guard lock(mutex);
          if (question != op) return;
          question = nullptr;
          ++withdrawals;
        }
        fixture.endpoints().complete(fixture.host(), op, BP_CANCELLED);
      };
    }

    bp_op* await_question() {
      std::unique_lock lock(mutex);
      EXPECT_TRUE(asked.wait_for(lock, kPatience, [this] { return question != nullptr; }));
      return question;
    }

    // Answers {done: true, phase2: `phase2`}.
    void answer(bool phase2) {
      bp_op* op = nullptr;
      {
        const std::lock_guard lock(mutex);
        op = std::exchange(question, nullptr);
      }
      ASSERT_NE(op, nullptr);
      const std::array<bp_pair, 2> body{metadata("done", value_bool(1)),
                                        metadata("phase2", value_bool(phase2 ? 1 : 0))};
      const bp_message message = message_of(value_map(body.data(), 2));
      ASSERT_TRUE(copy_message(&message, &op->out));
      fixture.endpoints().complete(fixture.host(), op, BP_OK);
    }

    Fixture& fixture;
    std::mutex mutex;
    std::condition_variable asked;
    bp_op* question = nullptr;  // guarded by mutex
    int withdrawals = 0;        // guarded by mutex
    Handler handler;
  };

  // Serves the application's handler for the lifetime of the result.
  std::unique_ptr<Operation> serve(Application& application) {
    auto serving = std::make_unique<Operation>(*this, BP_V_SERVE, open("serve/session/save"));
    EXPECT_EQ(serving->body(value_ref(application.handler.ref())).submit(), BP_PENDING);
    return serving;
  }

  Operation& log_out(Operation& operation, std::chrono::nanoseconds budget) {
    return operation.header(BP_H_METHOD, value_text("save"))
        .body(value_int(budget.count(), BP_INT_DURATION_NS));
  }
};

TEST_P(SessionPhase, AnAnswerInTimeIsTheAnswerOfThePhase) {
  Application application(*this);
  const auto serving = serve(application);
  Operation manager(*this, BP_V_CALL, open("session/manager"));
  const std::int64_t before = monotonic_ns();
  EXPECT_EQ(log_out(manager, 10s).submit(), BP_PENDING);
  const bp_op* question = application.await_question();
  ASSERT_NE(question, nullptr);
  EXPECT_GE(question->deadline_ns, before + std::chrono::nanoseconds(10s).count())
      << "the budget is the deadline of the call";
  EXPECT_LE(question->deadline_ns, monotonic_ns() + std::chrono::nanoseconds(10s).count());
  EXPECT_TRUE(value_is_text(find_header(question->in, BP_H_PATH), "session/save"));
  application.answer(true);
  EXPECT_EQ(manager.wait(), BP_OK);
  ASSERT_EQ(manager.out().body.tag, BP_T_MAP);
  ASSERT_EQ(manager.out().body.len, 2u);
  EXPECT_TRUE(value_is_text(&manager.out().body.as.map[1].key, "phase2"));
  EXPECT_EQ(manager.out().body.as.map[1].val.as.u, 1u);
}

TEST_P(SessionPhase, TheHandlerMayAskForInteractionBeforeItAnswers) {
  Application application(*this);
  const auto serving = serve(application);
  Operation manager(*this, BP_V_CALL, open("session/manager"));
  EXPECT_EQ(log_out(manager, 10s).submit(), BP_PENDING);
  ASSERT_NE(application.await_question(), nullptr);
  Operation interact(*this, BP_V_CALL, open("session/interact"));
  EXPECT_EQ(interact.run(), BP_OK) << "the manager answers while it waits for an answer";
  application.answer(false);
  EXPECT_EQ(manager.wait(), BP_OK);
}

TEST_P(SessionPhase, ALateAnswerMissesItsDeadline) {
  Application application(*this);
  const auto serving = serve(application);
  Operation manager(*this, BP_V_CALL, open("session/manager"));
  EXPECT_EQ(log_out(manager, 500ms).submit(), BP_PENDING);
  ASSERT_NE(application.await_question(), nullptr);
  EXPECT_EQ(manager.wait(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(manager.completions(), 1);
  const std::lock_guard lock(application.mutex);
  EXPECT_EQ(application.withdrawals, 1) << "the handler was told";
}

TEST_P(SessionPhase, AWithdrawnQuestionIsCancelledAtTheHandler) {
  Application application(*this);
  const auto serving = serve(application);
  Operation manager(*this, BP_V_CALL, open("session/manager"));
  EXPECT_EQ(log_out(manager, 10s).submit(), BP_PENDING);
  ASSERT_NE(application.await_question(), nullptr);
  manager.cancel();
  EXPECT_EQ(manager.wait(), BP_CANCELLED);
  const std::lock_guard lock(application.mutex);
  EXPECT_EQ(application.withdrawals, 1);
}

TEST_P(SessionPhase, ServingEndsOnlyWhenTheQuestionUnderWayIsAnswered) {
  Application application(*this);
  const auto serving = serve(application);
  Operation manager(*this, BP_V_CALL, open("session/manager"));
  EXPECT_EQ(log_out(manager, 10s).submit(), BP_PENDING);
  ASSERT_NE(application.await_question(), nullptr);
  serving->cancel();
  barrier();
  EXPECT_FALSE(serving->finished());
  Operation refused(*this, BP_V_CALL, open("session/manager"));
  EXPECT_EQ(log_out(refused, 10s).run(), BP_NOT_FOUND) << "nothing new is asked";
  application.answer(false);
  EXPECT_EQ(manager.wait(), BP_OK);
  EXPECT_EQ(serving->wait(), BP_CANCELLED);
}

TEST_P(SessionPhase, AnInhibitorIsHeldAsLongAsItsReference) {
  const bp_ref count = open("session/inhibitors");
  Operation inhibit(*this, BP_V_CALL, open("session/inhibit"), BP_OP_DUPLEX);
  EXPECT_EQ(inhibit.run(), BP_OK);
  Operation held(*this, BP_V_READ, count);
  EXPECT_EQ(held.run(), BP_OK);
  EXPECT_EQ(held.out().body.as.u, 1u);
  Operation waiting(*this, BP_V_CALL, count);
  EXPECT_EQ(waiting.submit(), BP_PENDING);
  barrier();
  EXPECT_FALSE(waiting.finished());
  close(inhibit.out().body.as.u);
  EXPECT_EQ(waiting.wait(), BP_OK);
  EXPECT_EQ(held.run(), BP_OK);
  EXPECT_EQ(held.out().body.as.u, 0u);
}

INSTANTIATE_TEST_SUITE_P(, SessionPhase,
                         testing::Values(Form::kLinked, Form::kLoaded, Form::kIsolated), form_name);

}  // namespace
}  // namespace backplane::test
