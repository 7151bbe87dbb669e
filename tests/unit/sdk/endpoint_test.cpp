// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/endpoint.hpp"

#include "backplane/sdk/hub.hpp"
#include "backplane/sdk/task.hpp"
#include "support/fake_host.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

using namespace std::chrono_literals;
using test::FakeHost;

/// A value that answers at once, or when the test says so.
class Device final {
 public:
  Device(const Host& host, Hub hub) : pending(host), hub_(std::move(hub)), host_(host) {}
  Status read(Op op) {
    if (later) return pending.add(op);
    return op.reply(value);
  }
  Status write(Op op) {
    value = op.in().as<double>().value();
    last_qos = op.in().header<int>(BP_H_QOS).value_or(-1);
    return Status::ok();
  }
  Status call(Op op) { return op.reply(op.in()); }
  Status connect(Op op) {
    const bp_endpoint end = make_endpoint(std::make_unique<Device>(host_, hub_));
    bp_ref ref = 0;
    EXPECT_EQ(host_.services().endpoint.adopt(host_.raw(), &end, &ref), BP_OK);
    return op.reply(ValueView::reference(ref));
  }
  Status watch(Op op) {
    if (several > 0) {
      MessageBuilder message(value);
      const std::vector<bp_message> all(several, message.view());
      return host_.deliver(op, all);
    }
    return hub_.watch(op);
  }
  Status browse(Op op) {
    for (const char* path : {"a", "b"}) {
      if (Status status = host_.deliver(op, MessageBuilder(path).header(BP_H_PATH, path));
          status.is_error())
        return status;
    }
    return Status::ok();
  }
  void cancel(Op op) noexcept { op.verb() == BP_V_READ ? pending.cancel(op) : hub_.cancel(op); }
  void credit(Op op, uint32_t n) noexcept { hub_.credit(op, n); }
  void ack(Op op, uint64_t seq, bp_status status) noexcept { hub_.ack(op, seq, status); }

  PendingList pending;
  bool later = false;
  size_t several = 0;  // messages at once, and the end
  double value = 20.0;
  int last_qos = -1;

 private:
  Hub hub_;
  const Host& host_;
};

class AnEndpoint : public ::testing::Test {
 protected:
  AnEndpoint() {
    auto device = std::make_unique<Device>(host_, hub_);
    device_ = device.get();
    fake_.add_endpoint("plant:temperature", make_endpoint(std::move(device)));
    sut_ = open_address(host_, "plant:temperature").value();
  }
  ~AnEndpoint() override {
    sut_.close();
    fake_.close_address("plant:temperature");
  }
  void answer(double value) {
    device_->value = value;
    for (size_t n = device_->pending.size(); n > 0; --n) {
      if (Op op = device_->pending.take_first()) host_.complete_with(op, value);
    }
  }

  FakeHost fake_;
  Host host_{fake_.raw()};
  Hub hub_{host_};
  Device* device_ = nullptr;
  Endpoint sut_;
};

TEST_F(AnEndpoint, IsNotOpenedAtAnUnknownAddress) {
  const auto result = open_address(host_, "plant:nothing").get();
  EXPECT_EQ(result.status().code(), BP_NOT_FOUND);
  EXPECT_EQ(result.status().message(), "no address 'plant:nothing'");
}

struct CallsAndWatches {
  Status call(Op) { return Status::ok(); }
  Status watch(Op) { return Status::pending(); }
};
struct Connects {
  Status connect(Op) { return Status::ok(); }
};

TEST_F(AnEndpoint, CanWhatItsObjectHasMembersFor) {
  EXPECT_EQ(sut_.verbs(), BP_VERB_BIT(BP_V_READ) | BP_VERB_BIT(BP_V_WRITE) |
                              BP_VERB_BIT(BP_V_CALL) | BP_VERB_BIT(BP_V_WATCH) |
                              BP_VERB_BIT(BP_V_BROWSE) | BP_CAN_ACK | BP_CAN_DUPLEX);
  EXPECT_EQ(verbs_of<CallsAndWatches>(), BP_VERB_BIT(BP_V_CALL) | BP_VERB_BIT(BP_V_WATCH));
  EXPECT_EQ(verbs_of<Connects>(), BP_CAN_DUPLEX);
  EXPECT_EQ(Endpoint().verbs(), 0U);
}

TEST_F(AnEndpoint, ReadsAndWritesTypedValues) {
  EXPECT_EQ(sut_.read<double>().value(), 20.0);
  sut_.write(42.5, {{BP_H_QOS, 1}}).or_throw();
  EXPECT_EQ(sut_.read<double>().value(), 42.5);
  EXPECT_EQ(device_->last_qos, 1);
  EXPECT_EQ(sut_.read<int>().get().status().message(),
            "expected an int of 32 bits, got float 42.5");
}

TEST_F(AnEndpoint, TakesAZeroForANumberAndNullForNoValue) {
  sut_.write(0).or_throw();
  EXPECT_EQ(device_->value, 0.0);
  EXPECT_EQ(sut_.write(nullptr).get().message(), "expected a float of 64 bits, got null");
}

TEST_F(AnEndpoint, PassesTheErrorOfAnEndpoint) {
  const Status status = sut_.write("hot").get();
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(status.message(), "expected a float of 64 bits, got string");
}

TEST_F(AnEndpoint, GivesResultsThatOutliveTheOperation) {
  const std::string text(1000, 'x');
  const OwnedMessage shown = sut_.call(text, {{"unit", "Cel"}}).value();
  EXPECT_EQ(shown.as<std::string>().value(), text);
  EXPECT_EQ(shown.view().header<std::string>("unit"), "Cel");
  EXPECT_EQ(sut_.call<std::string>("short").value(), "short");
  StackArena<> arena;
  EXPECT_EQ(sut_.call<std::vector<int>>(arena.list({1, 2})).value(), (std::vector<int>{1, 2}));
}

TEST_F(AnEndpoint, Browses) {
  const auto entries = sut_.browse().value();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].view().header<std::string>(BP_H_PATH), "b");
}

TEST_F(AnEndpoint, ConnectsATwoWayStream) {
  const Endpoint stream = sut_.connect("request").value();
  stream.write(3).or_throw();
  EXPECT_EQ(stream.read<double>().value(), 3.0);
  EXPECT_EQ(sut_.read<double>().value(), 20.0);
}

TEST_F(AnEndpoint, BlocksUntilAnotherThreadAnswers) {
  device_->later = true;
  std::thread other([&] {
    while (device_->pending.size() == 0) std::this_thread::yield();
    answer(7);
  });
  EXPECT_EQ(sut_.read<double>().value(), 7.0);
  other.join();
}

TEST_F(AnEndpoint, SetsADeadline) {
  device_->later = true;
  int64_t deadline = 0;
  std::thread other([&] {
    Op op;
    while ((op = device_->pending.take_first()) == nullptr) std::this_thread::yield();
    deadline = op->deadline_ns;
    host_.complete(op, Status(BP_DEADLINE_EXCEEDED));
  });
  const int64_t before = monotonic_ns();
  EXPECT_EQ(sut_.read<double>().within(2s).get().status().code(), BP_DEADLINE_EXCEEDED);
  other.join();
  EXPECT_GE(deadline, before + 2'000'000'000);
}

TEST_F(AnEndpoint, CallsBackInlineAndLater) {
  std::vector<double> got;
  const auto keep = [&](Result<double> value) { got.push_back(value.value()); };
  sut_.read<double>().then(keep);
  EXPECT_EQ(got, (std::vector<double>{20}));
  device_->later = true;
  sut_.read<double>().then(keep);
  EXPECT_EQ(got.size(), 1u);
  answer(9);
  EXPECT_EQ(got, (std::vector<double>{20, 9}));
}

TEST_F(AnEndpoint, IsNotWaitedForOnTheLoop) {
  device_->later = true;  // the answer would have to come from this very loop
  int ran = 0;
  post(host_, [&] {
    const auto result = sut_.read<double>().get();
    EXPECT_EQ(result.status().code(), BP_FAILED_PRECONDITION);
    EXPECT_NE(result.status().message().find("use then()"), std::string_view::npos);
    EXPECT_EQ(device_->pending.size(), 0u) << "it was not started";
    ++ran;
  }).or_throw();
  fake_.loop.run();
  EXPECT_EQ(ran, 1);
}

Task<double> sum_of_two(const Endpoint& endpoint) {
  const double first = co_await endpoint.read<double>();
  const double second = co_await endpoint.read<double>();
  co_return first + second;
}
Task<bp_status> code_of_bad_write(const Endpoint& endpoint) {
  const Status status = co_await endpoint.write("text").as_result();
  co_return status.code();
}
Task<> write_bad(const Endpoint& endpoint) { co_await endpoint.write("text"); }
Task<> write_via(const Endpoint& endpoint) { co_await write_bad(endpoint); }

TEST_F(AnEndpoint, IsAwaitedWithoutSuspensionWhenItAnswersInline) {
  EXPECT_EQ(sync_wait(host_, sum_of_two(sut_)), 40.0);
}

TEST_F(AnEndpoint, ResumesACoroutineWhenTheAnswerComes) {
  device_->later = true;
  std::optional<double> sum;
  const auto run = [&]() -> Task<> { sum = co_await sum_of_two(sut_); };
  spawn(run(), [](const Status& status) { ADD_FAILURE() << status.to_string(); });
  EXPECT_EQ(device_->pending.size(), 1u);
  answer(1);
  EXPECT_FALSE(sum);
  answer(2);
  EXPECT_EQ(sum, 3.0);
}

TEST_F(AnEndpoint, ResumesACoroutineFromAnotherThread) {
  device_->later = true;
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over) {
      answer(2);
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 300; ++i) EXPECT_EQ(sync_wait(host_, sum_of_two(sut_)), 4.0);
  over = true;
  other.join();
}

TEST_F(AnEndpoint, IsNotWaitedForInACoroutineOnTheLoop) {
  device_->later = true;
  bp_status code = BP_OK;
  post(host_, [&] {
    try {
      sync_wait(host_, sum_of_two(sut_));
    } catch (const Error& error) {
      code = error.status().code();
    }
  }).or_throw();
  fake_.loop.run();
  EXPECT_EQ(code, BP_FAILED_PRECONDITION);
  EXPECT_EQ(device_->pending.size(), 0u);
}

TEST_F(AnEndpoint, ThrowsOrReturnsErrorsInACoroutine) {
  EXPECT_EQ(sync_wait(host_, code_of_bad_write(sut_)), BP_INVALID_ARGUMENT);
  EXPECT_THROW(sync_wait(host_, write_via(sut_)), Error);
  Status seen;
  spawn(write_via(sut_), [&](const Status& status) { seen = status; });
  EXPECT_EQ(seen.code(), BP_INVALID_ARGUMENT);
}

TEST_F(AnEndpoint, IsWatchedUntilTheSubscriptionGoes) {
  std::vector<int> got;
  {
    auto subscription =
        sut_.watch([&](MessageView message) { got.push_back(message.as<int>().value()); });
    subscription.or_throw();
    hub_.publish(MessageBuilder(1));
    EXPECT_FALSE(subscription->outcome());
  }
  EXPECT_EQ(hub_.watchers(), 0u);
  hub_.publish(MessageBuilder(2));
  EXPECT_EQ(got, (std::vector<int>{1}));
}

TEST_F(AnEndpoint, EndsAWatchWhoseCallbackThrows) {
  Status end;
  const auto subscription =
      sut_.watch([](MessageView) -> void { throw Error(BP_ABORTED, "enough"); },
                 {.on_end = [&](const Status& status) { end = status; }});
  hub_.publish(MessageBuilder(1));
  EXPECT_EQ(end.code(), BP_ABORTED);
  EXPECT_EQ(subscription->outcome()->code(), BP_ABORTED);
}

TEST_F(AnEndpoint, AllowsACallbackToDropItsSubscription) {
  Subscription subscription;
  subscription = sut_.watch([&](MessageView) { subscription = Subscription(); }).value();
  hub_.publish(MessageBuilder(1));
  EXPECT_EQ(hub_.watchers(), 0u);
}

TEST_F(AnEndpoint, GivesNoMoreOfWhatCameTogetherOnceACallbackHasEndedIt) {
  device_->several = 5;
  int got = 0;
  const auto all = sut_.watch([&](MessageView) { ++got; });
  EXPECT_EQ(got, 5);
  got = 0;
  const auto some = sut_.watch([&](MessageView) -> void {
    if (++got == 2) throw Error(BP_ABORTED, "enough");
  });
  EXPECT_EQ(got, 2);
  EXPECT_EQ(some.status().code(), BP_ABORTED);
}

TEST_F(AnEndpoint, RunsNoCallbackOnceTheSubscriptionIsGone) {
  for (int round = 0; round < 100; ++round) {
    std::atomic<bool> over{false};
    std::thread source([&] {
      while (!over) hub_.publish(MessageBuilder(1));
    });
    auto data = std::make_unique<int>(0);
    {
      const auto subscription = sut_.watch([&](MessageView) { ++*data; });
      subscription.or_throw();
    }
    data.reset();
    over = true;
    source.join();
  }
  EXPECT_EQ(hub_.watchers(), 0u);
}

TEST_F(AnEndpoint, AcknowledgesWhatItsCallbackReturns) {
  Status now = Status::ok();
  const auto subscription = sut_.watch([&](MessageView) { return now; });
  int settled = 0;
  const auto count = [&](const Status& status) { settled += status.is_ok() ? 1 : 0; };
  hub_.publish(MessageBuilder(1), count);
  EXPECT_EQ(settled, 1);
  now = Status::pending();
  hub_.publish(MessageBuilder(2), count);
  EXPECT_EQ(settled, 1);
  subscription->ack(2, BP_OK);
  EXPECT_EQ(settled, 2);
}

TEST_F(AnEndpoint, LimitsAWatchByItsCredit) {
  int got = 0;
  const auto subscription =
      sut_.watch([&](MessageView) { ++got; }, {.credit = 1, .overflow = BP_OVERFLOW_LATEST});
  for (int i = 0; i < 5; ++i) hub_.publish(MessageBuilder(i));
  EXPECT_EQ(got, 1);
  subscription->credit(5);
  fake_.loop.run();
  EXPECT_EQ(got, 2);
}

TEST_F(AnEndpoint, ReportsTheEndOfAStream) {
  const auto subscription = sut_.watch([](MessageView) {});
  EXPECT_FALSE(subscription->wait_for(0s));
  std::optional<Status> seen = Status::ok();
  post(host_, [&] { seen = subscription->wait_for(1h); }).or_throw();
  fake_.loop.run();
  EXPECT_FALSE(seen) << "the loop does not wait";
  std::thread source([&] { hub_.end(Status::ok()); });
  EXPECT_TRUE(subscription->wait_for(std::chrono::nanoseconds::max())->is_ok());
  source.join();
}

// ---- what comes with an outcome ----

/// Gives an answer in a counted buffer, whatever the outcome.
class Diagnostician final {
 public:
  explicit Diagnostician(const Host& host) : pending(host) {}
  Status read(Op op) { return answer(op); }
  Status browse(Op op) { return answer(op); }
  Status watch(Op op) {
    static_cast<void>(answer(op));
    return later ? pending.add(op) : outcome;
  }
  void cancel(Op op) noexcept { pending.cancel(op); }
  uint64_t owners() const { return detail::HeapBuffer::of(details.get())->owners; }

  PendingList pending;
  bool later = false;
  Status outcome{BP_NOT_FOUND};
  Buffer details = Buffer::make(300);

 private:
  Status answer(Op op) {
    MessageBuilder message(ValueView::bytes(details.data(), details.size()));
    op.reply(message.owner(details.get()).view()).or_throw();
    return outcome;
  }
};

class AnAnswerInABuffer : public ::testing::Test {
 protected:
  AnAnswerInABuffer() {
    auto peer = std::make_unique<Diagnostician>(host_);
    peer_ = peer.get();
    fake_.add_endpoint("plant:d", make_endpoint(std::move(peer)));
    sut_ = open_address(host_, "plant:d").value();
  }
  ~AnAnswerInABuffer() override {
    sut_.close();
    fake_.close_address("plant:d");
  }
  FakeHost fake_;
  Host host_{fake_.raw()};
  Diagnostician* peer_ = nullptr;
  Endpoint sut_;
};

Task<> read_it(const Endpoint& endpoint) { co_await endpoint.read(); }

TEST_F(AnAnswerInABuffer, IsReleasedAfterAFailure) {
  EXPECT_EQ(sut_.read().get().status().code(), BP_NOT_FOUND);
  EXPECT_EQ(sut_.browse().get().status().code(), BP_NOT_FOUND);
  sut_.read<double>().then([](const Result<double>& value) { EXPECT_FALSE(value); });
  EXPECT_THROW(sync_wait(host_, read_it(sut_)), Error);
  EXPECT_FALSE(sut_.watch([](MessageView) {}));
  EXPECT_EQ(peer_->owners(), 1u);
}

TEST_F(AnAnswerInABuffer, IsReleasedWithTheResult) {
  peer_->outcome = Status::ok();
  {
    const OwnedMessage kept = sut_.read().value();
    EXPECT_EQ(kept.body().as.p, peer_->details.data());
    EXPECT_EQ(peer_->owners(), 2u);
  }
  EXPECT_TRUE(sut_.browse().value().empty());
  EXPECT_EQ(peer_->owners(), 1u);
}

TEST_F(AnAnswerInABuffer, IsToldAsTheTrailersOfAStream) {
  peer_->later = true;
  {
    const auto subscription = sut_.watch([](MessageView) {});
    EXPECT_TRUE(subscription->trailers().body().is_null());
    host_.complete(peer_->pending.take_first(), Status(BP_DATA_LOSS));
    EXPECT_EQ(subscription->outcome()->code(), BP_DATA_LOSS);
    EXPECT_EQ(subscription->trailers().body().as.p, peer_->details.data());
  }
  EXPECT_EQ(peer_->owners(), 1u);
}

TEST_F(AnAnswerInABuffer, IsNoEndOfAWatchThatWasRefused) {
  int ends = 0;
  const auto refused = sut_.watch([](MessageView) {}, {.on_end = [&](const Status&) { ++ends; }});
  EXPECT_EQ(refused.status().code(), BP_NOT_FOUND);
  EXPECT_EQ(ends, 0) << "the result alone tells";
  peer_->outcome = Status::ok();
  const auto ended = sut_.watch([](MessageView) {}, {.on_end = [&](const Status&) { ++ends; }});
  EXPECT_TRUE(ended);
  EXPECT_EQ(ends, 1) << "a stream that ends well at once has been one";
}

TEST_F(AnEndpoint, IsNoLongerUsableOnceClosed) {
  Endpoint other = std::move(sut_);
  EXPECT_FALSE(sut_.is_open());
  EXPECT_EQ(other.read<double>().value(), 20.0);
  sut_ = std::move(other);
}

// ---- serving ----

/// A server's address: keeps the handler that is served on it, and calls it as a request from
/// outside would.
class Server final {
 public:
  explicit Server(const Host& host) : pending(host) {}
  Status serve(Op op) {
    handler = op.in().body().as.u;
    if (op.in().header<int>(BP_H_MATCH) == 99) return Status(BP_INVALID_ARGUMENT, "no such match");
    return pending.add(op);
  }
  void cancel(Op op) noexcept {
    if (!busy) pending.cancel(op);
  }
  bp_ref handler = 0;
  bool busy = false;  // inbound operations keep the SERVE from its end
  PendingList pending;
};

class AServedAddress : public ::testing::Test {
 protected:
  AServedAddress() {
    auto server = std::make_unique<Server>(host_);
    server_ = server.get();
    fake_.add_endpoint("coap:/lamp", make_endpoint(std::move(server)));
    address_ = open_address(host_, "coap:/lamp").value();
  }
  ~AServedAddress() override {
    address_.close();
    fake_.close_address("coap:/lamp");
  }
  /// What a request from outside reaches.
  Endpoint outside() {
    EXPECT_EQ(host_.services().endpoint.retain(host_.raw(), server_->handler), BP_OK);
    return Endpoint(host_, server_->handler);
  }

  FakeHost fake_;
  Host host_{fake_.raw()};
  Server* server_ = nullptr;
  Endpoint address_;
};

TEST_F(AServedAddress, IsAnsweredByAFunction) {
  const auto registration = address_.serve([](ServedOp request) -> Status {
    if (request.verb() == BP_V_READ) return request.reply(21.5);
    return Status(BP_PERMISSION_DENIED, "read only: ", request.path());
  });
  registration.or_throw();
  EXPECT_EQ(outside().read<double>().value(), 21.5);
  EXPECT_EQ(outside().write(1, {{BP_H_PATH, "/lamp"}}).get().message(), "read only: /lamp");
}

TEST_F(AServedAddress, IsAnsweredWithZeroByOneThatMayNotChangeTheRequest) {
  const auto registration =
      address_.serve([](const ServedOp& request) -> Status { return request.reply(0); });
  EXPECT_EQ(outside().read<int>().value(), 0);
}

TEST_F(AServedAddress, IsAnsweredLater) {
  std::vector<Deferred> owed;
  const auto registration = address_.serve([&](ServedOp request) -> Status {
    owed.push_back(request.defer());
    return Status::pending();
  });
  std::vector<std::string> got;
  const auto keep = [&](Result<int> answer) {
    got.push_back(answer ? std::to_string(*answer)
                         : std::string(status_name(answer.status().code())));
  };
  const Endpoint peer = outside();
  for (int i = 0; i < 3; ++i) peer.call<int>(i).then(keep);
  owed[1].reply(42);
  owed[0].finish(Status(BP_ABORTED));
  owed.clear();
  EXPECT_EQ(got, (std::vector<std::string>{"42", "ABORTED", "INTERNAL"}));
}

TEST_F(AServedAddress, ForgetsARequestThatItsCallerCancelled) {
  std::optional<Deferred> owed;
  const auto registration = address_.serve([&](ServedOp request) -> Status {
    owed.emplace(request.defer());
    return Status::pending();
  });
  const Endpoint peer = outside();
  const auto& services = host_.services().endpoint;
  bool done = false;
  bp_op* const op = services.op_new(host_.raw());
  op->verb = BP_V_CALL;
  op->target = peer.ref();
  op->user = &done;
  op->done = [](bp_op* completed) { *static_cast<bool*>(completed->user) = true; };
  ASSERT_EQ(services.submit(host_.raw(), op), BP_PENDING);
  services.cancel(host_.raw(), op);
  EXPECT_TRUE(done);
  EXPECT_EQ(op->status, BP_CANCELLED);
  services.op_free(host_.raw(), op);
  owed->reply(5);  // finds nothing, and touches nothing that is gone
}

TEST_F(AServedAddress, IsRefusedByTheServer) {
  const auto registration =
      address_.serve([](ServedOp) -> Status { return Status::ok(); }, {{BP_H_MATCH, 99}});
  EXPECT_EQ(registration.status().message(), "no such match");
}

TEST_F(AServedAddress, IsWithdrawnWithItsRegistration) {
  auto registration = address_.serve([](ServedOp request) -> Status { return request.reply(1); });
  const Endpoint peer = outside();
  EXPECT_FALSE(registration->outcome());
  { const Registration gone = std::move(registration).value(); }
  EXPECT_EQ(peer.read<int>().value(), 1) << "what a server still holds goes on to work";
}

TEST_F(AServedAddress, IsWithdrawnOnTheLoopWithoutWaiting) {
  std::optional registration =
      address_.serve([](ServedOp request) -> Status { return request.reply(1); }).value();
  server_->busy = true;
  post(host_, [&] { registration.reset(); }).or_throw();
  fake_.loop.run();
  EXPECT_FALSE(registration);
  host_.complete(server_->pending.take_first(), Status(BP_CANCELLED));
}

/// Counts its deaths.
class Mortal final {
 public:
  explicit Mortal(int& deaths) : deaths_(deaths) {}
  ~Mortal() { ++deaths_; }
  Mortal(const Mortal&) = delete;
  Mortal& operator=(const Mortal&) = delete;
  Status read(Op op) { return op.reply(1); }

 private:
  int& deaths_;
};

TEST_F(AServedAddress, ClosesAHandlerThatItCouldNotOffer) {
  int deaths = 0;
  EXPECT_FALSE(address_.serve_object(std::make_unique<Mortal>(deaths), {{BP_H_MATCH, 99}}));
  EXPECT_EQ(deaths, 1) << "refused by the server";
  StackArena<> arena;
  ValueView deep;
  for (unsigned i = 0; i <= kMaxDepth; ++i) deep = arena.list({deep});
  EXPECT_THROW(static_cast<void>(
                   address_.serve_object(std::make_unique<Mortal>(deaths), {{"too deep", deep}})),
               Error);
  EXPECT_EQ(deaths, 2);
}

/// A host that takes no endpoint, and touches none.
const void* service_that_adopts_nothing(const bp_host*, const char* id) {
  static constexpr bp_endpoint_service kEndpoint = [] {
    bp_endpoint_service out{};
    out.struct_size = sizeof out;
    out.adopt = [](const bp_host*, const bp_endpoint*, bp_ref*) -> bp_status {
      return BP_RESOURCE_EXHAUSTED;
    };
    return out;
  }();
  return std::string_view(id) == BP_S_ENDPOINT ? &kEndpoint : nullptr;
}

TEST(AHandler, IsDeletedOnceWhenTheHostDoesNotTakeIt) {
  const uint32_t log_level = BP_LOG_ERROR;
  const bp_host raw = {BP_SIZE_TO(bp_host, system),
                       BP_ABI_MINOR,
                       &log_level,
                       {"test", 4},
                       &service_that_adopts_nothing,
                       {}};
  const Host host(&raw);
  int deaths = 0;
  const Endpoint address(host, 1);
  const auto registration = address.serve_object(std::make_unique<Mortal>(deaths));
  EXPECT_EQ(registration.status().code(), BP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(deaths, 1);
}

}  // namespace
}  // namespace backplane
