// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/pending.hpp"

#include "backplane/sdk/endpoint_object.hpp"
#include "support/fake_host.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace backplane {
namespace {

using test::FakeHost;

/// Holds every operation until somebody takes it.
class Desk final {
 public:
  explicit Desk(const Host& host) : list(host), keyed(host) {}
  Status read(Op op) { return list.add(op); }
  Status call(Op op) { return keyed.add(op.in().as<std::string>().value(), op, next_++); }
  void cancel(Op op) noexcept {
    if (op.verb() == BP_V_READ) {
      list.cancel(op);
    } else {
      keyed.cancel(op);
    }
  }
  PendingList list;
  Pending<std::string, int> keyed;

 private:
  std::atomic<int> next_ = 1;
};

/// An operation of the test.
class Caller {
 public:
  Caller(const Host& host, bp_ref target, uint16_t verb, std::string token = {})
      : host_(host), token_(std::move(token)), request_(token_) {
    op_ = service().op_new(host_.raw());
    op_->verb = verb;
    op_->target = target;
    op_->in = &request_.view();
    op_->error = &error_;
    op_->user = this;
    op_->done = [](bp_op* op) { ++static_cast<Caller*>(op->user)->done_; };
    submitted_ = service().submit(host_.raw(), op_);
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  ~Caller() {
    cancel();
    service().op_free(host_.raw(), op_);
  }
  void cancel() { service().cancel(host_.raw(), op_); }
  bp_status submitted() const { return submitted_; }
  int done() const { return done_; }
  Status outcome() const { return Status::from(op_->status, error_); }
  Op op() const { return op_; }
  MessageView out() const { return op_->out; }

 private:
  const bp_endpoint_service& service() const { return host_.services().endpoint; }
  const Host& host_;
  const std::string token_;
  MessageBuilder request_;
  bp_op* op_ = nullptr;
  bp_error error_{};
  bp_status submitted_ = BP_OK;
  std::atomic<int> done_{0};
};

class PendingOperations : public ::testing::Test {
 protected:
  PendingOperations() {
    auto desk = std::make_unique<Desk>(host_);
    desk_ = desk.get();
    ref_ = fake_.adopt_endpoint(make_endpoint(std::move(desk)));
  }
  ~PendingOperations() override { host_.services().endpoint.close(host_.raw(), ref_); }
  std::unique_ptr<Caller> read() { return std::make_unique<Caller>(host_, ref_, BP_V_READ); }
  std::unique_ptr<Caller> call(const std::string& token) {
    return std::make_unique<Caller>(host_, ref_, BP_V_CALL, token);
  }

  FakeHost fake_;
  Host host_{fake_.raw()};
  Desk* desk_ = nullptr;
  bp_ref ref_ = 0;
};

TEST_F(PendingOperations, AreTakenByTheirToken) {
  const auto one = call("one"), two = call("two");
  auto request = desk_->keyed.take("two");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->data, 2);
  host_.complete_with(request->op, 42);
  EXPECT_EQ(two->done(), 1);
  EXPECT_EQ(two->out().as<int>().value(), 42);
  EXPECT_EQ(one->done(), 0);
  EXPECT_FALSE(desk_->keyed.take("two"));
  EXPECT_EQ(desk_->keyed.size(), 1u);
}

TEST_F(PendingOperations, RefuseATokenThatIsInUse) {
  const auto one = call("one"), again = call("one");
  EXPECT_EQ(one->submitted(), BP_PENDING);
  EXPECT_EQ(again->submitted(), BP_ALREADY_EXISTS);
  EXPECT_EQ(desk_->keyed.size(), 1u);
}

TEST_F(PendingOperations, EndOnceWhenCancelled) {
  const auto keyed = call("one"), listed = read();
  for (int i = 0; i < 2; ++i) {
    keyed->cancel();
    listed->cancel();
  }
  EXPECT_EQ(keyed->done(), 1);
  EXPECT_EQ(listed->done(), 1);
  EXPECT_EQ(keyed->outcome().code(), BP_CANCELLED);
  EXPECT_EQ(listed->outcome().code(), BP_CANCELLED);
  EXPECT_FALSE(desk_->keyed.take("one"));
  EXPECT_EQ(desk_->list.size(), 0u);
}

TEST_F(PendingOperations, InAListAreTakenOldestFirstAndFromTheMiddle) {
  const auto one = read(), two = read(), three = read();
  EXPECT_TRUE(desk_->list.complete(two->op(), Status::ok()));
  EXPECT_FALSE(desk_->list.take(two->op()));
  EXPECT_EQ(desk_->list.take_first(), one->op());
  host_.complete(one->op(), Status::ok());
  EXPECT_EQ(desk_->list.take_first(), three->op());
  host_.complete(three->op(), Status::ok());
  EXPECT_EQ(desk_->list.take_first(), nullptr);
}

TEST_F(PendingOperations, AllEndWithTheStatusOfALostConnectionAndNewOnesAreTaken) {
  const auto one = call("one"), two = call("two"), three = read(), four = read();
  desk_->keyed.complete_all(Status(BP_UNAVAILABLE, "connection lost"));
  desk_->list.complete_all(Status(BP_UNAVAILABLE, "connection lost"));
  for (const auto* each : {one.get(), two.get(), three.get(), four.get()}) {
    EXPECT_EQ(each->done(), 1);
    EXPECT_EQ(each->outcome().message(), "connection lost");
  }
  EXPECT_EQ(call("one")->submitted(), BP_PENDING);
  EXPECT_EQ(read()->submitted(), BP_PENDING);
}

TEST_F(PendingOperations, AreRefusedAfterClose) {
  const auto before = call("one");
  desk_->keyed.close(Status(BP_UNAVAILABLE, "stopping"));
  desk_->list.close(Status(BP_UNAVAILABLE, "stopping"));
  EXPECT_EQ(before->done(), 1);
  EXPECT_EQ(call("two")->submitted(), BP_UNAVAILABLE);
  EXPECT_EQ(read()->submitted(), BP_UNAVAILABLE);
}

TEST_F(PendingOperations, CompleteOnceWhenAnswerCancelAndLossMeet) {
  for (int round = 0; round < 300; ++round) {
    const std::string token = std::to_string(round);
    const auto keyed = call(token), listed = read();
    std::thread answer([&] {
      if (auto request = desk_->keyed.take(token)) host_.complete(request->op, Status::ok());
      desk_->list.complete(listed->op(), Status::ok());
    });
    std::thread cancel([&] {
      keyed->cancel();
      listed->cancel();
    });
    desk_->list.complete_all(Status(BP_UNAVAILABLE));
    desk_->keyed.complete_all(Status(BP_UNAVAILABLE));
    answer.join();
    cancel.join();
    EXPECT_EQ(keyed->done(), 1);
    EXPECT_EQ(listed->done(), 1);
  }
}

}  // namespace
}  // namespace backplane
