// SPDX-License-Identifier: Apache-2.0
#include "observers.hpp"

#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

Pdu registration(std::string_view token, std::string_view query = {}, bool cancel = false) {
  Pdu pdu = make_pdu(COAP_REQUEST_CODE_GET,
                     {{COAP_OPTION_OBSERVE, cancel ? "\x01" : ""}, {COAP_OPTION_URI_PATH, "a"}}, {},
                     token);
  if (!query.empty()) {
    EXPECT_TRUE(add_option(pdu.get(), COAP_OPTION_URI_QUERY, query));
  }
  return pdu;
}

class CoapObservers : public testing::Test {
 protected:
  Observers::Answer look_at(const Pdu& pdu, Peer& peer, const void* resource = nullptr) {
    return observers_.look_at(peer, resource, pdu.get());
  }
  Observers observers_{2};
  Peer peer_;
};

TEST_F(CoapObservers, TellsARegistrationFromItsNotification) {
  EXPECT_EQ(look_at(make_pdu(COAP_REQUEST_CODE_GET, {}), peer_), Observers::Answer::kNone);
  EXPECT_EQ(look_at(registration("a"), peer_), Observers::Answer::kNew);
  EXPECT_EQ(look_at(registration("a"), peer_), Observers::Answer::kKnown);
  EXPECT_EQ(observers_.count(), 1u);
}

TEST_F(CoapObservers, CountsARegistrationThatReplacesAnotherOnce) {
  EXPECT_EQ(look_at(registration("a"), peer_), Observers::Answer::kNew);
  EXPECT_EQ(look_at(registration("b"), peer_), Observers::Answer::kNew);
  EXPECT_EQ(observers_.count(), 1u);
  EXPECT_EQ(look_at(registration("b"), peer_), Observers::Answer::kKnown);
}

TEST_F(CoapObservers, KeepsItsBoundOverAllPeers) {
  Peer other;
  EXPECT_EQ(look_at(registration("a", "q=1"), peer_), Observers::Answer::kNew);
  EXPECT_EQ(look_at(registration("a"), other), Observers::Answer::kNew);
  EXPECT_EQ(look_at(registration("c", "q=2"), peer_), Observers::Answer::kTooMany);
  EXPECT_EQ(observers_.count(), 2u);
  observers_.forget(other);
  EXPECT_EQ(look_at(registration("c", "q=2"), peer_), Observers::Answer::kNew);
}

TEST_F(CoapObservers, ForgetsADeregistration) {
  EXPECT_EQ(look_at(registration("a"), peer_), Observers::Answer::kNew);
  EXPECT_EQ(look_at(registration("a", {}, true), peer_), Observers::Answer::kNone);
  EXPECT_EQ(observers_.count(), 0u);
  EXPECT_EQ(look_at(registration("a", {}, true), peer_), Observers::Answer::kNone);
  EXPECT_EQ(observers_.count(), 0u);
}

}  // namespace
}  // namespace backplane::coap::test
