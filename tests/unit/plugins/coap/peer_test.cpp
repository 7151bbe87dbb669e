// SPDX-License-Identifier: Apache-2.0
#include "peer.hpp"

#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

Token token(std::string_view text) { return Token({text.size(), bytes(text).data()}); }

TEST(CoapPeer, KnowsACopyByMessageIdAndToken) {
  Peer peer;
  Taken* const taken = peer.take(7, token("a"));
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(peer.find(7, token("a")), taken);
  EXPECT_EQ(peer.find(7, token("b")), nullptr) << "another request with a message id used again";
  EXPECT_EQ(peer.find(8, token("a")), nullptr);
  EXPECT_EQ(peer.find(0, token("")), nullptr) << "an empty place is no request";
}

TEST(CoapPeer, ForgetsTheOldestAnsweredRequest) {
  Peer peer;
  for (size_t i = 0; i <= Peer::kTaken; ++i) {
    peer.take(static_cast<coap_mid_t>(i), token("t"))->code = COAP_RESPONSE_CODE_CHANGED;
  }
  EXPECT_EQ(peer.find(0, token("t")), nullptr);
  EXPECT_NE(peer.find(1, token("t")), nullptr);
}

TEST(CoapPeer, KeepsWhatIsNotAnswered) {
  Peer peer;
  for (size_t i = 0; i < Peer::kTaken; ++i) {
    ASSERT_NE(peer.take(static_cast<coap_mid_t>(i), token("t")), nullptr);
  }
  EXPECT_EQ(peer.take(1000, token("t")), nullptr) << "all of them wait for their answer";
  peer.find(5, token("t"))->code = COAP_RESPONSE_CODE_CHANGED;
  EXPECT_NE(peer.take(1000, token("t")), nullptr);
  EXPECT_EQ(peer.find(5, token("t")), nullptr);
  EXPECT_NE(peer.find(0, token("t")), nullptr);
}

}  // namespace
}  // namespace backplane::coap::test
