// SPDX-License-Identifier: Apache-2.0
// Requests: who asks, who answers, and what is not answered.
#include "request_fixture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <poll.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace backplane {
namespace {

using testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Key, ARequest, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V),
                         type_of_key);

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
  stop();
  for (const Responder::Options& larger : {Responder::Options{1001, 8}, {8, 1001}}) {
    const Status small = Responder::open(key_, larger).status();
    EXPECT_EQ(small.code(), BP_OUT_OF_RANGE);
    EXPECT_THAT(small.to_string(), HasSubstr("requests of 1000 bytes and answers of 1000"));
  }
}

TEST_P(ARequest, KnowsWhenItsResponderIsGoneWithIt) {
  std::optional<Responder> first(responder());
  Requester requester = Requester::open(key_).value();
  const Pair pair{1, 2};
  requester.send(std::as_bytes(std::span(&pair, 1)), kForEver).or_throw();
  std::thread ending([&] {
    bp_request kept{};
    EXPECT_EQ(bp_responder_receive(first->raw(), 0, &kept, nullptr), BP_OK);
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
  EXPECT_EQ(n_answers(), 1u);
  Request request = adder.receive().value();
  requester.reset();
  EXPECT_EQ(request.respond(3.0).code(), BP_UNAVAILABLE);
  EXPECT_EQ(adder.receive_within(1ms).status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(n_answers(), 0u) << "its channel is gone, too";
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
  for (const uint64_t size : {uint64_t{1} << 30U, uint64_t{2} << 30U, UINT64_MAX - 8, UINT64_MAX}) {
    EXPECT_EQ(code({.request_size = size, .response_size = 8}), BP_INVALID_ARGUMENT);
    const Status status =
        Responder::open(key_, {.request_size = 8, .response_size = size}).status();
    EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT);
    EXPECT_THAT(status.to_string(), HasSubstr("'response_size'"));
  }
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
  publisher.send(std::array<uint64_t, 3>{77, 1U << 16U | 1, 5}).or_throw();  // of no requester
  Request nobodys = adder.receive().value();
  EXPECT_EQ(nobodys.passed_over(), 1u);
  EXPECT_EQ(nobodys.respond(1.0).code(), BP_UNAVAILABLE);
}

// ---- who ends, and what is not answered ----

TEST_P(ARequest, IsAnsweredByNobodyAfterItsRequesterEnded) {
  for (const uint64_t size : {8U, 900U}) {  // in the publisher's own memory, and in the segment
    Responder slow = responder();
    std::optional<Requester> requester(Requester::open(key_).value());
    requester->send(Pair{1, 2}, kForEver).or_throw();
    Request request = slow.receive().value();
    const std::span<std::byte> memory = request.loan(size).value();
    requester.reset();
    EXPECT_EQ(slow.receive_within(150ms).status().code(), BP_DEADLINE_EXCEEDED);
    std::memset(memory.data(), 1, memory.size());
    EXPECT_EQ(request.respond_loaned(8).code(), BP_UNAVAILABLE);
  }
}

TEST_P(ARequest, GivenBackUnansweredIsNoLongerWaitedFor) {
  Responder busy = responder({.outstanding = 2});
  std::thread dropping([&] {
    for (int i = 0; i < 10; ++i) static_cast<void>(busy.receive().value());
    Request last = busy.receive().value();
    static_cast<void>(last.loan(8));
    EXPECT_EQ(last.respond_loaned(9).code(), BP_OUT_OF_RANGE);
    Request unloaned = busy.receive().value();
    EXPECT_EQ(unloaned.respond_loaned(0).code(), BP_FAILED_PRECONDITION);
  });
  Requester requester = Requester::open(key_).value();
  for (int i = 1; i <= 12; ++i) {
    const Status given_back = requester.call(Pair{1, 2}, 10s).status();
    EXPECT_EQ(given_back.code(), BP_ABORTED);
    EXPECT_THAT(given_back.to_string(), HasSubstr(concat("request ", i, " at")));
  }
  dropping.join();
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_FAILED_PRECONDITION);
}

TEST_P(ARequest, IsGivenBackBesideALoanForAnother) {
  for (const uint64_t size : {8U, 900U}) {
    Responder one = responder();
    Requester requester = Requester::open(key_).value();
    requester.send(Pair{1, 1}, kForEver).or_throw();
    requester.send(Pair{2, 2}, kForEver).or_throw();
    std::optional<Request> first(one.receive().value());
    Request second = one.receive().value();
    const std::span<std::byte> memory = second.loan(size).value();
    std::fill(memory.begin(), memory.end(), std::byte{7});
    EXPECT_EQ(first->respond_loaned(0).code(), BP_FAILED_PRECONDITION) << "it is another's";
    second.respond_loaned(size).or_throw();
    EXPECT_EQ(requester.receive_within(10s).status().code(), BP_ABORTED);
    const Response answer = requester.receive_within(10s).value();
    EXPECT_EQ(answer.number(), 2u);
    ASSERT_EQ(answer.data().size(), size);
    EXPECT_EQ(std::count(answer.data().begin(), answer.data().end(), std::byte{7}),
              static_cast<ptrdiff_t>(size));
  }
}

TEST_P(ARequest, ThatIsForgottenMakesWay) {
  Responder slow = responder({.outstanding = 1});
  Requester requester = Requester::open(key_).value();
  const uint64_t first = requester.send(Pair{1, 1}, kForEver).value();
  EXPECT_EQ(requester.call(Pair{2, 2}, 20ms).status().code(), BP_DEADLINE_EXCEEDED)
      << "it waits for the first";
  requester.forget(first);
  requester.forget(first);
  EXPECT_EQ(requester.send(Pair{2, 2}, kForEver).value(), 2u);
  slow.receive().value().respond(2.0).or_throw();
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_DEADLINE_EXCEEDED);
  slow.receive().value().respond(4.0).or_throw();
  EXPECT_EQ(requester.receive_within(10s).value().as<double>(), 4.0);
}

TEST_P(ARequest, IsAnsweredThoughAnswersToForgottenOnesAreLost) {
  Responder slow = responder({.outstanding = 4});
  Requester requester = Requester::open(key_).value();
  std::vector<Request> taken;
  for (int i = 0; i < 6; ++i) {
    const uint64_t number = requester.send(Pair{1, double(i)}, kForEver).value();
    if (i < 5) {
      requester.forget(number);
    }
    taken.push_back(slow.receive().value());
    taken.back().respond(1.0 + i).or_throw();
  }
  const Response answer = requester.receive_within(10s).value();
  EXPECT_EQ(answer.number(), 6u);
  EXPECT_EQ(answer.as<double>(), 6.0);
  EXPECT_EQ(answer.passed_over(), 3u);
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_FAILED_PRECONDITION);
}

TEST_P(ARequest, IsNotLostWithWhatWasAnsweredBeforeIt) {
  Responder slow = responder({.outstanding = 4});
  Requester requester = Requester::open(key_).value();
  for (int i = 0; i < 6; ++i) {
    requester.forget(requester.send(Pair{1, double(i)}, kForEver).value());
    slow.receive().value().respond(1.0 + i).or_throw();
  }
  const uint64_t number = requester.send(Pair{7, 7}, kForEver).value();
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_DEADLINE_EXCEEDED);
  slow.receive().value().respond(14.0).or_throw();
  const Response answer = requester.receive_within(10s).value();
  EXPECT_EQ(answer.number(), number);
  EXPECT_EQ(answer.as<double>(), 14.0);
}

TEST_P(ARequest, CalledWithAsManyAsMayBeWaitsForOne) {
  Responder slow = responder({.outstanding = 1});
  Requester requester = Requester::open(key_).value();
  EXPECT_EQ(requester.call(Pair{1, 1}, 1ms).status().code(), BP_DEADLINE_EXCEEDED);
  std::thread answering([&] {
    for (int i = 0; i < 2; ++i) {
      std::this_thread::sleep_for(10ms);
      Request request = slow.receive().value();
      request.respond(request.as<Pair>().a).or_throw();
    }
  });
  EXPECT_EQ(requester.call(Pair{2, 2}, 10s).value().as<double>(), 2.0);
  answering.join();
}

TEST_P(ARequest, IsAnsweredOnce) {
  Responder twice = responder();
  Requester requester = Requester::open(key_).value();
  requester.send(Pair{1, 1}, kForEver).or_throw();
  requester.send(Pair{2, 2}, kForEver).or_throw();
  bp_request first{};
  bp_request second{};
  ASSERT_EQ(bp_responder_receive(twice.raw(), 0, &first, nullptr), BP_OK);
  ASSERT_EQ(bp_responder_receive(twice.raw(), 0, &second, nullptr), BP_OK);
  const auto answer = [&](const bp_request& request) {
    void* memory = nullptr;
    EXPECT_EQ(bp_responder_loan(twice.raw(), &request, 8, &memory, nullptr), BP_OK);
    return bp_responder_respond(twice.raw(), &request, 8, nullptr);
  };
  EXPECT_EQ(answer(first), BP_OK);
  EXPECT_EQ(answer(first), BP_FAILED_PRECONDITION);
  bp_responder_release(twice.raw(), &first);
  EXPECT_EQ(requester.receive_within(10s).value().number(), 1u);
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(answer(second), BP_OK);
  EXPECT_EQ(requester.receive_within(10s).value().number(), 2u);
}

/// The channel of answers as a peer writes it.
TEST_P(ARequest, IsAnsweredOnceWhateverAPeerSends) {
  Responder here = responder();
  Requester requester = Requester::open(key_).value();
  requester.send(Pair{1, 1}, kForEver).or_throw();
  requester.send(Pair{2, 2}, kForEver).or_throw();
  bp_request first{};
  ASSERT_EQ(bp_responder_receive(here.raw(), 0, &first, nullptr), BP_OK);
  char name[40];
  std::snprintf(name, sizeof name, "/backplane-answers-%016llx",
                static_cast<unsigned long long>(first.requester));
  Channel answers = Channel::attach(NativeKey(name)).value();
  Publisher peer = answers.publisher().value();
  const auto send = [&](uint64_t requester_id, uint64_t number) {
    peer.send(std::array<uint64_t, 3>{requester_id, number << 16U, 5}).or_throw();
  };
  send(first.requester, 1);
  send(first.requester, 1);
  send(first.requester, 3);
  EXPECT_EQ(requester.receive_within(10s).value().number(), 1u);
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_DEADLINE_EXCEEDED);
  send(first.requester + 1, 2);
  peer.send(uint64_t{1}).or_throw();
  send(first.requester, 2);
  {
    const Response second = requester.receive_within(10s).value();
    EXPECT_EQ(second.number(), 2u);
    EXPECT_EQ(second.passed_over(), 4u);
  }
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_FAILED_PRECONDITION);
  // More than the ring remembers, and the answer among what is lost.
  const uint64_t third = requester.send(Pair{3, 3}, kForEver).value();
  send(first.requester, third);
  for (int i = 0; i < 5; ++i) send(first.requester, 99);
  EXPECT_EQ(requester.receive_within(10s).status().code(), BP_DATA_LOSS);
  EXPECT_EQ(requester.receive_within(1ms).status().code(), BP_FAILED_PRECONDITION);
}

TEST_P(ARequest, ToOneThatWasHereBeforeIsPassedOver) {
  std::optional<Responder> first(responder());
  Requester requester = Requester::open(key_).value();
  first.reset();
  Responder second = responder();
  Channel channel = Channel::attach(key_).value();
  Publisher publisher = channel.publisher().value();
  // As who waited for room until now sends it: its requester is told UNAVAILABLE.
  publisher.send(std::array<uint64_t, 3>{77, 1U << 16U | 1, 5}).or_throw();
  EXPECT_EQ(second.try_receive().status().code(), BP_DEADLINE_EXCEEDED);
  publisher.send(std::array<uint64_t, 3>{77, 1U << 16U | 2, 5}).or_throw();
  const Request request = second.try_receive().value();
  EXPECT_EQ(request.number(), 1u);
  EXPECT_EQ(request.passed_over(), 1u);
}

TEST_P(ARequest, HasAKeyThatMayBeSpelledInSeveralWays) {
  Responder adder = responder();
  serve(std::move(adder));
  const std::string name = GetParam() == BP_KEY_POSIX
                               ? key_.name().substr(1)
                               : concat(folder_.path().string(), "/./",
                                        key_.name().substr(folder_.path().string().size() + 1));
  Requester requester = Requester::open(NativeKey(name, GetParam())).value();
  EXPECT_EQ(requester.call(Pair{1, 2}, 10s).value().as<double>(), 3.0);
}

TEST_P(ARequest, HasTheSizeThatWasLoaned) {
  Responder echo = responder();
  Requester requester = Requester::open(key_).value();
  requester.loan(8).or_throw();
  for (const uint64_t size : {uint64_t{9}, UINT64_MAX - 5, UINT64_MAX}) {
    const Status refused = requester.send_loaned(size, kForEver).status();
    EXPECT_EQ(refused.code(), BP_OUT_OF_RANGE) << size;
    EXPECT_THAT(refused.to_string(), HasSubstr(concat(size, " bytes of a loan of 8")));
  }
  for (const uint64_t size : {uint64_t{9}, UINT64_MAX - 5, UINT64_MAX}) {
    requester.send(uint64_t{1}, kForEver).or_throw();
    Request request = echo.receive().value();
    request.loan(8).or_throw();
    EXPECT_EQ(request.respond_loaned(size).code(), BP_OUT_OF_RANGE) << size;
    EXPECT_EQ(requester.receive_within(10s).status().code(), BP_ABORTED);
  }
}

TEST_P(ARequest, IsAnsweredInTheGroupOfItsKey) {
  if (geteuid() != 0) GTEST_SKIP() << "root alone is in every group";
  constexpr gid_t kGroup = 4;
  ASSERT_EQ(setegid(kGroup), 0);
  Responder adder = responder({.permissions = 0660});
  ASSERT_EQ(setegid(0), 0);
  const Requester requester = Requester::open(key_).value();
  struct stat about {};
  for (const MemoryInfo& each : SharedMemory::list().value()) {
    const size_t at = each.key.find("backplane-answers-");
    if (at == std::string::npos || each.maker != static_cast<uint64_t>(getpid())) continue;
    EXPECT_EQ(stat(("/dev/shm/" + each.key.substr(at)).c_str(), &about), 0) << each.key;
  }
  EXPECT_EQ(about.st_mode & 0777, 0660u);
  EXPECT_EQ(about.st_gid, kGroup);
}

TEST_P(ARequest, LeavesTheDescriptorOfEventLoopsAtRest) {
  Responder adder = responder();
  Requester requester = Requester::open(key_).value();
  const int descriptor = requester.descriptor().value();
  const auto is_at_rest = [&](bp_status last) {
    for (;;) {
      const Result<Response> answer = requester.receive_until(Requester::Clock::time_point::min());
      if (answer) continue;
      EXPECT_EQ(answer.status().code(), last);
      break;
    }
    pollfd one{descriptor, POLLIN, 0};
    return poll(&one, 1, 0) == 0;
  };
  EXPECT_TRUE(is_at_rest(BP_FAILED_PRECONDITION));
  requester.send(Pair{1, 2}, kForEver).or_throw();
  EXPECT_TRUE(is_at_rest(BP_DEADLINE_EXCEEDED));
  adder.receive().value().respond(3.0).or_throw();
  EXPECT_TRUE(is_at_rest(BP_FAILED_PRECONDITION));
  requester.forget(requester.send(Pair{1, 2}, kForEver).value());
  adder.receive().value().respond(3.0).or_throw();
  EXPECT_TRUE(is_at_rest(BP_FAILED_PRECONDITION)) << "it came, and nobody waited for it";
}

TEST_P(ARequest, ThatIsNoneEndsNoDeadline) {
  Responder here = responder({.requesters = 3});
  const int descriptor = here.descriptor().value();
  std::atomic<bool> is_over{false};
  std::atomic<int> n_running{2};
  std::vector<std::thread> flood;
  for (int i = 0; i < 2; ++i) {
    flood.emplace_back([&] {
      Channel channel = Channel::attach(key_).value();
      Publisher publisher = channel.publisher().value();
      while (!is_over) static_cast<void>(publisher.send(uint64_t{1}));
      --n_running;
    });
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(here.receive_within(50ms).status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  pollfd one{descriptor, POLLIN, 0};
  EXPECT_EQ(poll(&one, 1, 10'000), 1);
  is_over = true;
  while (n_running > 0) static_cast<void>(here.try_receive());  // they wait for room
  for (std::thread& each : flood) each.join();
}

TEST_P(ARequest, IsAnObjectAViewOrBytes) {
  using Bytes = std::span<std::byte>;
  static_assert(detail::BytesOfItsOwn<Pair> && detail::BytesOfItsOwn<std::array<int, 3>>);
  static_assert(!detail::BytesOfItsOwn<Bytes> && !detail::BytesOfItsOwn<std::string_view>);
  static_assert(!detail::BytesOfItsOwn<const char*> && !detail::BytesOfItsOwn<std::span<int>>);
  static_assert(!detail::BytesOfItsOwn<int*> && !detail::BytesOfItsOwn<std::nullptr_t>);
  Responder echo = responder();
  std::thread answering([&] {
    for (int i = 0; i < 2; ++i) {
      Request request = echo.receive().value();
      std::vector<std::byte> copy(request.data().begin(), request.data().end());
      request.respond(Bytes(copy)).or_throw();
    }
  });
  Requester requester = Requester::open(key_).value();
  EXPECT_EQ(requester.call(std::string_view("hi"), 10s).value().data().size(), 2u);
  EXPECT_EQ(requester.call("hello", 10s).value().data().size(), 5u);
  answering.join();
}

TEST_P(ARequest, SaysWhatIsWrongWithWhatIsThere) {
  {
    Channel plain = Channel::open(key_, {.sample_size = 2000, .lossless = true}).value();
    const Status none = Responder::open(key_, {.request_size = 8, .response_size = 8}).status();
    EXPECT_EQ(none.code(), BP_DATA_LOSS);
    EXPECT_THAT(none.to_string(), HasSubstr("takes no requests"));
  }
  const Responder here = responder({.requesters = 1});
  EXPECT_EQ(Responder::open(key_, {.request_size = 2000, .response_size = 8}).status().code(),
            BP_ALREADY_EXISTS);
  const Requester only = Requester::open(key_).value();
  EXPECT_THAT(Requester::open(key_).status().to_string(), HasSubstr("has 1 requesters already"));
}

}  // namespace
}  // namespace backplane
