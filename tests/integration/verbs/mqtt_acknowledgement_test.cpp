// SPDX-License-Identifier: Apache-2.0
// A message at QoS 2 is accepted when two destinations have it: publication -> watch with BP_OP_ACK
// -> two writes -> ack.
#include "integration/verbs/client.hpp"

#include <array>
#include <memory>
#include <vector>

namespace backplane::test {
namespace {

class MqttAcknowledgement : public Fixture {
 protected:
  void SetUp() override {
    Fixture::SetUp();
    if (HasFatalFailure()) return;
    inbox_ = open("inbox/plant");
    first_ = open("gate/first");
    second_ = open("gate/second");
  }

  std::unique_ptr<Operation> publish(std::uint64_t value) {
    auto publication = std::make_unique<Operation>(*this, BP_V_WRITE, inbox_);
    EXPECT_EQ(publication->body(value_uint(value, 32)).submit(), BP_PENDING);
    return publication;
  }

  // What a destination answers to the oldest write that it has.
  void settle(const char* gate, bp_status status) {
    Operation operation(*this, BP_V_CALL, open(std::string("gate/") + gate + "/settle"));
    EXPECT_EQ(operation.body(value_int(status, 32)).run(), BP_OK);
  }

  // Writes a message to both destinations, which is what a route does.
  std::array<std::unique_ptr<Operation>, 2> forward(const bp_message& message) {
    std::array<std::unique_ptr<Operation>, 2> writes;
    for (std::size_t i = 0; i < 2; ++i) {
      writes[i] = std::make_unique<Operation>(*this, BP_V_WRITE, i == 0 ? first_ : second_);
      EXPECT_EQ(writes[i]->body(message.body).submit(), BP_PENDING);
    }
    return writes;
  }

  bp_ref inbox_ = 0;
  bp_ref first_ = 0;
  bp_ref second_ = 0;
};

TEST_P(MqttAcknowledgement, AMessageIsAcceptedWhenBothDestinationsHaveIt) {
  Watch watch(*this, inbox_, BP_OP_ACK);
  EXPECT_EQ(watch.credit(8).submit(), BP_PENDING);
  const auto publication = publish(42);
  watch.await(1);
  EXPECT_EQ(find_header(&watch.at(0), BP_H_QOS)->as.u, 2u);
  EXPECT_EQ(watch.at(0).flags & BP_M_REDELIVERED, 0u);
  const auto writes = forward(watch.at(0));

  settle("first", BP_OK);
  EXPECT_EQ(writes[0]->wait(), BP_OK);
  barrier();
  EXPECT_FALSE(publication->finished()) << "one destination is not all";
  settle("second", BP_OK);
  EXPECT_EQ(writes[1]->wait(), BP_OK);
  barrier();
  EXPECT_FALSE(publication->finished()) << "the acknowledgement is the consumer's, not the writes'";
  watch.ack(watch.at(0).seq, BP_OK);
  EXPECT_EQ(publication->wait(), BP_OK);
  EXPECT_EQ(watch.count(), 1u);
}

TEST_P(MqttAcknowledgement, ARefusedMessageIsDeliveredAgainWithTheSameSeq) {
  Watch watch(*this, inbox_, BP_OP_ACK);
  EXPECT_EQ(watch.credit(2).submit(), BP_PENDING);
  const auto publication = publish(42);
  watch.await(1);
  {
    const auto writes = forward(watch.at(0));
    settle("first", BP_OK);
    settle("second", BP_UNAVAILABLE);
    EXPECT_EQ(writes[0]->wait(), BP_OK);
    EXPECT_EQ(writes[1]->wait(), BP_UNAVAILABLE);
  }
  watch.ack(watch.at(0).seq, BP_UNAVAILABLE);
  watch.await(2);
  EXPECT_FALSE(publication->finished());
  EXPECT_EQ(watch.at(1).seq, watch.at(0).seq);
  EXPECT_EQ(watch.at(1).flags & BP_M_REDELIVERED, BP_M_REDELIVERED);
  EXPECT_EQ(watch.at(1).body.as.u, 42u);
  const auto writes = forward(watch.at(1));
  settle("first", BP_OK);
  settle("second", BP_OK);
  EXPECT_EQ(writes[0]->wait(), BP_OK);
  EXPECT_EQ(writes[1]->wait(), BP_OK);
  watch.ack(watch.at(1).seq, BP_OK);
  EXPECT_EQ(publication->wait(), BP_OK);
}

TEST_P(MqttAcknowledgement, ARedeliveryCostsCreditLikeAnyMessage) {
  Watch watch(*this, inbox_, BP_OP_ACK);
  EXPECT_EQ(watch.credit(1).submit(), BP_PENDING);
  const auto publication = publish(1);
  watch.await(1);
  watch.ack(1, BP_UNAVAILABLE);
  barrier();
  EXPECT_EQ(watch.count(), 1u);
  watch.grant(1);
  watch.await(2);
  watch.ack(1, BP_OK);
  EXPECT_EQ(publication->wait(), BP_OK);
}

TEST_P(MqttAcknowledgement, AcksComeInAnyOrderAndOnceEach) {
  Watch watch(*this, inbox_, BP_OP_ACK);
  EXPECT_EQ(watch.credit(8).submit(), BP_PENDING);
  const auto one = publish(1);
  const auto two = publish(2);
  const auto three = publish(3);
  watch.await(3);
  EXPECT_NE(watch.at(0).seq, 0u);
  watch.ack(watch.at(2).seq, BP_OK);
  EXPECT_EQ(three->wait(), BP_OK);
  EXPECT_FALSE(one->finished());
  watch.ack(watch.at(0).seq, BP_OK);
  EXPECT_EQ(one->wait(), BP_OK);
  watch.ack(watch.at(0).seq, BP_UNAVAILABLE);  // settled already
  watch.ack(watch.at(1).seq, BP_OK);
  EXPECT_EQ(two->wait(), BP_OK);
  EXPECT_EQ(watch.count(), 3u);
}

TEST_P(MqttAcknowledgement, WhatIsUnsettledAtTheEndOfAWatchGoesToTheNextOne) {
  auto publication = publish(7);
  std::uint64_t seq = 0;
  {
    Watch gone(*this, inbox_, BP_OP_ACK);
    EXPECT_EQ(gone.credit(8).submit(), BP_PENDING);
    gone.await(1);
    seq = gone.at(0).seq;
    gone.cancel();
    EXPECT_EQ(gone.wait(), BP_CANCELLED);
    gone.ack(seq, BP_OK);  // too late: a no-op
  }
  barrier();
  EXPECT_FALSE(publication->finished());
  Watch watch(*this, inbox_, BP_OP_ACK);
  EXPECT_EQ(watch.credit(8).submit(), BP_PENDING);
  watch.await(1);
  EXPECT_EQ(watch.at(0).seq, seq);
  EXPECT_EQ(watch.at(0).flags & BP_M_REDELIVERED, BP_M_REDELIVERED);
  watch.ack(seq, BP_OK);
  EXPECT_EQ(publication->wait(), BP_OK);
}

TEST_P(MqttAcknowledgement, WithoutTheFlagNextItselfAccepts) {
  Watch watch(*this, inbox_);
  EXPECT_EQ(watch.credit(8).submit(), BP_PENDING);
  const auto publication = publish(1);
  EXPECT_EQ(publication->wait(), BP_OK);
  EXPECT_EQ(watch.count(), 1u);
}

INSTANTIATE_TEST_SUITE_P(, MqttAcknowledgement,
                         testing::Values(Form::kLinked, Form::kLoaded, Form::kIsolated), form_name);

}  // namespace
}  // namespace backplane::test
