// SPDX-License-Identifier: Apache-2.0
#include "subscriptions.hpp"

#include <gtest/gtest.h>

namespace backplane::mqtt {
namespace {

class Ear final : public Listener {
 public:
  void on_message(const Inbound&, Hub::Settled) override {}
  void on_refused(const Status&) override {}
};

/// Subscriptions while not connected: what is listened to, and who gets what.
class WithoutAConnection : public testing::Test {
 protected:
  static Inbound message(std::string topic, std::vector<std::string> filters = {}) {
    Inbound out;
    out.topic = std::move(topic);
    for (const std::string& filter : filters) {
      out.subscriptions.push_back(Subscriptions::identifier(filter));
    }
    return out;
  }
  std::shared_ptr<Ear> listen(const std::string& filter) {
    auto ear = std::make_shared<Ear>();
    EXPECT_TRUE(sut.add(nullptr, filter, 1, ear).is_ok());
    return ear;
  }
  size_t receivers(const Inbound& inbound) const {
    Listeners out;
    sut.match(inbound, out);
    return out.size();
  }

  Subscriptions sut{5};
};

TEST_F(WithoutAConnection, EveryFilterThatMatchesGetsAMessageThatNamesNone) {
  listen("a/#");
  listen("a/+");
  listen("b/+");
  EXPECT_EQ(receivers(message("a/b")), 2u);
  EXPECT_EQ(receivers(message("c")), 0u);
}

TEST_F(WithoutAConnection, OnlyTheFiltersThatAMessageNamesGetIt) {
  listen("a/#");
  listen("a/+");
  EXPECT_EQ(receivers(message("a/b", {"a/#"})), 1u);
  EXPECT_EQ(receivers(message("a/b", {"a/#", "a/+"})), 2u);
  EXPECT_EQ(receivers(message("a/b", {"gone/#"})), 0u);
}

TEST_F(WithoutAConnection, AllListenersOfAFilterShareIt) {
  const auto first = listen("a");
  const auto second = listen("a");
  EXPECT_EQ(sut.size(), 1u);
  EXPECT_EQ(receivers(message("a")), 2u);

  EXPECT_TRUE(sut.remove(nullptr, first.get()));
  EXPECT_EQ(sut.size(), 1u);
  EXPECT_TRUE(sut.remove(nullptr, second.get()));
  EXPECT_EQ(sut.size(), 0u);
  EXPECT_FALSE(sut.remove(nullptr, second.get()));
}

TEST_F(WithoutAConnection, AFilterMayStayWithoutListeners) {
  const auto ear = listen("a/+");
  sut.remove(nullptr, ear.get(), false);

  const auto [is_known, claims] = sut.match_by_filter(message("a/b"));
  EXPECT_TRUE(is_known);
  ASSERT_EQ(claims.size(), 1u);
  EXPECT_EQ(claims[0].filter, "a/+");
  EXPECT_EQ(claims[0].listener, nullptr);

  sut.drop_unused(nullptr, "a/+");
  EXPECT_FALSE(sut.match_by_filter(message("a/b")).is_known);
}

TEST_F(WithoutAConnection, ARefusalReachesEverybodyAndLeavesNothing) {
  listen("a");
  listen("a");
  listen("b");
  std::vector<Grant> refused;
  sut.refuse_all(Status(BP_UNAUTHENTICATED), refused);
  EXPECT_EQ(refused.size(), 3u);
  EXPECT_EQ(sut.size(), 0u);
}

TEST(SubscriptionIdentifier, IsAPositiveNumberThatTheProtocolCanCarry) {
  for (const char* filter : {"#", "a", "a/b/c", "$share/g/a"}) {
    const uint32_t id = Subscriptions::identifier(filter);
    EXPECT_GE(id, 1u);
    EXPECT_LE(id, 268435455u);
    EXPECT_EQ(id, Subscriptions::identifier(filter));
  }
  EXPECT_NE(Subscriptions::identifier("a"), Subscriptions::identifier("b"));
}

}  // namespace
}  // namespace backplane::mqtt
