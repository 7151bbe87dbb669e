// SPDX-License-Identifier: Apache-2.0
// A plugin that crashes in each of its functions takes nobody down.
#include "integration/isolation/fixture.hpp"
#include "plugins/isolation/link/ring_channel.hpp"
#include "support/child_process.hpp"
#include "support/long_test.hpp"
#include "support/scratch_folder.hpp"

#include <csignal>

namespace backplane::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ACrash : public IsolatedInstances {};

/// What a host that has been taken over may write to the link, in hexadecimal.
class HostileFrames {
 public:
  static constexpr uint64_t kNumber = uint64_t{1} << 50;  // of an operation, far from all others

  template <class Fill>
  HostileFrames& add(Fill fill) {
    capnp::MallocMessageBuilder message;
    fill(message.getRoot<isolation::wire::Frame>());
    const auto words = capnp::messageToFlatArray(message);
    const isolation::FrameHead head{static_cast<uint32_t>(words.size()), 0};
    add_bytes(&head, sizeof head);
    add_bytes(words.begin(), words.asBytes().size());
    return *this;
  }
  const std::string& hex() const { return hex_; }

 private:
  void add_bytes(const void* from, size_t size) {
    for (const unsigned char byte : std::span(static_cast<const unsigned char*>(from), size)) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      hex_ += {kDigits[byte / 16], kDigits[byte % 16]};
    }
  }
  std::string hex_;
};

TEST_F(ACrash, InCreateFailsTheStartWithTheSignal) {
  const Status status = start_it("crash = \"create\"\n");
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("'it'"), HasSubstr("SIGSEGV")));
}

TEST_F(ACrash, InStartFailsTheStartWithTheSignal) {
  const Status status = start_it("crash = \"start\"\nby = 6\n");
  EXPECT_THAT(std::string(status.message()), HasSubstr("SIGABRT"));
}

TEST_F(ACrash, InDrainStopAndDestroyEndsTheInstanceAllTheSame) {
  for (const std::string_view where : {"drain", "stop", "destroy"}) {
    ASSERT_TRUE(start_it(concat("crash = \"", where, "\"\n")).is_ok()) << where;
    const Status status = kernel_->stop();
    EXPECT_EQ(status.is_ok(), where != "drain") << status.to_string();
    EXPECT_EQ(info().life, BP_LIFE_DESTROYED) << where;
    EXPECT_TRUE(logged("SIGSEGV")) << where << "\n" << log();
    kernel_.reset();
  }
}

TEST_F(ACrash, InOpenIsUnavailableAndTheNextOpenWorks) {
  ASSERT_TRUE(start_it().is_ok());
  const auto opened = kernel_->open("it:open").within(10s).get();
  EXPECT_EQ(opened.status().code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("SIGSEGV"));
  EXPECT_TRUE(eventually([&] { return kernel_->open("it:fine").within(10s).get().is_ok(); }));
}

/// Runs one verb on the endpoint that crashes there.
class ACrashOfAnEndpoint : public IsolatedInstances,
                           public testing::WithParamInterface<const char*> {
 protected:
  Status use(const Endpoint& endpoint, std::string_view function) {
    if (function == "read") return endpoint.read().within(10s).get().status();
    if (function == "write") return endpoint.write(1).within(10s).get();
    if (function == "call") return endpoint.call().within(10s).get().status();
    if (function == "cancel") return endpoint.call().within(50ms).get().status();
    auto watch = endpoint.watch([](MessageView) {}, {.credit = 1}).value();
    if (function == "credit") watch.credit(1);
    return watch.wait_for(10s).value_or(Status(BP_PENDING));
  }
};

TEST_P(ACrashOfAnEndpoint, EndsWhatPendsAndTheReferenceWorksAgain) {
  ASSERT_TRUE(start_it().is_ok());
  const Endpoint fine = open("it:fine");
  const Endpoint bad = open(concat("it:", GetParam()));
  const pid_t before = process(fine);
  Result<OwnedMessage> pending = Status(BP_PENDING);
  std::atomic<bool> ended = false;
  fine.call().then([&](Result<OwnedMessage> result) {
    pending = std::move(result);
    ended = true;
  });
  const Status status = use(bad, GetParam());
  EXPECT_THAT(status.code(), testing::AnyOf(BP_UNAVAILABLE, BP_DEADLINE_EXCEEDED));
  ASSERT_TRUE(eventually([&] { return ended.load(); }));
  EXPECT_EQ(pending.status().code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(pending.status().message()), HasSubstr("SIGSEGV"));
  EXPECT_TRUE(eventually([&] { return process(fine) > 0 && process(fine) != before; }));
  EXPECT_TRUE(logged("was ended by SIGSEGV (Segmentation fault)")) << log();
  EXPECT_TRUE(kernel_->stop().is_ok());
}

INSTANTIATE_TEST_SUITE_P(, ACrashOfAnEndpoint,
                         testing::Values("read", "write", "call", "watch", "cancel", "credit"),
                         [](const auto& function) { return std::string(function.param); });

TEST_F(ACrash, InCloseStartsItAgain) {
  ASSERT_TRUE(start_it().is_ok());
  const Endpoint fine = open("it:fine");
  const pid_t before = process(fine);
  open("it:close").close();
  EXPECT_TRUE(eventually([&] { return process(fine) > 0 && process(fine) != before; }));
}

TEST_F(ACrash, OfOneInstanceLeavesTheOtherAlone) {
  ASSERT_TRUE(start(R"(
[instances.a]
plugin = "crashing"
isolation = "process"
[instances.b]
plugin = "crashing"
isolation = "process"
)")
                  .is_ok());
  const Endpoint a = open("a:fine");
  const Endpoint b = open("b:fine");
  const pid_t process_b = process(b);
  ASSERT_EQ(kill(process(a), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return logged("SIGKILL"); }));
  EXPECT_EQ(process(b), process_b);
  EXPECT_TRUE(eventually([&] { return process(a) > 0; }));
}

TEST_F(ACrash, JustBeforeTheStopLeavesNothing) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(start_it().is_ok());
    const Endpoint fine = open("it:fine");
    std::atomic<bool> ended = false;
    fine.call().then([&](const Result<OwnedMessage>&) { ended = true; });
    ASSERT_EQ(kill(process(fine), SIGKILL), 0);
    ASSERT_TRUE(eventually([&] { return ended.load(); }));
    const Status status = kernel_->stop();
    EXPECT_TRUE(status.is_ok()) << status.to_string() << "\n" << log();
  }
}

TEST_F(ACrash, OnceTooOftenStaysDown) {
  ASSERT_TRUE(start_it("isolated.crash_limit = { crashes = 2, seconds = 60 }\n").is_ok());
  const Endpoint fine = open("it:fine");
  for (int i = 0; i < 3; ++i) {
    pid_t now = 0;
    ASSERT_TRUE(eventually([&] { return (now = process(fine)) > 0; })) << log();
    ASSERT_EQ(kill(now, SIGKILL), 0);
    ASSERT_TRUE(eventually([&] { return process(fine) != now; }));
  }
  EXPECT_TRUE(eventually([&] { return info().state == BP_STATE_DOWN; }));
  EXPECT_THAT(info().detail, HasSubstr("crash_limit"));
  const Status status = fine.read().within(10s).get().status();
  EXPECT_EQ(status.code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(status.message()), HasSubstr("stays down"));
  EXPECT_TRUE(kernel_->stop().is_ok());
}

TEST_F(ACrash, WhileNobodyLooksShowsInTheState) {
  ASSERT_TRUE(start_it().is_ok());
  const Endpoint fine = open("it:fine");
  EXPECT_EQ(info().state, BP_STATE_UP);
  ASSERT_EQ(kill(process(fine), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return logged("connecting: its process was ended by SIGKILL"); }));
  EXPECT_TRUE(eventually([&] { return info().state == BP_STATE_UP; }));
}

TEST_F(ACrash, IsWhatBreakingTheRulesOfTheLinkIsTakenFor) {
  ASSERT_TRUE(start_it().is_ok());
  const Endpoint fine = open("it:fine");
  const pid_t before = process(fine);
  const auto answer = open("it:try").call<int>("link").within(10s).get();
  EXPECT_EQ(answer.status().code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(answer.status().message()),
              AllOf(HasSubstr("broke the rules of the link"), HasSubstr("a frame claims")));
  EXPECT_TRUE(eventually([&] { return process(fine) > 0 && process(fine) != before; })) << log();
}

TEST_F(ACrash, ComesNotOfAnAcknowledgementOrCreditForAnOpenThatPends) {
  ASSERT_TRUE(start(R"(
[instances.other]
plugin = "crashing"
isolation = "process"
[instances.it]
plugin = "crashing"
isolation = "process"
reads = "other:fine"
)")
                  .is_ok());
  HostileFrames frames;
  frames.add([](auto frame) {
    auto open = frame.initOpen();
    open.setOp(HostileFrames::kNumber);
    open.setAddress(isolation::to_data("other:fine"));
  });
  frames.add([](auto frame) { frame.initAcknowledge().setOp(HostileFrames::kNumber); });
  frames.add([](auto frame) {
    auto credit = frame.initCredit();
    credit.setOp(HostileFrames::kNumber);
    credit.setN(1);
  });
  const Endpoint attempt = open("it:try");
  // They have been taken before the damage that ends it.
  const auto answer = attempt.call<int>(concat("link:", frames.hex())).within(10s).get();
  EXPECT_EQ(answer.status().code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(answer.status().message()),
              HasSubstr("the memory of the link was damaged"));
}

TEST_F(ACrash, IsWhatAHostIsTakenForThatDoesNotReadWhatItIsSent) {
  ASSERT_TRUE(start_it().is_ok());
  HostileFrames frames;
  frames.add([](auto frame) { frame.setPing(HostileFrames::kNumber); });
  const auto answer = open("it:try").call<int>(concat("flood:", frames.hex())).within(60s).get();
  EXPECT_EQ(answer.status().code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("does not read"));
}

TEST_F(ACrash, ComesNotOfAMessageThatCannotBeSent) {
  ASSERT_TRUE(start_it().is_ok());
  const Endpoint fine = open("it:fine");
  const int closed = dup(0);
  close(closed);
  const Status status = fine.write(ValueView::descriptor(closed)).within(10s).get();
  EXPECT_LT(status.code(), 0);
  EXPECT_NE(status.code(), BP_DEADLINE_EXCEEDED);
  EXPECT_GT(process(fine), 0);
  EXPECT_TRUE(kernel_->stop().is_ok()) << "the operation is not completed again";
}

TEST_F(ACrash, IsNotNeededToEndAPluginThatHangs) {
  ASSERT_TRUE(start(R"(
[system]
stop_timeout_s = 0.5
[instances.it]
plugin = "crashing"
isolation = "process"
)")
                  .is_ok());
  const Endpoint endpoint = open("it:try");
  std::atomic<bp_status> ended = BP_PENDING;
  endpoint.call<int>("spin").then(
      [&](const Result<int>& result) { ended = result.status().code(); });
  EXPECT_FALSE(kernel_->stop().is_ok()) << "its drain did not end";
  EXPECT_EQ(ended, BP_UNAVAILABLE);
  EXPECT_EQ(info().life, BP_LIFE_DESTROYED) << log();
}

TEST_F(ACrash, IsNotNeededToEndAPluginThatDoesNotStopWhichAnErrorTells) {
  ASSERT_TRUE(start(R"(
[system]
stop_timeout_s = 0.5
[instances.it]
plugin = "crashing"
isolation = "process"
hang = "stop"
)")
                  .is_ok());
  static_cast<void>(kernel_->stop());
  EXPECT_EQ(info().life, BP_LIFE_DESTROYED) << log();
  EXPECT_TRUE(logged("it ended badly")) << log();
}

TEST_F(ACrash, IsWhatAHangIsTakenForOnceSomebodyHasWaitedInVain) {
  ASSERT_TRUE(start_it().is_ok());
  const Endpoint fine = open("it:fine");
  const pid_t before = process(fine);
  const auto answer = open("it:try").call<int>("spin").within(100ms).get();
  EXPECT_EQ(answer.status().code(), BP_UNAVAILABLE);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("did not answer"));
  EXPECT_TRUE(eventually([&] { return process(fine) > 0 && process(fine) != before; })) << log();
}

TEST_F(ACrash, IsNotWhatASlowCancelIsTakenFor) {
  if (!is_long_test()) {
    GTEST_SKIP() << "looks on for 8 s: set BP_TEST_LONG";
  }
  ASSERT_TRUE(start_it().is_ok());
  const Endpoint fine = open("it:fine");
  const pid_t before = process(fine);
  std::atomic<bool> ended = false;
  // Its cancel does nothing at all: the operation pends, the process lives.
  fine.call().within(10ms).then([&](const Result<OwnedMessage>&) { ended = true; });
  EXPECT_FALSE(eventually([&] { return ended.load(); }, 8s));
  EXPECT_EQ(process(fine), before);
  ASSERT_EQ(kill(before, SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return ended.load(); }));
}

/// `backplane run` with an isolated instance.
class AParent : public testing::Test {
 protected:
  AParent() {
    folder_.write("system.toml", "[instances.it]\nplugin = \"formats\"\nisolation = \"process\"\n");
    parent_.emplace(std::vector<std::string>{BP_TEST_BUILD_DIR "/bin/backplane", "run",
                                             (folder_.path() / "system.toml").string()});
  }
  ScratchFolder folder_;
  std::optional<ChildProcess> parent_;
};

TEST_F(AParent, TakesItsHostsAlongWhenItIsKilled) {
  std::set<pid_t> hosts;
  ASSERT_TRUE(eventually([&] { return (hosts = children(parent_->pid())).size() == 1; }))
      << parent_->err();
  parent_->signal(SIGKILL);
  EXPECT_EQ(parent_->wait(), 128 + SIGKILL);
  EXPECT_TRUE(eventually([&] { return kill(*hosts.begin(), 0) != 0; }));
}

}  // namespace
}  // namespace backplane::test
