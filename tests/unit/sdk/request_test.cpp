// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/request.hpp"

#include "backplane/sdk/shared_memory.hpp"
#include "support/eventually.hpp"
#include "support/in_child.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <optional>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace backplane {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using test::in_child;
using testing::HasSubstr;

struct Pair {
  double a;
  double b;
};
constexpr auto kForEver = std::chrono::steady_clock::time_point::max();

class ARequest : public testing::TestWithParam<uint32_t> {
 protected:
  ARequest() {
    setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);
    key_ = NativeKey::safe(NativeKey::Use::kSharedMemory, concat("bp-test-request-", getpid()),
                           GetParam())
               .value();
  }
  ~ARequest() override {
    stop();
    static_cast<void>(SharedMemory::remove(key_));
    // What requesters left that were killed before their first request was read.
    const std::string mine = concat("bp-test-request-", getpid());
    for (const MemoryInfo& each : SharedMemory::list().value()) {
      if (!each.is_open && each.key.find(mine) != std::string::npos) {
        static_cast<void>(SharedMemory::remove(NativeKey::parse(each.key).value()));
      }
    }
  }

  Responder responder(Responder::Options options = {}) const {
    if (options.request_size == 0) options.request_size = 1000;
    if (options.response_size == 0) options.response_size = 1000;
    return Responder::open(key_, options).value();
  }
  /// Adds pairs in a thread.
  void serve(Responder responder) {
    thread_ = std::thread([this, adder = std::move(responder)]() mutable {
      while (!is_over_) {
        Result<Request> request = adder.receive_within(10ms);
        if (!request) continue;
        const auto [a, b] = request->as<Pair>();
        const Status status = request->respond(a + b);  // its requester may have been killed
        EXPECT_TRUE(status.is_ok() || status.code() == BP_UNAVAILABLE) << status.to_string();
      }
    });
  }
  void stop() {
    is_over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  /// Segments of answers that there are.
  size_t n_segments() const {
    size_t n = 0;
    for (const MemoryInfo& each : SharedMemory::list().value()) {
      n += each.maker == static_cast<uint64_t>(getpid()) ? 1 : 0;
    }
    return n;
  }

  test::ScratchFolder folder_;
  NativeKey key_;
  std::thread thread_;
  std::atomic<bool> is_over_{false};
};

INSTANTIATE_TEST_SUITE_P(Key, ARequest, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V),
                         [](const auto& key) {
                           return key.param == BP_KEY_POSIX ? "Posix" : "SystemV";
                         });

TEST_P(ARequest, IsAnswered) {
  Responder adder = responder();
  serve(std::move(adder));
  Requester requester = Requester::open(key_).value();
  for (int i = 0; i < 1000; ++i) {
    const Response sum = requester.call(Pair{1.0 * i, 0.5}, 10s).value();
    ASSERT_EQ(sum.as<double>(), i + 0.5);
    ASSERT_EQ(sum.number(), static_cast<uint64_t>(i + 1));
  }
}

TEST_P(ARequest, OfManyIsAnsweredToWhoAsked) {
  Responder adder = responder();
  serve(std::move(adder));
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      Requester requester = Requester::open(key_).value();
      for (int i = 0; i < 200; ++i) {
        ASSERT_EQ(requester.call(Pair{1000.0 * t, 1.0 * i}, 10s).value().as<double>(),
                  1000.0 * t + i);
      }
    });
  }
  for (std::thread& each : threads) each.join();
}

TEST_P(ARequest, IsOfAnySizeUpToTheLargest) {
  Responder echo = responder({.request_size = 500, .response_size = 600});
  Requester requester = Requester::open(key_).value();
  for (const size_t size : {0U, 1U, 24U, 25U, 500U}) {
    const std::vector<std::byte> bytes(size, static_cast<std::byte>(size));
    requester.send(bytes, kForEver).or_throw();
    Request request = echo.receive().value();
    ASSERT_TRUE(
        std::equal(bytes.begin(), bytes.end(), request.data().begin(), request.data().end()))
        << size;
    EXPECT_EQ(request.loan(601).status().code(), BP_OUT_OF_RANGE);
    request.respond(request.data()).or_throw();
    const Response response = requester.receive_within(10s).value();
    ASSERT_TRUE(
        std::equal(bytes.begin(), bytes.end(), response.data().begin(), response.data().end()));
  }
  EXPECT_EQ(requester.loan(501).status().code(), BP_OUT_OF_RANGE);
}

TEST_P(ARequest, WaitsWithOthersForAnswersInAnyOrder) {
  Responder late = responder({.outstanding = 3});  // of which it makes four
  Requester requester = Requester::open(key_).value();
  for (uint64_t i = 1; i <= 4; ++i) {
    const auto bytes = std::as_bytes(std::span(&i, 1));
    EXPECT_EQ(requester.send(bytes, kForEver).value(), i);
  }
  const uint64_t fifth = 5;
  EXPECT_EQ(requester.send(std::as_bytes(std::span(&fifth, 1)), kForEver).status().code(),
            BP_RESOURCE_EXHAUSTED);
  std::vector<Request> requests;
  for (int i = 0; i < 4; ++i) requests.push_back(late.receive().value());
  EXPECT_EQ(late.try_receive().status().code(), BP_RESOURCE_EXHAUSTED) << "it has four";
  for (; !requests.empty(); requests.pop_back()) {
    requests.back().respond(requests.back().as<uint64_t>() * 10).or_throw();
  }
  std::vector<Response> responses;
  for (uint64_t i = 4; i > 0; --i) {
    responses.push_back(requester.receive_within(10s).value());
    EXPECT_EQ(responses.back().number(), i);
    EXPECT_EQ(responses.back().as<uint64_t>(), i * 10);
  }
  responses.clear();
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_FAILED_PRECONDITION)
      << "nothing is asked";
}

TEST_P(ARequest, IsForOneResponder) {
  std::optional<Responder> first(responder());
  const Status second = Responder::open(key_, {.request_size = 8, .response_size = 8}).status();
  EXPECT_EQ(second.code(), BP_ALREADY_EXISTS);
  EXPECT_THAT(second.to_string(), HasSubstr("somebody answers at"));
  first.reset();
  EXPECT_TRUE(Responder::open(key_, {.request_size = 8, .response_size = 8}).is_ok());
}

TEST_P(ARequest, NeedsSomebodyToAnswer) {
  EXPECT_EQ(Requester::open(key_).status().code(), BP_NOT_FOUND);
  std::optional<Responder> first(responder());
  Requester requester = Requester::open(key_).value();
  first.reset();
  const Status nobody = requester.call(Pair{1, 2}, 10s).status();
  EXPECT_EQ(nobody.code(), BP_UNAVAILABLE);
  EXPECT_THAT(nobody.to_string(), HasSubstr("nobody answers at"));
  // Another begins where the first was.
  Responder adder = responder();
  serve(std::move(adder));
  EXPECT_EQ(requester.call(Pair{1, 2}, 10s).value().as<double>(), 3.0);
  EXPECT_EQ(Responder::open(key_, {.request_size = 2000, .response_size = 8}).status().code(),
            BP_OUT_OF_RANGE);
}

TEST_P(ARequest, KnowsWhenItsResponderIsGoneWithIt) {
  std::optional<Responder> first(responder());
  Requester requester = Requester::open(key_).value();
  const Pair pair{1, 2};
  requester.send(std::as_bytes(std::span(&pair, 1)), kForEver).or_throw();
  std::thread ending([&] {
    static_cast<void>(first->receive().value());  // given back unanswered
    first.reset();
  });
  EXPECT_EQ(requester.receive_within(10s).status().code(), BP_UNAVAILABLE);
  ending.join();
  // The next responder has not been asked.
  Responder second = responder();
  EXPECT_EQ(second.try_receive().status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_FAILED_PRECONDITION);
}

TEST_P(ARequest, IsNotAnsweredToOneWhoIsGone) {
  Responder adder = responder();
  std::optional<Requester> requester(Requester::open(key_).value());
  const Pair pair{1, 2};
  for (int i = 0; i < 2; ++i) {
    requester->send(std::as_bytes(std::span(&pair, 1)), kForEver).or_throw();
  }
  adder.receive().value().respond(3.0).or_throw();
  EXPECT_EQ(n_segments(), 2u);
  Request request = adder.receive().value();
  requester.reset();
  EXPECT_EQ(request.respond(3.0).code(), BP_UNAVAILABLE);
  EXPECT_EQ(adder.receive_within(1ms).status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(n_segments(), 1u) << "its channel is gone, too";
}

TEST_P(ARequest, ThatTookTooLongIsPassedOverWhenItsAnswerComes) {
  Responder slow = responder();
  Requester requester = Requester::open(key_).value();
  EXPECT_EQ(requester.call(Pair{1, 1}, 1ms).status().code(), BP_DEADLINE_EXCEEDED);
  slow.receive().value().respond(2.0).or_throw();
  std::thread answering([&] { slow.receive().value().respond(4.0).or_throw(); });
  EXPECT_EQ(requester.call(Pair{2, 2}, 10s).value().as<double>(), 4.0);
  answering.join();
}

TEST_P(ARequest, AndItsAnswerWakeEventLoops) {
  Responder adder = responder();
  Requester requester = Requester::open(key_).value();
  const auto is_readable = [](int descriptor) {
    pollfd one{descriptor, POLLIN, 0};
    return poll(&one, 1, 10'000) == 1;
  };
  const int asked = adder.descriptor().value();
  EXPECT_EQ(adder.try_receive().status().code(), BP_DEADLINE_EXCEEDED);
  const int answered = requester.descriptor().value();
  const Pair pair{1, 2};
  requester.send(std::as_bytes(std::span(&pair, 1)), kForEver).or_throw();
  EXPECT_EQ(requester.receive_within(0ns).status().code(), BP_DEADLINE_EXCEEDED);
  ASSERT_TRUE(is_readable(asked));
  adder.try_receive().value().respond(3.0).or_throw();
  ASSERT_TRUE(is_readable(answered));
  EXPECT_EQ(requester.receive_within(0ns).value().as<double>(), 3.0);
}

TEST_P(ARequest, RefusesWhatCannotBe) {
  const NativeKey nobodys("a", BP_KEY_ANONYMOUS);
  EXPECT_EQ(Responder::open(nobodys, {.request_size = 8, .response_size = 8}).status().code(),
            BP_INVALID_ARGUMENT);
  EXPECT_EQ(Requester::open(nobodys).status().code(), BP_INVALID_ARGUMENT);
  const auto code = [&](const Responder::Options& options) {
    return Responder::open(key_, options).status().code();
  };
  EXPECT_EQ(code({.request_size = UINT64_MAX, .response_size = 8}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code({.request_size = 8, .response_size = 8, .requesters = 64}), BP_INVALID_ARGUMENT);
  EXPECT_EQ(code({.request_size = 8, .response_size = 8, .outstanding = 1025}),
            BP_INVALID_ARGUMENT);
  Channel channel = Channel::open(key_, {.sample_size = 100}).value();
  EXPECT_EQ(Requester::open(key_).status().code(), BP_DATA_LOSS) << "it takes no requests";
}

TEST_P(ARequest, OfNobodyIsPassedOver) {
  Responder adder = responder();
  Channel channel = Channel::attach(key_).value();
  Publisher publisher = channel.publisher().value();
  publisher.send(uint64_t{1}).or_throw();  // no head
  EXPECT_EQ(adder.try_receive().status().code(), BP_DEADLINE_EXCEEDED);
  publisher.send(std::array<uint64_t, 3>{77, 1, 5}).or_throw();  // of no requester
  EXPECT_EQ(adder.receive().value().respond(1.0).code(), BP_UNAVAILABLE);
}

#ifndef __SANITIZE_THREAD__  // which has no threads in a child
TEST_P(ARequest, IsNotForAChildOfFork) {
  Responder adder = responder();
  Requester requester = Requester::open(key_).value();
  EXPECT_EQ(in_child([&] {
              return adder.try_receive().status().code() == BP_FAILED_PRECONDITION &&
                             requester.call(Pair{1, 2}, 1s).status().code() ==
                                 BP_FAILED_PRECONDITION
                         ? 0
                         : 1;
            }),
            0);
  serve(std::move(adder));
  EXPECT_EQ(requester.call(Pair{1, 2}, 10s).value().as<double>(), 3.0);
}

/// A responder that is killed with a request.
TEST_P(ARequest, KnowsWhenItsResponderIsKilledWithIt) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    Responder adder = responder();
    static_cast<void>(write(ready[1], "r", 1));
    const Request request = adder.receive().value();
    raise(SIGKILL);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  close(ready[1]);
  Requester requester = Requester::open(key_).value();
  EXPECT_EQ(requester.call(Pair{1, 2}, 10s).status().code(), BP_UNAVAILABLE);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  Responder adder = responder();
  serve(std::move(adder));
  EXPECT_EQ(requester.call(Pair{1, 2}, 10s).value().as<double>(), 3.0);
}

/// Requesters that are killed while they ask.
TEST_P(ARequest, OfKilledOnesLeavesNothing) {
  Responder adder = responder({.requesters = 2});
  serve(std::move(adder));
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      Requester requester = Requester::open(key_).value();
      for (;;) requester.call(Pair{1, 2}, 10s).or_throw();
    }
    std::this_thread::sleep_for(std::chrono::microseconds(500 * i));
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }
  Requester requester = Requester::open(key_).value();
  EXPECT_EQ(requester.call(Pair{1, 2}, 10s).value().as<double>(), 3.0);
  EXPECT_TRUE(eventually([&] { return n_segments() == 2; })) << n_segments();
}
#endif

}  // namespace
}  // namespace backplane
