// SPDX-License-Identifier: Apache-2.0
#include "held.hpp"

#include "subscriptions.hpp"

#include <gtest/gtest.h>

namespace backplane::mqtt {
namespace {

using State = HeldMessages::State;

Inbound inbound(uint16_t packet_id, std::string_view text, std::string topic = "a") {
  Inbound out;
  out.topic = std::move(topic);
  out.packet_id = packet_id;
  out.qos = 1;
  out.message = OwnedMessage(ValueView(text));
  return out;
}

/// Adds a message that goes to one listener of the filter "a".
HeldMessages::Id hand_over(HeldMessages& sut, Inbound message) {
  EXPECT_TRUE(sut.add(std::move(message)));
  const auto id = sut.take_new().at(0);
  sut.set_parts(id, {{"a", State::kOut, 0}});
  return id;
}

TEST(HeldMessages, HoldTheOutputFromReceptionUntilAllPartsAreSettled) {
  HeldMessages sut;
  ASSERT_TRUE(sut.add(inbound(1, "x")));
  EXPECT_FALSE(sut.is_free());
  const auto id = sut.take_new().at(0);
  sut.set_parts(id, {{"a", State::kOut, 0}, {"+", State::kOut, 0}});

  sut.settle(id, 0, true, 1);
  EXPECT_FALSE(sut.is_free());
  sut.settle(id, 1, true, 1);

  EXPECT_TRUE(sut.is_free());
  EXPECT_TRUE(sut.is_settled());
  sut.released();
  EXPECT_EQ(sut.size(), 0u);
}

TEST(HeldMessages, KeepTheOrderInWhichTheyCame) {
  HeldMessages sut;
  for (uint16_t i = 1; i < 4; ++i) {
    sut.add(inbound(i, std::to_string(i)));
  }
  std::string order;
  for (const auto id : sut.take_new()) {
    order += *sut.find(id)->inbound->message.body().get<std::string>();
  }
  EXPECT_EQ(order, "123");
}

TEST(HeldMessages, RecogniseWhatTheBrokerSendsAgain) {
  HeldMessages sut;
  const auto id = hand_over(sut, inbound(5, "x"));
  sut.connection_lost();
  EXPECT_TRUE(sut.is_free()) << "nothing is owed on a connection that is gone";
  EXPECT_FALSE(sut.is_settled());

  EXPECT_FALSE(sut.add(inbound(5, "x"))) << "held already";

  EXPECT_FALSE(sut.is_free()) << "owed again";
  sut.settle(id, 0, true, 1);
  EXPECT_TRUE(sut.is_free());
}

TEST(HeldMessages, AcknowledgeAtOnceWhatWasSettledWhileThereWasNoConnection) {
  HeldMessages sut;
  const auto id = hand_over(sut, inbound(5, "x"));
  sut.connection_lost();
  sut.settle(id, 0, true, 1);

  EXPECT_FALSE(sut.add(inbound(5, "x")));

  EXPECT_TRUE(sut.is_free());
  sut.released();
  EXPECT_EQ(sut.size(), 0u);
}

TEST(HeldMessages, DoNotTakeAnotherMessageWithTheSameIdentifierForTheFirst) {
  HeldMessages sut;
  hand_over(sut, inbound(5, "x"));
  sut.connection_lost();
  EXPECT_TRUE(sut.add(inbound(5, "y")));
  EXPECT_TRUE(sut.add(inbound(5, "x", "b")));
}

TEST(HeldMessages, MayComeAgainOnceTheirAcknowledgementMayHaveLeft) {
  HeldMessages sut;
  const auto id = hand_over(sut, inbound(5, "x"));
  sut.settle(id, 0, true, 1);
  sut.released();
  sut.connection_lost();
  EXPECT_TRUE(sut.add(inbound(5, "x"))) << "twice rather than never";
}

TEST(HeldMessages, OfferAPartThatWasNotAcknowledgedToTheNextListener) {
  HeldMessages sut;
  const auto id = hand_over(sut, inbound(1, "x"));
  sut.settle(id, 0, false, 100);
  EXPECT_FALSE(sut.is_free());

  EXPECT_TRUE(sut.claim("b", 101).empty());
  const auto claimed = sut.claim("a", 101);

  ASSERT_EQ(claimed.size(), 1u);
  EXPECT_EQ(claimed[0].id, id);
  EXPECT_TRUE(sut.claim("a", 102).empty()) << "it is out now";
  sut.settle(id, claimed[0].part, true, 200);
  EXPECT_TRUE(sut.is_free());
}

TEST(HeldMessages, OfAnEarlierRunBelongToTheFilterWhoseIdentifierTheyBear) {
  HeldMessages sut;
  Inbound message = inbound(1, "x", "a/b");
  message.subscriptions = {Subscriptions::identifier("a/#")};
  sut.add(std::move(message));
  sut.set_parts(sut.take_new().at(0), {{"", State::kUnclaimed, 0}});

  EXPECT_TRUE(sut.claim("a/+", 1).empty());
  EXPECT_EQ(sut.claim("a/#", 1).size(), 1u);
}

TEST(HeldMessages, OfferNothingToAListenerThatWasThereBefore) {
  HeldMessages sut;
  sut.add(inbound(1, "x"));
  const auto id = sut.take_new().at(0);
  sut.set_parts(id, {{"a", State::kOut, 50, 10}, {"a", State::kOut, 50, 20}});
  sut.settle(id, 0, false, 100);

  EXPECT_TRUE(sut.claim("a", 20).empty()) << "it has its own part";
  EXPECT_EQ(sut.claim("a", 101).size(), 1u);
}

TEST(HeldMessages, OfferAPartAgainToItsOwnListenerWhichCouldNotTakeIt) {
  HeldMessages sut;
  sut.add(inbound(1, "x"));
  const auto id = sut.take_new().at(0);
  sut.set_parts(id, {{"a", State::kOut, 50, 10}});
  sut.settle(id, 0, false, 100);

  EXPECT_EQ(sut.claim("a", 10).size(), 1u);
}

TEST(HeldMessages, OfferOnePartOfAMessageToEachListener) {
  HeldMessages sut;
  sut.add(inbound(1, "x"));
  const auto id = sut.take_new().at(0);
  sut.set_parts(id, {{"a", State::kOut, 50, 10}, {"a", State::kOut, 50, 20}});
  sut.settle(id, 0, false, 100);
  sut.settle(id, 1, false, 100);

  EXPECT_EQ(sut.claim("a", 101).size(), 1u);
  EXPECT_EQ(sut.claim("a", 102).size(), 1u);
}

TEST(HeldMessages, GiveUpWhatNobodyClaims) {
  HeldMessages sut;
  sut.add(inbound(1, "x"));
  sut.set_parts(sut.take_new().at(0), {{"", State::kUnclaimed, 100}});

  EXPECT_EQ(sut.give_up(100), 0u);
  EXPECT_EQ(sut.give_up(101), 1u);
  EXPECT_TRUE(sut.is_free());
}

TEST(HeldMessages, IgnoreWhatIsSettledTwiceOrTooLate) {
  HeldMessages sut;
  const auto id = hand_over(sut, inbound(1, "x"));
  const auto other = hand_over(sut, inbound(2, "y"));
  sut.settle(id, 0, true, 1);
  sut.settle(id, 0, false, 1);
  sut.settle(id, 9, true, 1);
  sut.settle(999, 0, true, 1);
  EXPECT_FALSE(sut.is_free());
  sut.settle(other, 0, true, 1);
  EXPECT_TRUE(sut.is_free());
}

}  // namespace
}  // namespace backplane::mqtt
