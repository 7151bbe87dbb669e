// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/unique_op.hpp"

#include "backplane/sdk/endpoint_object.hpp"
#include "support/fake_host.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

/// Answers a read at once; keeps a write until the test completes it.
class Peer {
 public:
  struct Script {
    Op kept = {};
  };
  Peer(const Host& host, Script& script) : host_(host), script_(script) {}
  Status read(Op op) { return op.reply(std::string(1000, 'x')); }
  Status write(Op op) {
    script_.kept = op;
    return Status::pending();
  }
  void cancel(Op op) noexcept { host_.complete(op, Status(BP_CANCELLED, "as you wish")); }

 private:
  const Host& host_;
  Script& script_;
};

class AnOperationOfOnesOwn : public ::testing::Test {
 protected:
  AnOperationOfOnesOwn()
      : target_(fake_.adopt_endpoint(make_endpoint(std::make_unique<Peer>(host_, peer_)))),
        sut_(host_, this, [](bp_op* op) {
          static_cast<AnOperationOfOnesOwn*>(op->user)->done_.push_back(op->status);
        }) {
    sut_->target = target_;
  }
  ~AnOperationOfOnesOwn() override {
    host_.services().endpoint.close(host_.raw(), target_);
    fake_.loop.run();
  }

  test::FakeHost fake_;
  Host host_{fake_.raw()};
  Peer::Script peer_;
  bp_ref target_;
  std::vector<bp_status> done_;
  UniqueOp sut_;
};

TEST_F(AnOperationOfOnesOwn, TellsTheOutcomeAtOnceOrWhenItIsDone) {
  sut_->verb = BP_V_READ;
  EXPECT_EQ(sut_.submit(), BP_OK);
  EXPECT_TRUE(done_.empty());
  EXPECT_GE(sut_.take_owner().size(), 1000U);
  EXPECT_FALSE(sut_.take_owner()) << "taken once";

  sut_->verb = BP_V_WRITE;
  EXPECT_EQ(sut_.submit(), BP_PENDING);
  EXPECT_TRUE(done_.empty());
  host_.complete(peer_.kept, Status(BP_UNAVAILABLE, "gone"));
  EXPECT_EQ(done_, (std::vector<bp_status>{BP_UNAVAILABLE}));
  EXPECT_EQ(sut_.status(done_[0]).message(), "gone");
}

TEST_F(AnOperationOfOnesOwn, IsCancelledAndUsedAgain) {
  sut_->verb = BP_V_WRITE;
  ASSERT_EQ(sut_.submit(), BP_PENDING);
  sut_.cancel();
  EXPECT_EQ(done_, (std::vector<bp_status>{BP_CANCELLED}));
  ASSERT_EQ(sut_.submit(), BP_PENDING);
  host_.complete(peer_.kept, Status::ok());
  EXPECT_EQ(done_, (std::vector<bp_status>{BP_CANCELLED, BP_OK}));
}

TEST_F(AnOperationOfOnesOwn, HasNoErrorOfAnEarlierUse) {
  sut_->verb = BP_V_WRITE;
  ASSERT_EQ(sut_.submit(), BP_PENDING);
  host_.complete(peer_.kept, Status(BP_UNAVAILABLE, "gone"));
  ASSERT_EQ(sut_.submit(), BP_PENDING);
  host_.services().endpoint.complete(host_.raw(), peer_.kept, BP_UNAVAILABLE);  // says no more
  EXPECT_EQ(sut_.status(BP_UNAVAILABLE).code(), BP_UNAVAILABLE);
  EXPECT_NE(sut_.status(BP_UNAVAILABLE).message(), "gone");
}

TEST_F(AnOperationOfOnesOwn, SaysWhyAnAddressDoesNotOpen) {
  EXPECT_EQ(sut_.open("nowhere:x"), BP_NOT_FOUND);
  EXPECT_TRUE(sut_.status(BP_NOT_FOUND).is_error());
}

}  // namespace
}  // namespace backplane
