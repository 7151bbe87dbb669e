// SPDX-License-Identifier: Apache-2.0
// Methods of the plugin's server: who answers them, and when nobody does.
#include "server_fixture.hpp"

#include <future>

namespace backplane::test {
namespace {

using testing::HasSubstr;

constexpr std::array kCallers = {"main:", "plant:"};  // from inside, and by a client

/// Answers when it is asked to give up, and not before.
class Slow final {
 public:
  struct Seen {
    std::atomic<bool> is_called{false};
    std::atomic<bool> is_cancelled{false};
  };
  Slow(const Host& host, std::shared_ptr<Seen> seen) : host_(host), seen_(std::move(seen)) {}
  Status call(Op) {
    seen_->is_called = true;
    return Status::pending();
  }
  void cancel(Op op) noexcept {
    seen_->is_cancelled = true;
    host_.complete(op, Status(BP_CANCELLED));
  }

 private:
  const Host& host_;
  const std::shared_ptr<Seen> seen_;
};

class OpcuaMethods : public testing::Test {
 protected:
  Status call_valve(const std::string& instance, ValueView argument) {
    return pair_.open(concat(instance, "ns=1;s=Tank1.SetValve")).call(argument).get().status();
  }
  OpcuaPair pair_{concat(kServerNodes, "call_timeout_s = 1\nmax_calls = 2\n")};
  Endpoint valve_ = pair_.open("main:ns=1;s=Tank1.SetValve");
  Endpoint mix_ = pair_.open("main:ns=1;s=Tank1.Mix");
  StackArena<> arena_;
};

TEST_F(OpcuaMethods, AHandlerAnswersWithItsOutputs) {
  const auto registration = mix_.serve([](const ServedOp& request) -> Status {
    const ValueView inputs = request.in().body();
    StackArena arena;
    const double product = inputs.at(0).get<double>().value() * inputs.at(1).get<int>().value();
    Op op = request;
    return op.reply(arena.list({product, "mixed"}, BP_LIST_ARGUMENTS));
  });
  ASSERT_TRUE(registration) << registration.status().to_string();
  for (const char* caller : kCallers) {
    const auto answer = pair_.open(concat(caller, "ns=1;s=Tank1.Mix"))
                            .call(arena_.list({2.5, int32_t{4}}, BP_LIST_ARGUMENTS))
                            .get();
    ASSERT_TRUE(answer) << caller << answer.status().to_string();
    EXPECT_EQ(answer->body().at(0).get<double>(), 10.0);
    EXPECT_EQ(answer->body().at(1).get<std::string>(), "mixed");
  }
}

TEST_F(OpcuaMethods, AHandlersErrorIsTheCallers) {
  const auto registration = valve_.serve([](const ServedOp&) -> Status {
    return Status(BP_FAILED_PRECONDITION, "the valve is locked");
  });
  EXPECT_EQ(call_valve("main:", 50.0).message(), "the valve is locked");
  const Status outside = call_valve("plant:", 50.0);
  EXPECT_EQ(outside.code(), BP_FAILED_PRECONDITION) << outside.to_string();
  EXPECT_THAT(std::string(outside.message()), HasSubstr("BadInvalidState"));
}

TEST_F(OpcuaMethods, WithoutAnybodyACallSaysSo) {
  for (const char* caller : kCallers) {
    const Status status = call_valve(caller, 50.0);
    EXPECT_EQ(status.code(), BP_UNIMPLEMENTED) << caller << status.to_string();
  }
}

TEST_F(OpcuaMethods, AWatcherGetsTheArgumentsAndItsAcknowledgementIsTheAnswer) {
  const auto seen = std::make_shared<Guarded<std::vector<uint64_t>>>();
  const auto bodies = std::make_shared<Guarded<std::vector<double>>>();
  auto watching = valve_.watch([=](MessageView message) -> Status {
    bodies->lock()->push_back(message.body().get<double>().value_or(-1));
    seen->lock()->push_back(message.seq());
    return Status::pending();
  });
  ASSERT_TRUE(watching) << watching.status().to_string();
  for (const char* caller : kCallers) {
    const Endpoint valve = pair_.open(concat(caller, "ns=1;s=Tank1.SetValve"));
    auto call = std::async(std::launch::async, [&] { return valve.call(60.0).get().status(); });
    ASSERT_TRUE(eventually([&] { return !seen->copy().empty(); }, kPatience));
    EXPECT_NE(call.wait_for(50ms), std::future_status::ready) << "before it is acknowledged";
    watching->ack(seen->copy().back(), BP_OK);
    EXPECT_TRUE(call.get().is_ok());
    EXPECT_EQ(bodies->copy().back(), 60.0);
    seen->lock()->clear();
  }
}

TEST_F(OpcuaMethods, AWatcherGivesNoOutputs) {
  const auto watching = mix_.watch([](MessageView) { return Status::ok(); });
  const Status status = pair_.open("plant:ns=1;s=Tank1.Mix")
                            .call(arena_.list({2.5, int32_t{4}}, BP_LIST_ARGUMENTS))
                            .get()
                            .status();
  EXPECT_EQ(status.code(), BP_UNIMPLEMENTED) << status.to_string();
}

TEST_F(OpcuaMethods, ACallThatIsNotAnsweredEndsWithItsTime) {
  const auto watching = valve_.watch([](MessageView) { return Status::pending(); });
  for (const char* caller : kCallers) {
    const Status status = call_valve(caller, 50.0);
    EXPECT_EQ(status.code(), BP_DEADLINE_EXCEEDED) << caller << status.to_string();
  }
}

TEST_F(OpcuaMethods, ArgumentsThatAreWrongNeverReachAHandler) {
  const auto registration = valve_.serve([](const ServedOp&) -> Status {
    ADD_FAILURE() << "called";
    return Status::ok();
  });
  for (const char* caller : kCallers) {
    EXPECT_EQ(call_valve(caller, "wide").code(), BP_INVALID_ARGUMENT) << caller;
    EXPECT_EQ(call_valve(caller, {}).code(), BP_INVALID_ARGUMENT) << caller;
    EXPECT_EQ(call_valve(caller, arena_.list({1.0, 2.0}, BP_LIST_ARGUMENTS)).code(),
              BP_INVALID_ARGUMENT)
        << caller;
  }
}

TEST_F(OpcuaMethods, ALocalCallHasNoOptions) {
  const ValueView options = arena_.map({{"object", "ns=1;s=Tank1"}});
  const Status status = valve_.call(50.0, {{BP_H_OPTIONS, options}}).get().status();
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(status.message()), HasSubstr("there is no option 'object'"));
}

TEST_F(OpcuaMethods, AnAnswerThatIsNotAsDeclaredIsAnErrorOfTheServer) {
  const auto registration = mix_.serve([](const ServedOp& request) -> Status {
    Op op = request;
    return op.reply("only one");
  });
  for (const char* caller : kCallers) {
    const Status status = pair_.open(concat(caller, "ns=1;s=Tank1.Mix"))
                              .call(arena_.list({2.5, int32_t{4}}, BP_LIST_ARGUMENTS))
                              .get()
                              .status();
    EXPECT_TRUE(status.is_error()) << caller;
    EXPECT_NE(status.code(), BP_INVALID_ARGUMENT) << caller << ": the caller is not to blame";
  }
}

TEST_F(OpcuaMethods, OneCallTooManyIsRefused) {
  const auto watching = valve_.watch([](MessageView) { return Status::pending(); });
  std::vector<std::future<Status>> calls;
  for (int i = 0; i < 3; ++i) {
    calls.push_back(std::async(std::launch::async, [&] { return call_valve("plant:", 1.0); }));
  }
  std::vector<bp_status> codes;
  for (auto& each : calls) codes.push_back(each.get().code());
  EXPECT_THAT(codes, testing::UnorderedElementsAre(BP_DEADLINE_EXCEEDED, BP_DEADLINE_EXCEEDED,
                                                   BP_RESOURCE_EXHAUSTED));
}

TEST_F(OpcuaMethods, WhenTheCallerIsGoneTheHandlersOperationIsCancelled) {
  const auto seen = std::make_shared<Slow::Seen>();
  const auto registration =
      valve_.serve_object(std::make_unique<Slow>(pair_.kernel().host(), seen));
  ASSERT_TRUE(registration);
  OpcuaSystem caller(pair_.port());
  const Endpoint valve = caller.connected().open("ns=1;s=Tank1.SetValve");
  auto call = std::async(std::launch::async, [&] { return valve.call(1.0).get().status(); });
  ASSERT_TRUE(eventually([&] { return seen->is_called.load(); }, kPatience));
  caller.kernel().stop().or_throw();
  EXPECT_TRUE(eventually([&] { return seen->is_cancelled.load(); }, 900ms))
      << "before the call's time is over";
  EXPECT_TRUE(call.get().is_error());
}

TEST_F(OpcuaMethods, ALocalCallIsCancelledWithItsHandlersOperation) {
  const auto seen = std::make_shared<Slow::Seen>();
  const auto registration =
      valve_.serve_object(std::make_unique<Slow>(pair_.kernel().host(), seen));
  EXPECT_EQ(valve_.call(1.0).within(50ms).get().status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_TRUE(eventually([&] { return seen->is_cancelled.load(); }, 900ms));
}

TEST_F(OpcuaMethods, AServedMethodIsWithdrawn) {
  {
    const auto registration = valve_.serve([](const ServedOp&) { return Status::ok(); });
    EXPECT_TRUE(call_valve("plant:", 1.0).is_ok());
  }
  EXPECT_TRUE(
      eventually([&] { return call_valve("plant:", 1.0).code() == BP_UNIMPLEMENTED; }, kPatience));
}

}  // namespace
}  // namespace backplane::test
