// SPDX-License-Identifier: Apache-2.0
#include "fixture.hpp"
#include "support/eventually.hpp"

#include <nlohmann/json.hpp>

#include <random>
#include <thread>

namespace backplane::route {
namespace {

// ---- the way of a message ----

TEST_F(ARoute, WritesWhatComesAndAcknowledgesItAtTheSource) {
  start({to("a")});
  ASSERT_TRUE(source.is_watched());
  EXPECT_TRUE(source.wants_ack());
  EXPECT_TRUE(source.publish(21, 1));
  EXPECT_EQ(a.values(), (std::vector{21}));
  EXPECT_EQ(a.verbs(), (std::vector<uint16_t>{BP_V_WRITE}));
  EXPECT_EQ(source.acked(), (std::map<uint64_t, int>{{1, 1}}));
  EXPECT_EQ(tally().out, 1u);
  EXPECT_EQ(fake.metric("route_in_total{destination=a}"), 1);
  EXPECT_EQ(fake.metric("route_out_total{destination=a}"), 1);
}

TEST_F(ARoute, AsksItsSourceAgainForTheSame) {
  asked_ = OwnedMessage(MessageBuilder().header(BP_H_QOS, 1u).view());
  start({to("a")});
  source.end(Status(BP_UNAVAILABLE));
  wait_for_the_next_try();
  ASSERT_EQ(source.watches(), 2);
  EXPECT_EQ(source.asked().view().header<unsigned>(BP_H_QOS), 1u);
}

TEST_F(ARoute, AsksItsSourceForNothingByItself) {
  start({to("a")});
  ASSERT_TRUE(source.is_watched());
  EXPECT_TRUE(source.asked().view().headers().empty());
}

TEST_F(ARoute, PassesABodyOnWithoutCopyingIt) {
  start({to("a")});
  const std::string payload(100000, 'x');
  Buffer buffer = Buffer::make(payload.size());
  std::memcpy(buffer.data(), payload.data(), payload.size());
  const void* seen = nullptr;
  a.answer = [&](Op op) {
    seen = op.in().body().as.p;
    return Status::ok();
  };
  MessageBuilder message(ValueView::bytes(buffer.data(), buffer.size()));
  message.seq(1).owner(buffer.get());
  EXPECT_TRUE(source.publish(message));
  EXPECT_EQ(seen, buffer.data());
}

TEST_F(ARoute, CallsADestinationThatIsToBeCalledAndAddsItsHeaders) {
  DestinationOptions called = to("a");
  called.verb = BP_V_CALL;
  MessageBuilder headers;
  headers.header(BP_H_QOS, 1u).header("unit", "Cel");
  called.headers = OwnedMessage(headers.view());
  start({called});
  source.publish(1, 1);
  ASSERT_EQ(a.verbs(), (std::vector<uint16_t>{BP_V_CALL}));
  const MessageView got = a.received()[0].view();
  EXPECT_EQ(a.received()[0].view().header<int>(BP_H_QOS), 1);
  EXPECT_EQ(a.received()[0].view().header<std::string>("unit"), "Cel");
  EXPECT_EQ(a.received()[0].view().header<int>(BP_H_HOPS), 1);
  static_cast<void>(got);
}

TEST_F(ARoute, AcknowledgesOnlyWhenEveryDestinationHas) {
  n_destinations_ = 2;
  start({to("a"), to("b")});
  a.keep_all();
  source.publish(1, 1);
  EXPECT_EQ(b.values(), (std::vector{1}));
  EXPECT_TRUE(source.acked().empty());
  a.complete_all();
  EXPECT_EQ(source.acked(), (std::map<uint64_t, int>{{1, 1}}));
  expect_balance();
}

TEST_F(ARoute, WatchesASourceThatDoesNotAcknowledgeWithout) {
  source.refuses_ack = true;
  start({to("a")});
  ASSERT_TRUE(source.is_watched());
  EXPECT_FALSE(source.wants_ack());
  source.publish(5);
  EXPECT_EQ(a.values(), (std::vector{5}));
  EXPECT_TRUE(source.acked().empty());
}

TEST_F(ARoute, DoesNotSendTwiceWhatIsDeliveredAgainWhileItIsUnderWay) {
  a.keep_all();
  start({to("a")});
  source.publish(1, 1);
  source.publish(1, 1, BP_M_REDELIVERED);
  EXPECT_EQ(a.values(), (std::vector{1}));
  EXPECT_EQ(tally().in, 1u);
  a.complete_all();
  EXPECT_EQ(source.acked(), (std::map<uint64_t, int>{{1, 1}}));
  source.publish(1, 1, BP_M_REDELIVERED);  // now it is a new try
  EXPECT_EQ(a.values(), (std::vector{1, 1}));
}

TEST_F(ARoute, SendsOneAfterAnotherWhileThereIsNoMemoryForMoreAtOnce) {
  a.keep_all();
  start({to_a(Policy::kBlock, 8, 4)});
  fake.has_no_memory_for_operations = true;
  for (int i = 1; i <= 3; ++i) source.publish(i, static_cast<uint64_t>(i));
  EXPECT_EQ(a.values(), (std::vector{1}));
  expect_balance();
  a.complete(0, Status::ok());
  EXPECT_EQ(a.values(), (std::vector{1, 2}));
  fake.has_no_memory_for_operations = false;
  source.publish(4, 4);
  EXPECT_EQ(a.values(), (std::vector{1, 2, 3, 4}));
  a.complete_all();
  EXPECT_EQ(source.acked().size(), 4u);
  expect_balance();
}

TEST_F(ARoute, SettlesWhatHasNoValueWithoutSendingIt) {
  start({to("a")});
  source.publish(nullptr, 1, BP_M_INITIAL);
  source.publish(nullptr, 2, BP_M_LAST);
  EXPECT_EQ(a.count(), 0u);
  EXPECT_EQ(source.acked().size(), 2u);
  source.publish(nullptr, 3);
  EXPECT_EQ(a.count(), 1u) << "null alone is a value";
}

TEST_F(ARoute, GoesOnWhenADestinationPublishesAtItsOwnSource) {
  start({to("a")});
  int rounds = 0;
  a.answer = [&](Op) {
    if (++rounds < 1000) source.publish(rounds, static_cast<uint64_t>(rounds) + 1);
    return Status::ok();
  };
  source.publish(0, 1);
  EXPECT_EQ(rounds, 1000);
  EXPECT_EQ(source.acked().size(), 1000u);
  expect_balance();
}

// ---- steps ----

TEST_F(ARoute, GivesEachDestinationItsOwnSteps) {
  n_destinations_ = 2;
  DestinationOptions scaled = to("a");
  scaled.steps.scale = 0.5;
  DestinationOptions text = to("b");
  text.steps.encode = Encode::kText;
  start({scaled, text});
  source.publish(43, 1);
  EXPECT_EQ(a.received()[0].as<double>().value(), 21.5);
  EXPECT_EQ(b.received()[0].as<std::string>().value(), "43");
  EXPECT_EQ(b.received()[0].view().header<std::string>(BP_H_CONTENT_TYPE), "text/plain");
}

TEST_F(ARoute, CountsWhatTheDeadbandHoldsBackAndAcknowledgesIt) {
  DestinationOptions options = to("a");
  options.steps.deadband = 1;
  options.steps.heartbeat = 60s;
  start({options});
  for (uint64_t i = 1; i <= 10; ++i) source.publish(20.0 + 0.01 * static_cast<double>(i), i);
  EXPECT_EQ(a.count(), 1u);
  EXPECT_EQ(dropped(Reason::kDeadband), 9u);
  EXPECT_EQ(source.acked().size(), 10u);
  EXPECT_EQ(fake.metric("route_dropped_total{destination=a,reason=deadband}"), 9);
  fake.loop.advance(61s);
  source.publish(20.0, 11);
  EXPECT_EQ(a.count(), 2u);
  expect_balance();
}

TEST_F(ARoute, SendsAgainWhatTheDeadbandWouldHoldBackWhenTheLastDidNotArrive) {
  DestinationOptions options = to("a");
  options.steps.deadband = 1;
  a.answer = [](Op) { return Status(BP_INVALID_ARGUMENT, "no"); };
  start({options});
  source.publish(20.0, 1);
  a.answer = nullptr;
  source.publish(20.0, 2);
  EXPECT_EQ(tally().out, 1u);
  EXPECT_EQ(dropped(Reason::kNacked), 1u);
}

/// Stands for the codec: answers with the text's length, later or now.
class ARouteWithACodec : public ARoute {
 protected:
  void start_with_codec(bool later) {
    add("format://json/decode", codec);
    codec.answer = [later](Op op) {
      if (later) return Status::pending();
      return answer_with_length(op);
    };
    DestinationOptions options = to("a");
    options.steps.scale = 10;
    start({options}, true);
  }
  static Status answer_with_length(Op op) {
    const auto payload = op.in().body().payload().value();
    if (payload.empty()) return Status(BP_INVALID_ARGUMENT, "JSON, offset 0: empty");
    return op.reply(static_cast<int64_t>(payload.size()));
  }
  static ValueView bytes(std::string_view text) {
    return ValueView::bytes(text.data(), text.size());
  }
  ScriptedDestination codec{host};
};

TEST_F(ARouteWithACodec, CallsItForBytesOnly) {
  start_with_codec(false);
  source.publish(bytes("abc"), 1);
  fake.loop.run();  // the codec's address is opened
  source.publish(2, 2);
  source.publish(bytes("abcd"), 3);
  EXPECT_EQ(a.values(), (std::vector{30, 20, 40}));
  EXPECT_EQ(codec.count(), 2u);
  EXPECT_EQ(codec.verbs()[0], BP_V_CALL);
}

TEST_F(ARouteWithACodec, KeepsTheOrderWhileTheCodecTakesItsTime) {
  start_with_codec(true);
  source.publish(bytes("abc"), 1);
  source.publish(2, 2);
  fake.loop.run();
  EXPECT_EQ(a.count(), 0u);
  ASSERT_EQ(codec.kept(), 1u);
  codec.complete(0, Status::ok());  // answers null, which cannot be scaled
  EXPECT_EQ(a.values(), (std::vector{20}));
  EXPECT_EQ(dead.count(), 1u);
  expect_balance();
}

TEST_F(ARouteWithACodec, BuriesWhatTheCodecRefuses) {
  start_with_codec(false);
  source.publish(bytes(""), 1);
  fake.loop.run();
  source.publish(bytes("ab"), 2);
  EXPECT_EQ(a.values(), (std::vector{20}));
  ASSERT_EQ(dead.count(), 1u);
  const auto record = nlohmann::json::parse(
      dead.received()[0].view().body().get<std::span<const std::byte>>().value());
  EXPECT_EQ(record["reason"], "invalid");
  EXPECT_NE(record["error"].get<std::string>().find("decode: JSON, offset 0"), std::string::npos);
  EXPECT_EQ(source.acked().size(), 2u);
}

TEST_F(ARouteWithACodec, WaitsForACodecThatIsNotThere) {
  DestinationOptions options = to("a");
  options.steps.scale = 10;
  start({options});
  source.publish(bytes("abc"), 1);
  fake.loop.run();
  EXPECT_EQ(a.count(), 0u);
  EXPECT_EQ(tally().in_flight, 1u);
  EXPECT_EQ(fake.reports().back().state, BP_STATE_DEGRADED);
  EXPECT_NE(fake.reports().back().detail.find("format://json/decode"), std::string::npos);
  codec.answer = answer_with_length;
  add("format://json/decode", codec);
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{30}));
  EXPECT_EQ(fake.reports().back().state, BP_STATE_UP);
}

TEST_F(ARouteWithACodec, StopsWhileTheCodecWorks) {
  start_with_codec(true);
  source.publish(bytes("abc"), 1);
  fake.loop.run();
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(dropped(Reason::kStopped), 1u);
  EXPECT_TRUE(source.acked().empty());
  expect_balance();
}

// ---- failures ----

TEST_F(ARoute, TriesAgainUntilTheDestinationIsBack) {
  a.answer = [](Op) { return Status(BP_UNAVAILABLE, "away"); };
  start({to("a")});
  source.publish(1, 1);
  source.publish(2, 2);
  EXPECT_EQ(a.values(), (std::vector{1})) << "nothing is sent past one that failed";
  EXPECT_TRUE(source.acked().empty());
  wait_for_the_next_try();
  EXPECT_GE(a.count(), 2u);
  EXPECT_EQ(fake.reports().back().state, BP_STATE_DEGRADED);
  a.answer = nullptr;
  wait_for_the_next_try();
  EXPECT_EQ(tally().out, 2u);
  EXPECT_EQ(a.values().back(), 2);
  EXPECT_EQ(source.acked().size(), 2u);
  EXPECT_EQ(fake.reports().back().state, BP_STATE_UP);
  expect_balance();
}

TEST_F(ARoute, SendsAgainWhatFollowedOneThatFailedSoThatTheNewestIsLast) {
  a.keep_all();
  start({to("a")});
  for (int i = 1; i <= 3; ++i) source.publish(i, static_cast<uint64_t>(i));
  ASSERT_EQ(a.kept(), 3u);
  a.complete(1, Status::ok());
  a.complete(0, Status(BP_UNAVAILABLE, "lost"));
  EXPECT_EQ(tally().out, 0u) << "2 came before 1: it counts when 1 is there";
  a.complete(0, Status::ok());
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{1, 2, 3, 1, 2, 3}));
  a.complete_all();
  EXPECT_EQ(tally().out, 3u);
  EXPECT_EQ(source.acked(), (std::map<uint64_t, int>{{1, 1}, {2, 1}, {3, 1}}));
  expect_balance();
}

TEST_F(ARoute, WaitsForADestinationThatIsAbsentAtTheStart) {
  add("source", source);
  start_alone({to("a")});
  EXPECT_EQ(fake.reports().back().state, BP_STATE_DEGRADED);
  EXPECT_NE(fake.reports().back().detail.find("destination a"), std::string::npos);
  source.publish(1, 1);
  add("a", a);
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{1}));
  EXPECT_EQ(fake.reports().back().state, BP_STATE_UP);
}

TEST_F(ARoute, OpensADestinationAnewWhoseReferenceIsClosed) {
  start({to("a")});
  source.publish(1, 1);
  add("a", a);  // the address leads elsewhere now
  a.answer = [](Op) { return Status(BP_FAILED_PRECONDITION, "closed"); };
  source.publish(2, 2);
  a.answer = nullptr;
  wait_for_the_next_try();
  EXPECT_EQ(a.values(), (std::vector{1, 2, 2}));
  EXPECT_EQ(tally().out, 2u);
}

TEST_F(ARoute, TakesAPreconditionThatFailsOnANewReferenceForARefusal) {
  a.answer = [](Op) { return Status(BP_FAILED_PRECONDITION, "read-only today"); };
  start({to("a")});
  source.publish(1, 1);
  EXPECT_EQ(dropped(Reason::kNacked), 1u);
  EXPECT_EQ(source.acked().size(), 1u);
}

TEST_F(ARoute, DropsWhatIsRefusedForGoodAndGoesOn) {
  a.answer = [](Op op) {
    return op.in().as<int>().value() == 1 ? Status(BP_NOT_FOUND, "no such node") : Status::ok();
  };
  start({to("a")});
  source.publish(1, 1);
  source.publish(2, 2);
  EXPECT_EQ(dropped(Reason::kNacked), 1u);
  EXPECT_EQ(tally().out, 1u);
  EXPECT_EQ(source.acked().size(), 2u);
}

TEST_F(ARoute, TakesExhaustionWithoutTheMarkOfARetryForARefusal) {
  a.answer = [](Op) {
    return Status(BP_RESOURCE_EXHAUSTED, "larger than 64 KiB").with_retry(false);
  };
  start({to("a")});
  source.publish(1, 1);
  EXPECT_EQ(dropped(Reason::kNacked), 1u);
}

TEST_F(ARoute, DropsWhatHasExpiredWhileTheDestinationWasAway) {
  a.answer = [](Op) { return Status(BP_UNAVAILABLE, "away"); };
  DestinationOptions options = to("a");
  options.expiry = 30s;
  start({options});
  source.publish(1, 1);
  source.publish(2, 2);
  fake.loop.advance(10s);
  EXPECT_EQ(tally().in_flight, 2u);
  fake.loop.advance(30s);
  wait_for_the_next_try();
  EXPECT_EQ(dropped(Reason::kExpired), 2u);
  EXPECT_EQ(source.acked().size(), 2u);
  expect_balance();
}

TEST_F(ARoute, HonoursTheExpiryOfTheMessageAndPassesOnWhatIsLeft) {
  DestinationOptions options = to("a");
  options.in_flight = 1;
  a.keep_all();
  start({options});
  source.publish(1, 1);
  MessageBuilder message(2);
  message.seq(2).header(BP_H_EXPIRY_NS, std::chrono::nanoseconds(10s).count());
  source.publish(message);
  MessageBuilder brief(3);
  brief.seq(3).header(BP_H_EXPIRY_NS, std::chrono::nanoseconds(1s).count());
  source.publish(brief);
  fake.loop.advance(4s);
  a.complete_all();
  a.complete_all();
  ASSERT_EQ(a.values(), (std::vector{1, 2}));
  const int64_t left = a.received()[1].view().header<int64_t>(BP_H_EXPIRY_NS).value();
  EXPECT_LE(left, std::chrono::nanoseconds(6s).count());
  EXPECT_GT(left, std::chrono::nanoseconds(1s).count());
  EXPECT_EQ(dropped(Reason::kExpired), 1u);
}

TEST_F(ARoute, WatchesAgainWhenTheSourceEnds) {
  start({to("a")});
  source.publish(1, 1);
  source.end(Status(BP_UNAVAILABLE, "peer gone"));
  EXPECT_EQ(fake.reports().back().state, BP_STATE_CONNECTING);
  EXPECT_NE(fake.reports().back().detail.find("peer gone"), std::string::npos);
  wait_for_the_next_try();
  EXPECT_EQ(source.watches(), 2);
  EXPECT_EQ(fake.reports().back().state, BP_STATE_UP);
  source.publish(2, 1);
  EXPECT_EQ(a.values(), (std::vector{1, 2}));
  EXPECT_EQ(fake.metric("route_source_lost_total"), 1);
}

TEST_F(ARoute, DoesNotAcknowledgeAtANewWatchWhatCameFromAnOlderOne) {
  a.keep_all();
  start({to("a")});
  source.publish(1, 1);
  source.end(Status::ok());
  wait_for_the_next_try();
  a.complete_all();
  EXPECT_TRUE(source.acked().empty());
  source.publish(2, 1, BP_M_REDELIVERED);
  a.complete_all();
  EXPECT_EQ(a.values(), (std::vector{1, 2}));
  EXPECT_EQ(source.acked().size(), 1u);
}

TEST_F(ARoute, WaitsForASourceThatIsAbsentAtTheStart) {
  add("a", a);
  start_alone({to("a")});
  EXPECT_EQ(fake.reports().back().state, BP_STATE_CONNECTING);
  add("source", source);
  wait_for_the_next_try();
  EXPECT_TRUE(source.is_watched());
  EXPECT_EQ(fake.reports().back().state, BP_STATE_UP);
}

TEST_F(ARoute, SaysDownWhenTheSourceRefusesForGood) {
  source.refusal = Status(BP_PERMISSION_DENIED, "not for you");
  start({to("a")});
  EXPECT_EQ(fake.reports().back().state, BP_STATE_DOWN);
  EXPECT_NE(fake.reports().back().detail.find("not for you"), std::string::npos);
}

// ---- the dead letter ----

nlohmann::json record(const OwnedMessage& letter) {
  return nlohmann::json::parse(letter.body().get<std::span<const std::byte>>().value());
}

TEST_F(ARoute, WritesADeadLetterAndAcknowledgesWhenItIsStored) {
  a.answer = [](Op) { return Status(BP_NOT_FOUND, "no such node"); };
  dead.keep_all();
  start({to("a")}, true);
  MessageBuilder message("hot");
  message.seq(1).header(BP_H_PATH, "line1/t");
  source.publish(message);
  ASSERT_EQ(dead.count(), 1u);
  EXPECT_TRUE(source.acked().empty());
  expect_balance();
  dead.complete_all();
  EXPECT_EQ(tally().stored, 1u);
  EXPECT_EQ(source.acked().size(), 1u);
  const auto letter = record(dead.received()[0]);
  EXPECT_EQ(letter["route"], "r");
  EXPECT_EQ(letter["reason"], "nacked");
  EXPECT_EQ(letter["error"], "NOT_FOUND: no such node");
  EXPECT_EQ(letter["from"], "source");
  EXPECT_EQ(letter["path"], "line1/t");
  EXPECT_EQ(letter["to"], "a");
  EXPECT_EQ(letter["payload"], "hot");
  EXPECT_EQ(dead.received()[0].view().header<std::string>(BP_H_CONTENT_TYPE), "application/json");
  EXPECT_EQ(dead.received()[0].view().header<int>(BP_H_HOPS), 1);
}

TEST_F(ARoute, TriesToStoreADeadLetterUntilItIsStored) {
  a.answer = [](Op) { return Status(BP_INVALID_ARGUMENT, "no"); };
  dead.answer = [](Op) { return Status(BP_UNAVAILABLE, "away"); };
  start({to("a")}, true);
  source.publish(1, 1);
  wait_for_the_next_try();
  EXPECT_EQ(tally().stored, 0u);
  EXPECT_EQ(tally().in_flight, 1u);
  dead.answer = nullptr;
  wait_for_the_next_try();
  EXPECT_EQ(tally().stored, 1u);
  EXPECT_EQ(source.acked().size(), 1u);
}

TEST_F(ARoute, DropsADeadLetterThatIsRefusedForGood) {
  a.answer = [](Op) { return Status(BP_INVALID_ARGUMENT, "no"); };
  dead.answer = [](Op) { return Status(BP_INVALID_ARGUMENT, "neither"); };
  start({to("a")}, true);
  source.publish(1, 1);
  EXPECT_EQ(dropped(Reason::kNacked), 1u);
  EXPECT_EQ(source.acked().size(), 1u);
  EXPECT_FALSE(fake.logs().empty());
}

TEST_F(ARoute, EndsALoopOfRoutes) {
  start({to("a")}, true);
  for (uint64_t hops = 3; hops <= 5; ++hops) {
    source.publish(MessageBuilder(static_cast<int>(hops)).seq(hops).header(BP_H_HOPS, hops));
  }
  EXPECT_EQ(a.values(), (std::vector{3}));
  ASSERT_EQ(dead.count(), 2u);
  EXPECT_EQ(record(dead.received()[0])["reason"], "loop");
  EXPECT_EQ(source.acked().size(), 3u);
}

TEST_F(ARoute, BuriesAReferenceWhichItCannotKeep) {
  start({to("a")}, true);
  source.publish(ValueView::reference(5), 1);
  EXPECT_EQ(a.count(), 0u);
  EXPECT_EQ(dead.count(), 1u);
}

// ---- the policies, at ten times of what the destination takes ----

TEST_F(ARoute, ThatBlocksGivesCreditOnlyForWhatHasRoom) {
  a.keep_all();
  start({to_a(Policy::kBlock, 10, 2)});
  uint64_t seq = 0;
  size_t taken = 0;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 10; ++i) {  // ten for each that is done
      taken += source.publish(static_cast<int>(seq) + 1, seq + 1) ? 1 : 0;
      seq = taken;
      ASSERT_LE(route_->destination(0).queue().size(), 10u);
      ASSERT_LE(a.kept(), 2u);
    }
    a.complete(0, Status::ok());
    expect_balance();
  }
  EXPECT_LE(taken, 100u + 12u);
  EXPECT_GE(taken, 100u);
  EXPECT_EQ(tally().dropped_in_all(), 0u);
  EXPECT_EQ(source.acked().size(), 100u);
}

TEST_F(ARoute, ThatBlocksLimitsTheBytesThatWaitOnceItHasSeenHowLargeTheyAre) {
  DestinationOptions options = to_a(Policy::kBlock, 1000, 1);
  options.queue.bytes = 100000;
  a.keep_all();
  start({options});
  const std::string payload(10000, 'x');
  uint64_t seq = 1;
  while (source.publish(payload, seq)) ++seq;
  EXPECT_LE(route_->destination(0).queue().bytes(), 100000u);
  EXPECT_GE(route_->destination(0).queue().size(), 5u);
  while (a.kept() != 0) {
    a.complete_all();
    ASSERT_LE(route_->destination(0).queue().bytes(), 100000u);
  }
  EXPECT_GT(source.credit(), 0u);
}

TEST_F(ARoute, ThatDropsTheOldestNeverBlocksAndStaysWithinItsBounds) {
  DestinationOptions options = to_a(Policy::kDropOldest, 50, 2);
  options.queue.bytes = 20000;
  a.keep_all();
  start({options});
  const std::string padding(300, 'x');
  for (uint64_t i = 1; i <= 1000; ++i) {
    ASSERT_TRUE(
        source.publish(MessageBuilder(static_cast<int>(i)).seq(i).header("padding", padding)));
    ASSERT_LE(route_->destination(0).queue().size(), 50u);
    ASSERT_LE(route_->destination(0).queue().bytes(), 20000u);
    if (i % 10 == 0) a.complete(0, Status::ok());
    expect_balance();
  }
  while (a.kept() != 0) a.complete_all();
  EXPECT_EQ(a.values().back(), 1000) << "the newest is never dropped";
  EXPECT_EQ(tally().out + dropped(Reason::kOverflow), 1000u);
  EXPECT_GT(dropped(Reason::kOverflow), 500u);
  EXPECT_EQ(source.acked().size(), 1000u);
}

TEST_F(ARoute, OfTheLatestHasOneWaiting) {
  a.keep_all();
  start({to_a(Policy::kLatest, 50, 1)});
  for (uint64_t i = 1; i <= 1000; ++i) {
    ASSERT_TRUE(source.publish(static_cast<int>(i), i));
    ASSERT_LE(route_->destination(0).queue().size(), 1u);
    if (i % 10 == 0) a.complete(0, Status::ok());
    expect_balance();
  }
  while (a.kept() != 0) a.complete_all();
  EXPECT_EQ(a.values().back(), 1000);
  EXPECT_EQ(tally().out + dropped(Reason::kLatest), 1000u);
  EXPECT_EQ(source.acked().size(), 1000u);
}

TEST_F(ARoute, IsAsSlowAsTheSlowestOfThoseThatBlock) {
  n_destinations_ = 2;
  DestinationOptions other = to_a(Policy::kDropOldest, 5, 1);
  other.address = "b";
  a.keep_all();
  start({to_a(Policy::kBlock, 20, 1), other});
  int i = 0;
  while (source.publish(i + 1, static_cast<uint64_t>(i) + 1)) ++i;
  EXPECT_LE(i, 21);
  EXPECT_EQ(b.count(), static_cast<size_t>(i));
}

TEST_F(ARoute, CountsAMessageBeforeTheDestinationSeesIt) {
  int64_t seen = 0;
  a.answer = [&](Op) {
    seen = fake.metric("route_in_total{destination=a}");
    return Status::ok();
  };
  start({to("a")});
  source.publish(1, 1);
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(fake.metric("route_in_total{destination=a}"), 1) << "once";
}

// ---- the end ----

TEST_F(ARoute, FinishesWhatIsUnderWayWhenItDrainsAndTakesNothingMore) {
  a.keep_all();
  start({to_a(Policy::kBlock, 10, 1)});
  source.publish(1, 1);
  source.publish(2, 2);
  drain();
  source.publish(3, 3);
  EXPECT_FALSE(drained_);
  a.complete_all();
  a.complete_all();
  EXPECT_TRUE(drained_);
  EXPECT_FALSE(source.is_watched()) << "3 waits for nobody";
  EXPECT_EQ(a.values(), (std::vector{1, 2}));
  EXPECT_EQ(source.acked().size(), 2u) << "3 is left to the source";
  EXPECT_EQ(tally().in, 2u);
  stop();
  EXPECT_TRUE(stopped_);
}

TEST_F(ARoute, CountsWhatASourceThatDoesNotAcknowledgeSendsWhileItDrains) {
  source.refuses_ack = true;
  a.keep_all();
  start({to_a(Policy::kBlock, 10, 1)});
  source.publish(1);
  drain();
  source.publish(2);
  EXPECT_EQ(dropped(Reason::kStopped), 1u);
  a.complete_all();
  EXPECT_TRUE(drained_);
  expect_balance();
}

TEST_F(ARoute, LeavesToTheSourceWhatIsNotDoneAtTheDeadline) {
  a.keep_all();
  start({to_a(Policy::kBlock, 10, 2)});
  for (int i = 1; i <= 5; ++i) source.publish(i, static_cast<uint64_t>(i));
  drain();
  EXPECT_TRUE(source.is_watched());
  miss_the_deadline_of_drain();
  EXPECT_TRUE(drained_);
  EXPECT_FALSE(source.is_watched());
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(dropped(Reason::kStopped), 5u);
  EXPECT_TRUE(source.acked().empty());
  EXPECT_TRUE(source.nacked().empty());
  expect_balance();
}

TEST_F(ARoute, StopsWhileItsDestinationIsAway) {
  a.answer = [](Op) { return Status(BP_UNAVAILABLE, "away"); };
  start({to("a")}, true);
  source.publish(1, 1);
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(dropped(Reason::kStopped), 1u);
  EXPECT_EQ(fake.loop.registrations(), 0u) << "a timer is left";
}

TEST_F(ARoute, StopsWhileADeadLetterWaits) {
  a.answer = [](Op) { return Status(BP_INVALID_ARGUMENT, "no"); };
  dead.keep_all();
  start({to("a")}, true);
  source.publish(1, 1);
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(dropped(Reason::kStopped), 1u);
  EXPECT_TRUE(source.acked().empty());
}

// ---- all of it at random ----

struct Schedule {
  Policy policy;
  size_t in_flight;
  bool dead_letter;
  bool acknowledges;
  uint32_t seed;
};

class ARouteAtRandom : public ARoute, public testing::WithParamInterface<Schedule> {
 protected:
  Status random_outcome() {
    static constexpr bp_status kOutcomes[] = {BP_OK,
                                              BP_OK,
                                              BP_OK,
                                              BP_OK,
                                              BP_UNAVAILABLE,
                                              BP_CANCELLED,
                                              BP_INVALID_ARGUMENT,
                                              BP_FAILED_PRECONDITION,
                                              BP_DEADLINE_EXCEEDED,
                                              BP_RESOURCE_EXHAUSTED};
    const bp_status code = kOutcomes[random() % std::size(kOutcomes)];
    return code == BP_OK ? Status::ok() : Status(code, "at random");
  }
  std::function<Status(Op)> random_answer() {
    return [this](Op) { return random() % 3 == 0 ? random_outcome() : Status::pending(); };
  }
  void complete_one(ScriptedDestination& destination) {
    if (destination.kept() != 0)
      destination.complete(random() % destination.kept(), random_outcome());
  }
  void publish_one() {
    const bool again = acknowledges_ && published_ > 0 && random() % 20 == 0;
    const uint64_t seq = again ? 1 + random() % published_ : published_ + 1;
    MessageBuilder message(static_cast<int64_t>(seq));
    message.seq(seq).flags(again ? BP_M_REDELIVERED : 0);
    if (random() % 4 == 0) message.header(BP_H_EXPIRY_NS, int64_t{1} << (20 + random() % 20));
    if (random() % 4 == 0) message.header(BP_H_HOPS, static_cast<uint64_t>(random() % 6));
    if (source.publish(message) && !again) ++published_;
  }
  void step() {
    switch (random() % 12) {
      case 0:
      case 1:
      case 2:
      case 3:
        return publish_one();
      case 4:
      case 5:
        return complete_one(a);
      case 6:
      case 7:
        return complete_one(b);
      case 8:
        return complete_one(dead);
      case 9:
        return fake.loop.advance(std::chrono::milliseconds(random() % 2000));
      case 10:
        fake.loop.run();
        return;
      default:
        if (random() % 20 == 0) source.end(random_outcome());
    }
  }

  std::minstd_rand random{GetParam().seed};
  bool acknowledges_ = GetParam().acknowledges;
  uint64_t published_ = 0;
};

TEST_P(ARouteAtRandom, IsBalancedAfterEachEventAndAcknowledgesAllInTheEnd) {
  const Schedule& schedule = GetParam();
  n_destinations_ = 2;
  DestinationOptions first = to_a(schedule.policy, 8, schedule.in_flight);
  first.expiry = std::chrono::seconds(schedule.seed % 3);
  DestinationOptions second = first;
  second.address = "b";
  second.steps.deadband = 1;
  source.refuses_ack = !schedule.acknowledges;
  for (ScriptedDestination* each : {&a, &b, &dead}) each->answer = random_answer();
  start({first, second}, schedule.dead_letter);
  for (int i = 0; i < 6000; ++i) {
    step();
    expect_balance();
    ASSERT_LE(route_->destination(0).queue().size(), 8u);
  }
  // Everybody is well again: nothing stays.
  for (ScriptedDestination* each : {&a, &b, &dead}) each->answer = nullptr;
  drain();
  for (int i = 0; i < 200 && !drained_; ++i) {
    for (ScriptedDestination* each : {&a, &b, &dead}) each->complete_all();
    wait_for_the_next_try();
  }
  EXPECT_TRUE(drained_);
  expect_balance();
  EXPECT_GT(tally(0).in, 50u) << "the schedule hardly did anything";
  EXPECT_GT(tally(0).out, 10u);
  EXPECT_EQ(tally(0).in_flight + tally(1).in_flight, 0u);
  EXPECT_EQ(tally(0).in, tally(1).in);
  EXPECT_EQ(tally(0).dropped[static_cast<size_t>(Reason::kStopped)], 0u);
  EXPECT_TRUE(source.nacked().empty());
  stop();
}

std::vector<Schedule> schedules() {
  std::vector<Schedule> out;
  uint32_t seed = 1;
  for (const Policy policy : {Policy::kBlock, Policy::kDropOldest, Policy::kLatest}) {
    for (const size_t in_flight : {size_t{1}, size_t{4}}) {
      for (const bool dead_letter : {false, true}) {
        for (const bool acknowledges : {false, true}) {
          out.push_back({policy, in_flight, dead_letter, acknowledges, seed++});
        }
      }
    }
  }
  return out;
}
INSTANTIATE_TEST_SUITE_P(Schedules, ARouteAtRandom, testing::ValuesIn(schedules()));

TEST_F(ARoute, LeavesADestinationWithTheNewestOfWhatItAcknowledged) {
  std::minstd_rand random(7);
  a.keep_all();
  start({to_a(Policy::kBlock, 16, 6)});
  std::vector<int> acknowledged;
  int next = 1;
  for (int i = 0; i < 5000; ++i) {
    if (random() % 2 == 0 && source.publish(next, static_cast<uint64_t>(next))) ++next;
    if (a.kept() != 0 && random() % 2 == 0) {
      const size_t which = random() % a.kept();
      const bool works = random() % 4 != 0;
      if (works) acknowledged.push_back(a.kept_value(which));
      a.complete(which, works ? Status::ok() : Status(BP_UNAVAILABLE, "lost"));
    }
    if (random() % 8 == 0) wait_for_the_next_try();
  }
  for (int i = 0; i < 100 && tally().in_flight != 0; ++i) {
    for (; a.kept() != 0; a.complete(0, Status::ok())) acknowledged.push_back(a.kept_value(0));
    wait_for_the_next_try();
  }
  EXPECT_EQ(tally().in_flight, 0u);
  EXPECT_EQ(tally().out, static_cast<uint64_t>(next - 1)) << "each counts once";
  EXPECT_GT(next, 500);
  ASSERT_FALSE(acknowledged.empty());
  EXPECT_EQ(acknowledged.back(), next - 1);
  EXPECT_EQ(source.acked().size(), static_cast<size_t>(next - 1));
}

// ---- with threads: the source's, the destination's, the loop's, and the one that stops it ----

TEST_F(ARoute, CarriesAllInOrderBetweenThreadsAndStopsAmongThem) {
  constexpr int kMessages = 2000;
  a.answer = [](Op op) {  // every third inline
    return op.in().as<int>().value() % 3 == 0 ? Status::ok() : Status::pending();
  };
  start({to_a(Policy::kBlock, 32, 4)});
  loop_has_thread_ = true;
  fake.loop.start_thread();
  std::atomic<bool> ending{false};
  std::thread acknowledging([&] {
    while (!ending) {
      if (a.kept() != 0) {
        a.complete(0, Status::ok());
      } else {
        std::this_thread::yield();
      }
    }
  });
  std::thread publishing([&] {
    for (int i = 1; i <= kMessages; ++i) {
      while (!source.publish(i, static_cast<uint64_t>(i))) std::this_thread::yield();
    }
  });
  publishing.join();
  EXPECT_TRUE(test::eventually([&] { return source.acked().size() >= kMessages; }, 60s));
  EXPECT_EQ(source.acked().size(), static_cast<size_t>(kMessages));
  const std::vector<int> values = a.values();
  EXPECT_EQ(values.size(), static_cast<size_t>(kMessages));
  EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
  // While more comes and goes.
  std::thread more([&] {
    for (int i = kMessages + 1; i <= 2 * kMessages && !ending; ++i) {
      source.publish(i, static_cast<uint64_t>(i));
    }
  });
  stop();
  EXPECT_TRUE(test::eventually([&] { return stopped_.load(); }, 60s));
  ending = true;
  more.join();
  acknowledging.join();
  fake.loop.stop_thread();
  EXPECT_TRUE(stopped_);
  expect_balance();
  EXPECT_EQ(tally().in_flight, 0u);
}

}  // namespace
}  // namespace backplane::route
