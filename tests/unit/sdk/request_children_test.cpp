// SPDX-License-Identifier: Apache-2.0
// Requests of children of this process, most of which are killed. Without ThreadSanitizer, which
// has no threads in a child.
#include "request_fixture.hpp"
#include "support/eventually.hpp"
#include "support/in_child.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace backplane {
namespace {

using test::eventually;
using test::in_child;

/// A child that runs until it is killed, after it has said in the body that it may be. Not while
/// another thread allocates: AddressSanitizer's allocator may be locked in the child for ever.
template <class Body>
pid_t child(const Body& body) {
  int ready[2];
  if (pipe(ready) != 0) return -1;
  const pid_t out = fork();
  if (out == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body([&] { static_cast<void>(write(ready[1], "r", 1)); });
    _exit(1);
  }
  close(ready[1]);
  pollfd said{ready[0], POLLIN, 0};
  char byte = 0;
  EXPECT_EQ(poll(&said, 1, 20'000), 1) << "it says nothing";
  EXPECT_TRUE(said.revents == 0 || read(ready[0], &byte, 1) == 1) << "it has ended";
  close(ready[0]);
  return out;
}
void kill_it(pid_t child) {
  kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status)) << "it ended before: " << status;
}

/// Looks for what killed ones left, while the responder receives.
bool is_left_by(Responder& responder, pid_t maker) {
  const auto end = std::chrono::steady_clock::now() + 1s;
  while (n_answers(maker) != 0 && std::chrono::steady_clock::now() < end) {
    static_cast<void>(responder.receive_within(10ms));
  }
  return n_answers(maker) != 0;
}

INSTANTIATE_TEST_SUITE_P(Key, ARequest, testing::Values(BP_KEY_POSIX, BP_KEY_SYSTEM_V),
                         type_of_key);

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
  const pid_t killed = child([&](auto say) {
    Responder adder = responder();
    say();
    const Result<Request> request = adder.receive();
    raise(SIGKILL);
  });
  Requester requester = Requester::open(key_).value();
  EXPECT_EQ(requester.call(Pair{1, 2}, 10s).status().code(), BP_UNAVAILABLE);
  kill_it(killed);
  Responder adder = responder();
  serve(std::move(adder));
  EXPECT_EQ(requester.call(Pair{1, 2}, 10s).value().as<double>(), 3.0);
}

TEST_P(ARequest, IsAnsweredByNobodyAfterItsRequesterWasKilled) {
  Responder slow = responder();
  const pid_t killed = child([&](auto say) {
    Result<Requester> requester = Requester::open(key_);
    static_cast<void>(requester->send(Pair{1, 2}, kForEver));
    say();
    pause();
  });
  Request request = slow.receive().value();
  const std::span<std::byte> memory = request.loan(900).value();
  kill_it(killed);
  for (int i = 0; i < 8; ++i) static_cast<void>(slow.receive_within(110ms));
  std::memset(memory.data(), 1, memory.size());
  EXPECT_EQ(request.respond_loaned(8).code(), BP_UNAVAILABLE);
  EXPECT_FALSE(is_left_by(slow, killed));
}

/// Requesters that are killed while they ask, and before.
TEST_P(ARequest, OfKilledOnesLeavesNothing) {
  const pid_t adder = child([&](auto say) {
    Responder here = responder({.requesters = 2});
    say();
    for (;;) {
      Request request = here.receive().value();
      const auto [a, b] = request.as<Pair>();
      static_cast<void>(request.respond(a + b));
    }
  });
  std::vector<pid_t> killed;
  for (int i = 0; i < 20; ++i) {
    killed.push_back(child([&](auto say) {
      if (i % 2 == 0) say();
      Result<Requester> requester = Requester::open(key_);
      for (bool is_first = true; requester; is_first = false) {
        if (!requester->call(Pair{1, 2}, 10s)) _exit(2);
        if (is_first && i % 2 != 0) say();
      }
    }));
    std::this_thread::sleep_for(std::chrono::microseconds(200 * i));
    kill_it(killed.back());
  }
  Requester requester = Requester::open(key_).value();
  EXPECT_EQ(requester.call(Pair{1, 2}, 10s).value().as<double>(), 3.0);
  for (const pid_t each : killed) {
    EXPECT_TRUE(eventually([&] { return n_answers(each) == 0; }, 1s)) << "of " << each;
  }
  kill_it(adder);
}

TEST_P(ARequest, LeavesNothingWhoeverIsKilled) {
  // A requester that has not asked.
  Responder here = responder();
  pid_t killed = child([&](auto say) {
    const Result<Requester> requester = Requester::open(key_);
    say();
    pause();
  });
  EXPECT_EQ(n_answers(killed), 1u);
  kill_it(killed);
  EXPECT_FALSE(is_left_by(here, killed));
  // One whose request is read, but not answered.
  killed = child([&](auto say) {
    Result<Requester> requester = Requester::open(key_);
    static_cast<void>(requester->send(Pair{1, 2}, kForEver));
    say();
    pause();
  });
  {
    const Request request = here.receive().value();
    kill_it(killed);
  }
  EXPECT_FALSE(is_left_by(here, killed));
}

TEST_P(ARequest, LeavesNothingToTheNextWhenBothAreKilled) {
  const pid_t killed = child([&](auto say) {
    Responder adder = responder();
    serve(std::move(adder));
    Result<Requester> requester = Requester::open(key_);
    static_cast<void>(requester->call(Pair{1, 2}, 10s));
    say();
    pause();
  });
  EXPECT_EQ(n_answers(killed), 1u);
  kill_it(killed);
  const Responder next = responder();
  EXPECT_EQ(n_answers(killed), 0u);
}

TEST_P(ARequest, LeavesNothingWhenItsResponderIsKilledAfterIt) {
  const pid_t killed = child([&](auto say) {
    Result<Responder> adder = Responder::open(key_, {.request_size = 16, .response_size = 8});
    say();
    static_cast<void>(adder->receive()->respond(3.0));
    pause();
  });
  Requester::open(key_).value().call(Pair{1, 2}, 10s).or_throw();
  EXPECT_EQ(n_answers(), 0u) << "though the responder has it open";
  kill_it(killed);
}

}  // namespace
}  // namespace backplane
