// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/hub.hpp"

#include "backplane/sdk/endpoint_object.hpp"
#include "support/allocations.hpp"
#include "support/eventually.hpp"
#include "support/fake_host.hpp"
#include "support/watch_probe.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

namespace backplane {
namespace {

using test::eventually;
using test::FakeHost;
using test::WatchProbe;

class Topic final {
 public:
  explicit Topic(Hub hub) : hub_(std::move(hub)) {}
  Status watch(Op op) { return hub_.watch(op); }
  void cancel(Op op) noexcept { hub_.cancel(op); }
  void credit(Op op, uint32_t n) noexcept { hub_.credit(op, n); }
  void ack(Op op, uint64_t seq, bp_status status) noexcept { hub_.ack(op, seq, status); }

 private:
  Hub hub_;
};

/// A hub behind an endpoint, as a plugin has it.
class AHub : public ::testing::Test {
 protected:
  Hub& make(HubOptions options = {}) {
    hub_.emplace(host_, std::move(options));
    topic_ = fake_.adopt_endpoint(make_endpoint(std::make_unique<Topic>(*hub_)));
    return *hub_;
  }
  std::unique_ptr<WatchProbe> watch(WatchProbe::Options options = {}) {
    return std::make_unique<WatchProbe>(host_, topic_, std::move(options));
  }
  std::unique_ptr<WatchProbe> watch(uint32_t policy, uint32_t credit) {
    return watch({.credit = credit, .overflow = policy, .on_message = {}});
  }
  std::unique_ptr<WatchProbe> watch_with(ValueView asked) {
    WatchProbe::Options options;
    options.options = asked;
    return watch(std::move(options));
  }
  void TearDown() override {
    if (topic_ != 0) host_.services().endpoint.close(host_.raw(), topic_);
    hub_.reset();
  }
  bool publish(int value) { return hub_->publish(MessageBuilder(value)); }
  void publish(int first, int last) {
    for (int value = first; value <= last; ++value) publish(value);
  }
  int64_t dropped(const std::string& reason) {
    return fake_.metric("messages_dropped_total{reason=" + reason + "}");
  }

  FakeHost fake_;
  Host host_{fake_.raw()};
  std::optional<Hub> hub_;
  bp_ref topic_ = 0;
};

std::vector<int> range(int first, int last) {
  std::vector<int> out;
  for (int value = first; value <= last; ++value) out.push_back(value);
  return out;
}

TEST_F(AHub, DeliversInsidePublishToAWatcherWithCredit) {
  make();
  const auto sut = watch();
  publish(1, 3);
  EXPECT_EQ(sut->values(), range(1, 3));
  EXPECT_EQ(sut->messages()[2].view().seq(), 3u);
}

TEST_F(AHub, AllocatesNothingForWatchersWithCredit) {
  make();
  const auto one = watch({.overflow = {}, .on_message = {}, .keep = false});
  const auto two = watch({.overflow = {}, .on_message = {}, .keep = false});
  const std::string text(1000, 'x');
  const size_t before = test::allocations();
  for (int i = 0; i < 100; ++i) hub_->publish(MessageBuilder(text).header("unit", "Cel"));
  EXPECT_EQ(test::allocations() - before, 0u);
  EXPECT_EQ(one->count() + two->count(), 200u);
}

TEST_F(AHub, GivesEveryWatcherEachMessage) {
  make();
  const auto one = watch(), two = watch(), slow = watch(BP_OVERFLOW_BLOCK, 0);
  publish(1, 2);
  EXPECT_EQ(one->values(), range(1, 2));
  EXPECT_EQ(two->values(), range(1, 2));
  EXPECT_EQ(slow->values(), range(1, 0));
}

TEST_F(AHub, DeliversNothingWithoutCreditAndNotInsideCredit) {
  make();
  const auto sut = watch(BP_OVERFLOW_BLOCK, 0);
  publish(1, 3);
  sut->credit(2);
  EXPECT_EQ(sut->count(), 0u);
  fake_.loop.run();
  EXPECT_EQ(sut->values(), range(1, 2));
  sut->credit(5);
  fake_.loop.run();
  publish(4, 5);
  EXPECT_EQ(sut->values(), range(1, 5));
}

TEST_F(AHub, KeepsTheDescriptorOfAMessageThatWaits) {
  make();
  std::optional<bool> is_open;
  const auto sut = watch({.credit = 0,
                          .overflow = {},
                          .on_message =
                              [&](WatchProbe&, MessageView message) {
                                const auto got = static_cast<int>(message.body().as.i);
                                is_open = fcntl(got, F_GETFD) >= 0;
                                return Status::ok();
                              },
                          .keep = false});
  const int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
  hub_->publish(MessageBuilder(ValueView::descriptor(descriptor)));
  close(descriptor);
  sut->credit(1);
  fake_.loop.run();
  EXPECT_EQ(is_open, true);
}

TEST_F(AHub, DeliversWhatWaitsBeforeANewMessage) {
  make();
  const auto sut = watch(BP_OVERFLOW_BLOCK, 0);
  publish(1, 2);
  sut->credit(10);  // the loop has not run yet
  publish(3);
  EXPECT_EQ(sut->values(), range(1, 3));
}

TEST_F(AHub, AcceptsCreditFromInsideNext) {
  make();
  const auto sut =
      watch({.credit = 1, .overflow = {}, .on_message = [](WatchProbe& probe, MessageView) {
               probe.credit(1);
               return Status::ok();
             }});
  publish(1, 100);
  EXPECT_EQ(sut->values(), range(1, 100));
}

TEST_F(AHub, AllowsPublishFromInsideNextWithoutRecursion) {
  make();
  const auto sut = watch({.overflow = {}, .on_message = [this](WatchProbe&, MessageView message) {
                            const int value = message.as<int>().value();
                            if (value < 5) publish(value + 1);
                            return Status::ok();
                          }});
  publish(1);
  EXPECT_EQ(sut->values(), range(1, 5));
}

TEST_F(AHub, TellsTheSourceToPauseAndToGoOnWhenAWatcherBlocks) {
  int ready = 0;
  make({.queue_messages = 4, .on_ready = [&] { ++ready; }});
  const auto sut = watch(BP_OVERFLOW_BLOCK, 0);
  EXPECT_TRUE(publish(1));
  EXPECT_TRUE(publish(2));
  EXPECT_TRUE(publish(3));
  EXPECT_FALSE(publish(4));
  sut->credit(1);
  fake_.loop.run();
  EXPECT_EQ(ready, 0) << "not before half of the queue is free";
  sut->credit(1);
  fake_.loop.run();
  EXPECT_EQ(ready, 1);
  EXPECT_TRUE(publish(5));
  sut->credit(9);
  fake_.loop.run();
  EXPECT_EQ(sut->values(), range(1, 5));
  EXPECT_EQ(dropped("overflow"), 0);
}

TEST_F(AHub, LetsTheSourceGoOnWhenTheBlockingWatcherLeaves) {
  int ready = 0;
  make({.queue_messages = 1, .on_ready = [&] { ++ready; }});
  const auto sut = watch(BP_OVERFLOW_BLOCK, 0);
  EXPECT_FALSE(publish(1));
  sut->cancel();
  EXPECT_EQ(ready, 1);
  EXPECT_EQ(dropped("ended"), 1);
}

TEST_F(AHub, CountsWhatASourcePublishesInSpiteOfThePause) {
  make({.queue_messages = 2, .on_ready = {}});
  const auto sut = watch(BP_OVERFLOW_BLOCK, 0);
  publish(1, 5);
  EXPECT_EQ(dropped("overflow"), 3);
  sut->credit(9);
  fake_.loop.run();
  EXPECT_EQ(sut->values(), range(1, 2));
  publish(6);
  EXPECT_EQ(sut->messages().back().view().seq(), 6u) << "a dropped message has had its number";
}

TEST_F(AHub, DropsTheOldestAndCountsIt) {
  make({.queue_messages = 3, .on_ready = {}});
  const auto sut = watch(BP_OVERFLOW_DROP_OLDEST, 0);
  publish(1, 10);
  sut->credit(9);
  fake_.loop.run();
  EXPECT_EQ(sut->values(), range(8, 10));
  EXPECT_EQ(dropped("oldest"), 7);
  EXPECT_EQ(sut->messages()[0].view().seq(), 8u);
}

TEST_F(AHub, HasAPolicyForWatchersThatSayNone) {
  make({.queue_messages = 3, .default_policy = BP_OVERFLOW_DROP_OLDEST, .on_ready = {}});
  const auto sut = watch({.credit = 0, .overflow = {}, .on_message = {}});
  const auto other = watch(BP_OVERFLOW_BLOCK, 0);
  publish(1, 5);
  for (const auto& each : {&sut, &other}) (*each)->credit(5);
  fake_.loop.run();
  EXPECT_EQ(sut->values(), range(3, 5));
  EXPECT_EQ(other->values(), range(1, 3));
}

TEST_F(AHub, KeepsOneMessageWithPolicyLatest) {
  make();
  const auto sut = watch(BP_OVERFLOW_LATEST, 1);
  publish(1, 10);
  sut->credit(9);
  fake_.loop.run();
  EXPECT_EQ(sut->values(), (std::vector<int>{1, 10}));
  EXPECT_EQ(dropped("latest"), 8);
}

TEST_F(AHub, EndsTheWatchWithPolicyFail) {
  make({.queue_messages = 2, .on_ready = {}});
  const auto sut = watch(BP_OVERFLOW_FAIL, 0), other = watch();
  publish(1, 3);
  ASSERT_TRUE(sut->done());
  EXPECT_EQ(sut->outcome().code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_NE(sut->outcome().message().find("too slow"), std::string::npos);
  EXPECT_EQ(other->values(), range(1, 3));
  EXPECT_EQ(dropped("overflow") + dropped("ended"), 3);
}

TEST_F(AHub, BoundsAQueueByBytesButTakesOneMessageHoweverLong) {
  make({.queue_messages = 100, .queue_bytes = 5000, .on_ready = {}});
  const auto sut = watch(BP_OVERFLOW_DROP_OLDEST, 0);
  const std::string text(2000, 'x'), huge(100'000, 'y');
  for (int i = 0; i < 3; ++i) hub_->publish(MessageBuilder(text));
  EXPECT_EQ(dropped("oldest"), 1);
  hub_->publish(MessageBuilder(huge));
  EXPECT_EQ(dropped("oldest"), 3);
  sut->credit(9);
  fake_.loop.run();
  ASSERT_EQ(sut->count(), 1u);
  EXPECT_EQ(sut->messages()[0].body().get<std::string_view>(), huge);
}

TEST_F(AHub, SaysWhetherItHasRoomForSeveralMessages) {
  make({.queue_messages = 4, .queue_bytes = 2000});
  EXPECT_TRUE(hub_->has_room(100, 100'000)) << "nobody watches";
  const auto dropping = watch(BP_OVERFLOW_DROP_OLDEST, 0);
  EXPECT_TRUE(hub_->has_room(100, 100'000));
  const auto sut = watch(BP_OVERFLOW_BLOCK, 0);
  EXPECT_TRUE(hub_->has_room(1, 100'000)) << "a single message always fits";
  EXPECT_FALSE(hub_->has_room(2, 100'000));
  EXPECT_TRUE(hub_->has_room(4, 1000));
  EXPECT_FALSE(hub_->has_room(5, 1000));
  publish(1, 3);
  EXPECT_TRUE(hub_->has_room(1, Hub::size_of(MessageBuilder(4))));
  EXPECT_FALSE(hub_->has_room(1, 100'000));
  EXPECT_FALSE(hub_->has_room(2, 2 * Hub::size_of(MessageBuilder(4))));
  EXPECT_EQ(dropped("overflow"), 0);
}

TEST_F(AHub, RefusesAnUnknownPolicy) {
  make();
  const auto sut = watch(7, 1);
  EXPECT_EQ(sut->outcome().code(), BP_INVALID_ARGUMENT);
}

TEST_F(AHub, RefusesOptions) {
  make();
  StackArena arena;
  const auto sut = watch_with(arena.map({{"deadband", 1}}));
  EXPECT_EQ(sut->outcome().code(), BP_INVALID_ARGUMENT);
  EXPECT_NE(std::string(sut->outcome().message()).find("no option 'deadband'"), std::string::npos);
  EXPECT_FALSE(watch_with(arena.map({}))->done());
}

TEST_F(AHub, TakesTheOptionsThatItsEndpointReads) {
  HubOptions known;
  known.options = {"deadband"};
  make(known);
  StackArena arena;
  EXPECT_FALSE(watch_with(arena.map({{"deadband", 1}}))->done());
  EXPECT_EQ(watch_with(arena.map({{"deadband", 1}, {"queue", 1}}))->outcome().code(),
            BP_INVALID_ARGUMENT);
}

TEST_F(AHub, ReplaysTheLastMessageToANewWatcher) {
  make({.replay_last = true, .on_ready = {}});
  publish(1, 2);
  const auto sut = watch();
  ASSERT_EQ(sut->values(), (std::vector<int>{2}));
  EXPECT_TRUE(sut->messages()[0].view().is_initial());
  publish(3);
  EXPECT_FALSE(sut->messages()[1].view().is_initial());
  const auto late = watch(BP_OVERFLOW_BLOCK, 0);
  EXPECT_EQ(late->count(), 0u);
  late->credit(1);
  fake_.loop.run();
  EXPECT_EQ(late->values(), (std::vector<int>{3}));
}

TEST_F(AHub, AsksTheLoopForWhatIsPresentWhenAWatcherIsNew) {
  int value = 1, asked = 0;
  make({.present =
            [&] {
              ++asked;
              return OwnedMessage(MessageBuilder(value).view());
            },
        .on_ready = {}});
  publish(value = 2);
  EXPECT_EQ(hub_->watchers(), 0u);
  const auto sut = watch();
  EXPECT_EQ(hub_->watchers(), 1u);
  publish(value = 3);  // in what is present
  EXPECT_EQ(sut->count(), 0u);
  fake_.loop.run();
  ASSERT_EQ(sut->values(), (std::vector<int>{3}));
  EXPECT_TRUE(sut->messages()[0].view().is_initial());
  publish(value = 4);
  const auto late = watch(BP_OVERFLOW_BLOCK, 0);
  fake_.loop.run();
  publish(value = 5);
  EXPECT_EQ(sut->values(), range(3, 5));
  EXPECT_FALSE(sut->messages()[1].view().is_initial());
  EXPECT_LT(sut->messages()[0].view().seq(), sut->messages()[1].view().seq());
  EXPECT_EQ(late->count(), 0u);
  late->credit(2);
  fake_.loop.run();
  ASSERT_EQ(late->values(), range(4, 5));
  EXPECT_TRUE(late->messages()[0].view().is_initial());
  EXPECT_FALSE(late->messages()[1].view().is_initial());
  EXPECT_EQ(asked, 2);
}

TEST_F(AHub, GivesChangesAloneWhereNothingIsPresent) {
  make({.present = [] { return std::nullopt; }, .on_ready = {}});
  const auto sut = watch();
  fake_.loop.run();
  publish(1);
  ASSERT_EQ(sut->values(), range(1, 1));
  EXPECT_FALSE(sut->messages()[0].view().is_initial());
}

TEST_F(AHub, EndsAWatchWhosePresentMessageCannotBeMade) {
  make({.present = []() -> std::optional<OwnedMessage> { throw Error(BP_DATA_LOSS, "no"); },
        .on_ready = {}});
  const auto sut = watch();
  fake_.loop.run();
  EXPECT_EQ(sut->outcome().code(), BP_DATA_LOSS);
}

TEST_F(AHub, LetsANewWatcherGoBeforeItHasWhatIsPresent) {
  make({.present = [] { return OwnedMessage(MessageBuilder(1).view()); }, .on_ready = {}});
  const auto cancelled = watch(), ended = watch();
  cancelled->cancel();
  EXPECT_EQ(cancelled->outcome().code(), BP_CANCELLED);
  hub_->end(Status::ok());
  fake_.loop.run();
  EXPECT_EQ(cancelled->count(), 0u);
  EXPECT_EQ(ended->values(), range(1, 1));
  EXPECT_EQ(ended->outcome().code(), BP_OK);
}

TEST_F(AHub, DoesNotWaitForANewWatcherToAcknowledgeAChange) {
  make({.present = [] { return OwnedMessage(MessageBuilder(1).view()); }, .on_ready = {}});
  const auto sut = watch({.overflow = {}, .ack = true, .on_message = {}});
  std::optional<Status> settled;
  hub_->publish(MessageBuilder(1), [&](const Status& status) { settled = status; });
  ASSERT_TRUE(settled.has_value());
  EXPECT_TRUE(settled->is_ok());
  fake_.loop.run();
  EXPECT_EQ(sut->values(), range(1, 1));
}

TEST_F(AHub, KeepsTheNumbersOfASourceThatCounts) {
  make();
  const auto sut = watch();
  hub_->publish(MessageBuilder(1).seq(10));
  hub_->publish(MessageBuilder(2).seq(15));
  hub_->publish(MessageBuilder(3));
  hub_->publish(MessageBuilder(4).seq(3));
  std::vector<uint64_t> seqs;
  for (const OwnedMessage& message : sut->messages()) seqs.push_back(message.view().seq());
  EXPECT_EQ(seqs, (std::vector<uint64_t>{10, 15, 16, 17}));
}

TEST_F(AHub, CompletesACancelledWatchOnce) {
  make();
  const auto sut = watch();
  sut->cancel();
  sut->cancel();
  ASSERT_TRUE(sut->done());
  EXPECT_EQ(sut->outcome().code(), BP_CANCELLED);
  EXPECT_EQ(hub_->watchers(), 0u);
  publish(1);
  EXPECT_EQ(sut->count(), 0u);
}

TEST_F(AHub, EndsAWatchThatIsCancelledFromInsideNext) {
  make();
  const auto sut = watch({.overflow = {}, .on_message = [](WatchProbe& probe, MessageView) {
                            probe.cancel();
                            EXPECT_FALSE(probe.done()) << "the completion is the last call";
                            return Status::ok();
                          }});
  publish(1, 2);
  EXPECT_TRUE(sut->done());
  EXPECT_EQ(sut->values(), range(1, 1));
}

TEST_F(AHub, EndsAWatchWithTheStatusThatItsConsumerReturns) {
  make();
  const auto sut = watch(
      {.overflow = {}, .on_message = [](WatchProbe&, MessageView) { return Status(BP_ABORTED); }});
  publish(1, 2);
  EXPECT_EQ(sut->outcome().code(), BP_ABORTED);
  EXPECT_EQ(sut->count(), 1u);
}

TEST_F(AHub, EndLetsAWatcherTakeWhatWaits) {
  make();
  const auto fast = watch(), slow = watch(BP_OVERFLOW_BLOCK, 0);
  publish(1, 3);
  hub_->end(Status::ok());
  EXPECT_TRUE(fast->done());
  EXPECT_FALSE(slow->done());
  slow->credit(3);
  fake_.loop.run();
  EXPECT_TRUE(slow->done());
  EXPECT_EQ(slow->outcome().code(), BP_OK);
  EXPECT_EQ(slow->values(), range(1, 3));
  EXPECT_TRUE(watch()->done()) << "an ended stream ends a new watch at once";
}

TEST_F(AHub, StopEndsAllAtOnceAndSaysWhenNobodyIsLeft) {
  make();
  const auto fast = watch(), slow = watch(BP_OVERFLOW_BLOCK, 0);
  publish(1, 3);
  bool stopped = false;
  hub_->stop(Status(BP_UNAVAILABLE, "the broker is gone"), [&] { stopped = true; });
  EXPECT_TRUE(stopped);
  EXPECT_EQ(fast->outcome().message(), "the broker is gone");
  EXPECT_EQ(slow->outcome().code(), BP_UNAVAILABLE);
  EXPECT_EQ(dropped("ended"), 3);
}

TEST_F(AHub, StopWaitsForADeliveryThatIsUnderWay) {
  make();
  bool stopped = false;
  const auto sut = watch({.overflow = {}, .on_message = [&](WatchProbe&, MessageView) {
                            hub_->stop(Status(BP_UNAVAILABLE), [&] { stopped = true; });
                            EXPECT_FALSE(stopped);
                            return Status::ok();
                          }});
  publish(1);
  EXPECT_TRUE(stopped);
  EXPECT_TRUE(sut->done());
}

TEST_F(AHub, SurvivesThatACompletionClosesItsEndpoint) {
  make();
  auto sut = watch();
  Hub source = *hub_;
  hub_.reset();
  host_.services().endpoint.close(host_.raw(),
                                  std::exchange(topic_, 0));  // cancels, completes, closes
  EXPECT_TRUE(sut->done());
  EXPECT_TRUE(source.publish(MessageBuilder(1)));
}

// ---- acknowledgement ----

struct Settlement {
  int calls = 0;
  Status status;
  Hub::Settled callback() {
    return [this](const Status& outcome) {
      ++calls;
      status = outcome;
    };
  }
};

TEST_F(AHub, TellsTheSourceAtOnceWhenNobodyWatches) {
  make();
  Settlement sut;
  hub_->publish(MessageBuilder(1), sut.callback());
  EXPECT_EQ(sut.calls, 1);
  EXPECT_EQ(sut.status.code(), BP_UNAVAILABLE);
}

TEST_F(AHub, TellsTheSourceAfterDeliveryWhenNobodyAcknowledges) {
  make();
  const auto watcher = watch();
  Settlement sut;
  hub_->publish(MessageBuilder(1), sut.callback());
  EXPECT_EQ(sut.calls, 1);
  EXPECT_TRUE(sut.status.is_ok());
}

TEST_F(AHub, JoinsTheAcknowledgementsOfAllWatchers) {
  make();
  const auto one = watch({.overflow = {}, .ack = true, .on_message = {}});
  const auto two = watch({.overflow = {}, .ack = true, .on_message = {}});
  Settlement first, second;
  hub_->publish(MessageBuilder(1), first.callback());
  hub_->publish(MessageBuilder(2), second.callback());
  one->ack(1);
  one->ack(2);
  EXPECT_EQ(first.calls, 0);
  two->ack(2);  // in any order
  EXPECT_EQ(second.calls, 1);
  EXPECT_TRUE(second.status.is_ok());
  two->ack(2);  // once each
  two->ack(1);
  EXPECT_EQ(first.calls, 1);
  EXPECT_EQ(second.calls, 1);
}

TEST_F(AHub, AcceptsAnAcknowledgementFromInsideNext) {
  make();
  const auto watcher =
      watch({.overflow = {}, .ack = true, .on_message = [](WatchProbe& probe, MessageView message) {
               probe.ack(message.seq());
               return Status::ok();
             }});
  Settlement sut;
  hub_->publish(MessageBuilder(1), sut.callback());
  EXPECT_EQ(sut.calls, 1);
  EXPECT_TRUE(sut.status.is_ok());
}

TEST_F(AHub, GivesARefusedMessageAgainToThatWatcherAlone) {
  make();
  const auto good = watch({.overflow = {}, .ack = true, .on_message = {}});
  const auto bad = watch({.overflow = {}, .ack = true, .on_message = {}});
  Settlement sut;
  hub_->publish(MessageBuilder(1), sut.callback());
  good->ack(1);
  bad->ack(1, BP_UNAVAILABLE);
  fake_.loop.run();
  EXPECT_EQ(bad->count(), 1u) << "not before the delay";
  fake_.loop.advance(std::chrono::seconds(2));
  ASSERT_EQ(bad->count(), 2u);
  EXPECT_TRUE(bad->messages()[1].view().is_redelivered());
  EXPECT_EQ(bad->messages()[1].view().seq(), 1u);
  EXPECT_EQ(good->count(), 1u);
  EXPECT_EQ(sut.calls, 0);
  bad->ack(1);
  EXPECT_EQ(sut.calls, 1);
  EXPECT_TRUE(sut.status.is_ok());
}

TEST_F(AHub, LeavesNoTimerForARefusedMessageWhenItStops) {
  make();
  const auto watcher = watch({.overflow = {}, .ack = true, .on_message = {}});
  const size_t before = fake_.loop.registrations();
  hub_->publish(MessageBuilder(1), {});
  watcher->ack(1, BP_UNAVAILABLE);
  EXPECT_GT(fake_.loop.registrations(), before);
  bool stopped = false;
  hub_->stop(Status(BP_CANCELLED), [&] { stopped = true; });
  EXPECT_TRUE(stopped);
  EXPECT_EQ(fake_.loop.registrations(), before);
}

TEST_F(AHub, TellsTheSourceWhenAWatcherEndsBeforeItAcknowledged) {
  make();
  Settlement delivered, waiting;
  const auto watcher = watch({.credit = 1, .overflow = {}, .ack = true, .on_message = {}});
  hub_->publish(MessageBuilder(1), delivered.callback());
  hub_->publish(MessageBuilder(2), waiting.callback());
  EXPECT_EQ(delivered.calls + waiting.calls, 0);
  watcher->cancel();
  EXPECT_EQ(delivered.calls, 1);
  EXPECT_EQ(waiting.calls, 1);
  EXPECT_EQ(delivered.status.code(), BP_CANCELLED);
}

TEST_F(AHub, TellsTheSourceThatAFullQueueDidNotTakeAMessage) {
  make({.queue_messages = 1, .on_ready = {}});
  const auto watcher =
      watch({.credit = 0, .overflow = BP_OVERFLOW_BLOCK, .ack = true, .on_message = {}});
  Settlement taken, refused;
  hub_->publish(MessageBuilder(1), taken.callback());
  hub_->publish(MessageBuilder(2), refused.callback());
  EXPECT_EQ(taken.calls, 0);
  EXPECT_EQ(refused.calls, 1);
  EXPECT_EQ(refused.status.code(), BP_RESOURCE_EXHAUSTED);
}

TEST_F(AHub, CountsAMessageThatThePolicyDroppedAsSettled) {
  make();
  const auto watcher =
      watch({.credit = 0, .overflow = BP_OVERFLOW_LATEST, .ack = true, .on_message = {}});
  Settlement old, young;
  hub_->publish(MessageBuilder(1), old.callback());
  hub_->publish(MessageBuilder(2), young.callback());
  EXPECT_EQ(old.calls, 1);
  EXPECT_TRUE(old.status.is_ok());
  EXPECT_EQ(young.calls, 0);
}

TEST_F(AHub, BoundsWhatAWatcherHasNotAcknowledged) {
  make({.queue_messages = 2, .on_ready = {}});
  const auto sut = watch({.overflow = BP_OVERFLOW_BLOCK, .ack = true, .on_message = {}});
  publish(1, 9);
  EXPECT_EQ(sut->values(), range(1, 2));
  EXPECT_EQ(dropped("overflow"), 5);
  sut->ack(1);
  fake_.loop.run();
  EXPECT_EQ(sut->values(), range(1, 3));
}

TEST_F(AHub, EndWaitsForTheAcknowledgements) {
  make();
  const auto sut = watch({.overflow = {}, .ack = true, .on_message = {}});
  publish(1);
  hub_->end(Status::ok());
  EXPECT_FALSE(sut->done());
  sut->ack(1);
  EXPECT_TRUE(sut->done());
}

// ---- threads ----

TEST_F(AHub, LosesNothingWhenTheSourceHeedsThePause) {
  constexpr int kMessages = 5000;
  std::atomic<int> ready{0};
  make({.queue_messages = 64, .on_ready = [&] { ++ready; }});
  fake_.loop.start_thread();
  const auto sut = watch(BP_OVERFLOW_BLOCK, 0);
  std::thread source([&] {
    int pauses = 0;
    for (int i = 1; i <= kMessages; ++i) {
      if (!publish(i)) {
        ++pauses;
        EXPECT_TRUE(eventually([&] { return ready >= pauses; }));
      }
    }
  });
  EXPECT_TRUE(eventually([&] {
    sut->credit(3);
    return sut->count() == kMessages;
  }));
  source.join();
  EXPECT_EQ(sut->values(), range(1, kMessages));
  EXPECT_EQ(dropped("overflow"), 0);
}

TEST_F(AHub, StandsCancelCreditAckAndPublishFromManyThreads) {
  constexpr int kMessages = 3000;
  make({.queue_messages = 32, .redeliver_after = std::chrono::microseconds(50), .on_ready = {}});
  fake_.loop.start_thread();
  std::atomic<int> settled{0};
  std::atomic<bool> over{false};
  const auto source = [&] {
    for (int i = 0; i < kMessages; ++i) {
      hub_->publish(MessageBuilder(i), [&](const Status&) { ++settled; });
    }
  };
  const auto consumer = [&](uint32_t policy) {
    while (!over) {
      auto probe = watch({.credit = 1,
                          .overflow = policy,
                          .ack = true,
                          .on_message = [](WatchProbe& self, MessageView message) {
                            const bool refuse = message.seq() % 7 == 0 && !message.is_redelivered();
                            self.ack(message.seq(), refuse ? BP_UNAVAILABLE : BP_OK);
                            self.credit(1);
                            return Status::ok();
                          }});
      const size_t enough = 20 + policy;
      eventually([&] { return over || probe->done() || probe->count() > enough; });
    }
  };
  std::vector<std::thread> consumers;
  for (const uint32_t policy :
       {BP_OVERFLOW_BLOCK, BP_OVERFLOW_DROP_OLDEST, BP_OVERFLOW_LATEST, BP_OVERFLOW_FAIL}) {
    consumers.emplace_back(consumer, policy);
  }
  std::thread one(source), two(source);
  one.join();
  two.join();
  over = true;
  for (std::thread& thread : consumers) thread.join();
  EXPECT_TRUE(eventually([&] { return settled == 2 * kMessages; })) << settled;
  EXPECT_EQ(hub_->watchers(), 0u);
}

TEST_F(AHub, StopsWhileOthersPublishAndWatch) {
  for (int round = 0; round < 50; ++round) {
    FakeHost fake;
    Host host(fake.raw());
    fake.loop.start_thread();
    Hub hub(host);
    const bp_ref topic = fake.adopt_endpoint(make_endpoint(std::make_unique<Topic>(hub)));
    std::atomic<bool> stopped{false}, over{false};
    std::thread source([&] {
      for (int i = 0; !over; ++i) hub.publish(MessageBuilder(i));
    });
    std::vector<std::unique_ptr<WatchProbe>> probes;
    for (uint32_t i = 0; i < 4; ++i) {
      probes.push_back(std::make_unique<WatchProbe>(
          host, topic, WatchProbe::Options{.credit = 100, .overflow = i, .on_message = {}}));
    }
    hub.stop(Status(BP_UNAVAILABLE), [&] { stopped = true; });
    EXPECT_TRUE(eventually([&] { return stopped.load(); }));
    over = true;
    source.join();
    for (const auto& probe : probes) EXPECT_TRUE(probe->done());
    probes.clear();
    host.services().endpoint.close(host.raw(), topic);
  }
}

}  // namespace
}  // namespace backplane
