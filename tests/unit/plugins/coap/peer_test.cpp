// SPDX-License-Identifier: Apache-2.0
#include "peer.hpp"

#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

using namespace std::chrono_literals;

Token token(std::string_view text) { return Token({text.size(), bytes(text).data()}); }

TEST(CoapPeer, KnowsACopyByMessageIdAndToken) {
  Peer peer;
  Taken* const taken = peer.take(7, token("a"), COAP_MESSAGE_CON, 0);
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(peer.find(7, token("a"), 0), taken);
  EXPECT_EQ(peer.find(7, token("b"), 0), nullptr) << "another request with a message id used again";
  EXPECT_EQ(peer.find(8, token("a"), 0), nullptr);
  EXPECT_EQ(peer.find(0, token(""), 0), nullptr) << "an empty place is no request";
}

TEST(CoapPeer, ForgetsTheOldestAnsweredRequest) {
  Peer peer;
  for (size_t i = 0; i <= Peer::kTaken; ++i) {
    peer.take(static_cast<coap_mid_t>(i), token("t"), COAP_MESSAGE_CON, 0)->code =
        COAP_RESPONSE_CODE_CHANGED;
  }
  EXPECT_EQ(peer.find(0, token("t"), 0), nullptr);
  EXPECT_NE(peer.find(1, token("t"), 0), nullptr);
}

TEST(CoapPeer, KeepsWhatIsNotAnswered) {
  Peer peer;
  for (size_t i = 0; i < Peer::kTaken; ++i) {
    ASSERT_NE(peer.take(static_cast<coap_mid_t>(i), token("t"), COAP_MESSAGE_CON, 0), nullptr);
  }
  EXPECT_EQ(peer.take(1000, token("t"), COAP_MESSAGE_CON, 0), nullptr)
      << "all of them wait for their answer";
  peer.find(5, token("t"), 0)->code = COAP_RESPONSE_CODE_CHANGED;
  EXPECT_NE(peer.take(1000, token("t"), COAP_MESSAGE_CON, 0), nullptr);
  EXPECT_EQ(peer.find(5, token("t"), 0), nullptr);
  EXPECT_NE(peer.find(0, token("t"), 0), nullptr);
}

TEST(CoapPeer, TakesAMessageIdThatIsOldEnoughToBeUsedAgain) {
  const auto age = [](std::chrono::seconds time) { return std::chrono::nanoseconds(time).count(); };
  Peer peer;
  peer.take(1, token("t"), COAP_MESSAGE_CON, 0)->code = COAP_RESPONSE_CODE_CHANGED;
  peer.take(2, token("t"), COAP_MESSAGE_NON, 0)->code = COAP_RESPONSE_CODE_CHANGED;
  peer.take(3, token("t"), COAP_MESSAGE_CON, 0);
  EXPECT_NE(peer.find(1, token("t"), age(246s)), nullptr);
  EXPECT_EQ(peer.find(1, token("t"), age(247s)), nullptr);
  EXPECT_NE(peer.find(2, token("t"), age(144s)), nullptr);
  EXPECT_EQ(peer.find(2, token("t"), age(145s)), nullptr);
  EXPECT_NE(peer.find(3, token("t"), age(300s)), nullptr) << "it still waits for its answer";
}

}  // namespace
}  // namespace backplane::coap::test
