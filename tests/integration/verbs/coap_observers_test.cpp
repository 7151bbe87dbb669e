// SPDX-License-Identifier: Apache-2.0
// A CoAP server: the application serves a resource, foreign clients read and write it, and any
// number observe it.
#include "integration/verbs/client.hpp"

#include <atomic>
#include <memory>

namespace backplane::test {
namespace {

constexpr std::uint32_t kReadWriteWatch =
    BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE) | BP_VERB_BIT(BP_V_WATCH);

// A resource of the application: one value, and at most one watch of it.
class Resource {
 public:
  explicit Resource(Fixture& fixture, std::uint32_t verbs = kReadWriteWatch)
      : fixture_(fixture), handler(fixture, verbs) {
    handler.on_submit = [this](bp_op* op) { return submit(op); };
    handler.on_cancel = [this](bp_op* op) {
      if (take_watch(op)) fixture_.endpoints().complete(fixture_.host(), op, BP_CANCELLED);
    };
  }

  // A new value, which the watch is told.
  void set(double value) {
    bp_op* watch = nullptr;
    bp_message message = message_of(value_float(value, 64));
    {
      const std::lock_guard lock(mutex_);
      value_ = value;
      message.seq = ++seq_;
      watch = watch_;
    }
    if (watch != nullptr) {
      EXPECT_EQ(fixture_.endpoints().deliver(fixture_.host(), watch, &message, 1), BP_OK);
    }
  }

  int watches() {
    const std::lock_guard lock(mutex_);
    return watches_;
  }

  bool await_watch(bool watched) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return (watch_ != nullptr) == watched; });
  }

  std::string last_path() {
    const std::lock_guard lock(mutex_);
    return last_path_;
  }

 private:
  bp_status submit(bp_op* op) {
    const std::lock_guard lock(mutex_);
    const bp_value* path = find_header(op->in, BP_H_PATH);
    last_path_ = path == nullptr ? "" : text_of(*path);
    if (op->verb != BP_V_WATCH) {
      EXPECT_NE(find_header(op->in, BP_H_PEER_ADDRESS), nullptr);
    }
    switch (op->verb) {
      case BP_V_READ:
        op->out.body = value_float(value_, 64);
        op->out.seq = seq_;
        return BP_OK;
      case BP_V_WRITE:
        value_ = op->in->body.as.f;
        ++seq_;
        return BP_OK;
      default:
        watch_ = op;
        ++watches_;
        changed_.notify_all();
        return BP_PENDING;
    }
  }

  bool take_watch(const bp_op* op) {
    const std::lock_guard lock(mutex_);
    if (watch_ != op) return false;
    watch_ = nullptr;
    changed_.notify_all();
    return true;
  }

  Fixture& fixture_;
  std::mutex mutex_;
  std::condition_variable changed_;
  double value_ = 20.0;  // guarded by mutex_, like all below
  std::uint64_t seq_ = 0;
  bp_op* watch_ = nullptr;
  int watches_ = 0;
  std::string last_path_;

 public:
  Handler handler;  // last: it goes first, and waits for the kernel
};

class CoapObservers : public Fixture {
 protected:
  std::unique_ptr<Operation> serve(Resource& resource, std::uint32_t match = BP_MATCH_EXACT) {
    auto serving = std::make_unique<Operation>(*this, BP_V_SERVE, open("serve/line1/temperature"));
    EXPECT_EQ(serving->body(value_ref(resource.handler.ref()))
                  .header(BP_H_MATCH, value_uint(match, 8))
                  .submit(),
              BP_PENDING);
    return serving;
  }
};

TEST_P(CoapObservers, AForeignClientReadsAndWritesTheResource) {
  Resource resource(*this);
  const auto serving = serve(resource);
  const bp_ref client = open("wire/line1/temperature");
  EXPECT_EQ(Operation(*this, BP_V_WRITE, client).body(value_float(42.5, 64)).run(), BP_OK);
  Operation read(*this, BP_V_READ, client);
  EXPECT_EQ(read.run(), BP_OK);
  EXPECT_EQ(read.out().body.as.f, 42.5);
  EXPECT_EQ(resource.last_path(), "line1/temperature");
}

TEST_P(CoapObservers, ManyObserversAreOneWatchOfTheResource) {
  Resource resource(*this);
  const auto serving = serve(resource);
  const bp_ref client = open("wire/line1/temperature");
  std::vector<std::unique_ptr<Watch>> observers;
  for (int i = 0; i < 50; ++i) {
    observers.push_back(std::make_unique<Watch>(*this, client));
    EXPECT_EQ(observers.back()->credit(UINT32_MAX).submit(), BP_PENDING);
  }
  barrier();
  ASSERT_TRUE(resource.await_watch(true));
  resource.set(21.0);
  for (const auto& observer : observers) {
    observer->await(1);
    EXPECT_EQ(observer->at(0).body.as.f, 21.0);
    EXPECT_EQ(observer->at(0).seq, 1u);
  }
  EXPECT_EQ(resource.watches(), 1);
}

TEST_P(CoapObservers, ALateObserverGetsTheValueAsInitial) {
  Resource resource(*this);
  const auto serving = serve(resource);
  const bp_ref client = open("wire/line1/temperature");
  Watch early(*this, client);
  EXPECT_EQ(early.credit(UINT32_MAX).submit(), BP_PENDING);
  ASSERT_TRUE(resource.await_watch(true));
  resource.set(21.0);
  early.await(1);
  EXPECT_EQ(early.at(0).flags & BP_M_INITIAL, 0u);
  Watch late(*this, client);
  EXPECT_EQ(late.credit(UINT32_MAX).submit(), BP_PENDING);
  late.await(1);
  EXPECT_EQ(late.at(0).flags & BP_M_INITIAL, BP_M_INITIAL);
  EXPECT_EQ(late.at(0).body.as.f, 21.0);
  EXPECT_EQ(late.at(0).seq, 1u);
}

TEST_P(CoapObservers, ASlowObserverGetsTheLatestValueAndSeesTheGap) {
  Resource resource(*this);
  const auto serving = serve(resource);
  const bp_ref client = open("wire/line1/temperature");
  Watch fast(*this, client);
  Watch slow(*this, client);
  EXPECT_EQ(fast.credit(UINT32_MAX).submit(), BP_PENDING);
  EXPECT_EQ(slow.credit(1).header(BP_H_OVERFLOW, value_uint(BP_OVERFLOW_LATEST, 8)).submit(),
            BP_PENDING);
  barrier();
  ASSERT_TRUE(resource.await_watch(true));
  for (int i = 1; i <= 10; ++i) {
    resource.set(20.0 + i);
    fast.await(static_cast<std::size_t>(i));
    barrier();
  }
  EXPECT_EQ(slow.count(), 1u);
  slow.grant(1);
  slow.await(2);
  EXPECT_EQ(slow.at(1).body.as.f, 30.0);
  EXPECT_EQ(slow.at(1).seq, 10u);
  EXPECT_EQ(slow.at(0).seq, 1u);
}

TEST_P(CoapObservers, TheWatchEndsWithTheLastObserverAndComesBackWithTheNext) {
  Resource resource(*this);
  const auto serving = serve(resource);
  const bp_ref client = open("wire/line1/temperature");
  for (int round = 1; round <= 3; ++round) {
    Watch observer(*this, client);
    EXPECT_EQ(observer.credit(UINT32_MAX).submit(), BP_PENDING);
    ASSERT_TRUE(resource.await_watch(true));
    EXPECT_EQ(resource.watches(), round);
    observer.cancel();
    EXPECT_EQ(observer.wait(), BP_CANCELLED);
    ASSERT_TRUE(resource.await_watch(false));
  }
}

TEST_P(CoapObservers, WithdrawingTheResourceEndsItsObserversFirst) {
  Resource resource(*this);
  const auto serving = serve(resource);
  const bp_ref client = open("wire/line1/temperature");
  Watch observer(*this, client);
  EXPECT_EQ(observer.credit(UINT32_MAX).submit(), BP_PENDING);
  ASSERT_TRUE(resource.await_watch(true));
  serving->cancel();
  EXPECT_EQ(observer.wait(), BP_NOT_FOUND);
  EXPECT_EQ(observer.error().native, 404);
  EXPECT_EQ(serving->wait(), BP_CANCELLED);
  Operation read(*this, BP_V_READ, client);
  EXPECT_EQ(read.run(), BP_NOT_FOUND);
}

TEST_P(CoapObservers, AResourceThatCannotBeWatchedRefusesObservers) {
  Resource resource(*this, BP_VERB_BIT(BP_V_READ));
  const auto serving = serve(resource);
  Watch observer(*this, open("wire/line1/temperature"));
  EXPECT_EQ(observer.credit(1).submit(), BP_PENDING);
  EXPECT_EQ(observer.wait(), BP_UNIMPLEMENTED);
}

TEST_P(CoapObservers, APrefixServesWhatIsBelowItAndTheHandlerSeesTheConcretePath) {
  Resource resource(*this);
  const auto serving = serve(resource, BP_MATCH_PREFIX);
  Operation read(*this, BP_V_READ, open("wire/line1/temperature/max"));
  EXPECT_EQ(read.run(), BP_OK);
  EXPECT_EQ(resource.last_path(), "line1/temperature/max");
}

TEST_P(CoapObservers, ATakenPathCannotBeServedTwice) {
  Resource resource(*this);
  const auto serving = serve(resource);
  Operation second(*this, BP_V_SERVE, open("serve/line1/temperature"));
  EXPECT_EQ(second.body(value_ref(resource.handler.ref())).run(), BP_ALREADY_EXISTS);
}

INSTANTIATE_TEST_SUITE_P(, CoapObservers,
                         testing::Values(Form::kLinked, Form::kLoaded, Form::kIsolated), form_name);

}  // namespace
}  // namespace backplane::test
