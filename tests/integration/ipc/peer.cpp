// SPDX-License-Identifier: Apache-2.0
// peer KEY ACTION [STEP]: uses what processes share until it is done or killed. With STEP it kills
// itself at that step of the kernel's code, counted from 1; with the name of one it stops there.
//   once    all that there is to do with a semaphore of two; "done" when it got through
//   hold    takes one, says "held", and waits for its end
//   close   takes one, says "held", and closes at a SIGTERM; "done"
//   churn   takes and returns until its end; a line each thousand times
//   memory  all that there is to do with a segment of memory
//   even, odd   counts up in a segment when the count is that; a line each hundred times
//   channel     all that there is to do with a channel that there is
//   publish, subscribe   in a channel that there is, until its end; a line each hundred times
//   ask, answer          all that there is to do with requests that somebody answers, or asks
//   asks, answers        until its end; a line each hundred times
#include "backplane/sdk/semaphore.hpp"
#include "backplane/sdk/shared_memory.hpp"
#include "block.hpp"
#include "kill_point.hpp"
#include "question.hpp"
#include "turns.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <sys/prctl.h>
#include <thread>
#include <unistd.h>

namespace {

using namespace backplane;
using namespace std::chrono_literals;

std::atomic<long> steps_left{-1};
std::string_view stops_at;

void at_step(const char* label) {
  if (label == stops_at) {
    raise(SIGSTOP);
  }
  if (steps_left.fetch_sub(1) == 1) {
    std::fprintf(stderr, "%s\n", label);
    raise(SIGKILL);
  }
}

void once(const NativeKey& key) {
  Semaphore semaphore = Semaphore::open(key, {.initial = 2}).value();
  Semaphore::open(key, {.which = Semaphore::Which::kReset, .initial = 2}).or_throw();
  std::thread waiting([&] {
    if (semaphore.acquire_within(20s).is_ok()) {
      semaphore.release().or_throw();
    }
  });
  for (int i = 0; i < 3; ++i) {
    if (semaphore.acquire_within(5ms).is_ok()) {
      semaphore.release().or_throw();
    }
  }
  waiting.join();
  if (semaphore.try_acquire().value() && semaphore.try_acquire().value()) {
    static_cast<void>(semaphore.acquire_within(1ms));
    semaphore.release(2).or_throw();
    semaphore.acquire().or_throw();
  }
}

[[noreturn]] void churn(const NativeKey& key) {
  Semaphore semaphore = Semaphore::open(key).value();
  for (unsigned long i = 1;; ++i) {
    semaphore.acquire().or_throw();
    if (i % 3 == 0 && semaphore.try_acquire().value()) {
      semaphore.release().or_throw();
    }
    semaphore.release().or_throw();
    if (i % 1000 == 0) {
      static_cast<void>(write(STDOUT_FILENO, ".\n", 2));
    }
  }
}

void memory(const NativeKey& key) {
  for (int i = 0; i < 2; ++i) {
    SharedMemory first = SharedMemory::open(key, {.size = 100}).value();
    SharedMemory second = SharedMemory::attach(key).value();
    ProcessLock lock = first.lock().value();
    if (lock.owner_died()) {
      lock.repaired();
    }
    if (key.type() == BP_KEY_POSIX) {
      first.grow(10'000).or_throw();
      second.refresh().or_throw();
    }
  }
  { SharedMemory::open(key, {.size = 100, .kept = true}).or_throw(); }
  SharedMemory::attach(key).or_throw();
  SharedMemory::remove(key).or_throw();
}

[[noreturn]] void count(const NativeKey& key, int parity) {
  SharedMemory memory = SharedMemory::open(key, {.size = sizeof(test::Turns)}).value();
  for (unsigned long i = 1;; ++i) {
    test::take_turn(memory, parity).or_throw();
    if (i % 100 == 0) {
      static_cast<void>(write(STDOUT_FILENO, ".\n", 2));
    }
  }
}

void channel(const NativeKey& key) {
  Channel channel = Channel::attach(key).value();
  Publisher publisher = channel.publisher().value();
  Subscriber subscriber = channel.subscriber({.history = 2}).value();
  subscriber.descriptor().or_throw();
  for (uint64_t i = 0; i < 6; ++i) {
    test::publish_block(publisher, test::block_number(static_cast<uint64_t>(getpid()), i))
        .or_throw();
    while (const Result<Sample> sample = subscriber.try_receive()) {
      test::number_of(*sample).or_throw();
    }
  }
  static_cast<void>(subscriber.receive_within(1ms));
}

[[noreturn]] void publish(const NativeKey& key) {
  Channel channel = Channel::attach(key).value();
  Publisher publisher = channel.publisher().value();
  for (uint64_t i = 0;; ++i) {
    test::publish_block(publisher, test::block_number(static_cast<uint64_t>(getpid()), i))
        .or_throw();
    if (i % 100 == 0) {
      static_cast<void>(write(STDOUT_FILENO, ".\n", 2));
    }
  }
}

[[noreturn]] void subscribe(const NativeKey& key) {
  Channel channel = Channel::attach(key).value();
  Subscriber subscriber = channel.subscriber().value();
  for (uint64_t i = 0;; ++i) {
    test::number_of(subscriber.receive().value()).or_throw();
    if (i % 100 == 0) {
      static_cast<void>(write(STDOUT_FILENO, ".\n", 2));
    }
  }
}

void ask(const NativeKey& key) {
  Requester requester = Requester::open(key).value();
  requester.descriptor().or_throw();
  for (uint64_t i = 0; i < 8; ++i) {
    test::ask(requester, test::block_number(static_cast<uint64_t>(getpid()), i)).or_throw();
  }
  requester.send(test::LargeBlock(2), Requester::Clock::time_point::max()).or_throw();
}

void answer(const NativeKey& key) {
  Responder responder = Responder::open(key, test::questions()).value();
  responder.descriptor().or_throw();
  {
    Requester own = Requester::open(key).value();
    own.send(test::LargeBlock(2), Requester::Clock::time_point::max()).or_throw();
    for (int i = 0; i < 12; ++i) {
      test::answer(responder.receive().value()).or_throw();
    }
  }
  std::this_thread::sleep_for(110ms);  // after which it looks for who is gone
  test::answer(responder.receive().value()).or_throw();
  bp_request unanswered{};
  bp_responder_receive(responder.raw(), 0, &unanswered, nullptr);
}

[[noreturn]] void ask_always(const NativeKey& key) {
  Requester requester = Requester::open(key).value();
  for (uint64_t i = 0;;) {
    const Status status =
        test::ask(requester, test::block_number(static_cast<uint64_t>(getpid()), i));
    if (status.code() == BP_UNAVAILABLE) {
      std::this_thread::sleep_for(1ms);
      continue;
    }
    status.or_throw();
    if (i++ % 100 == 0) {
      static_cast<void>(write(STDOUT_FILENO, ".\n", 2));
    }
  }
}

[[noreturn]] void answer_always(const NativeKey& key) {
  Responder responder = Responder::open(key, test::questions()).value();
  for (uint64_t i = 0;; ++i) {
    test::answer(responder.receive().value()).or_throw();
    if (i % 100 == 0) {
      static_cast<void>(write(STDOUT_FILENO, ".\n", 2));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const NativeKey key = NativeKey::parse(argv[1]).value();
  const std::string_view action = argv[2];
  if (argc > 3) {
    steps_left = std::atol(argv[3]);
    stops_at = steps_left == 0 ? argv[3] : "";
    kernel::at_kill_point = &at_step;
  }
  if (action == "once") {
    once(key);
    std::puts("done");
  } else if (action == "hold") {
    Semaphore semaphore = Semaphore::open(key).value();
    semaphore.acquire().or_throw();
    std::puts("held");
    std::fflush(stdout);
    pause();
  } else if (action == "close") {
    std::signal(SIGTERM, [](int) {});
    {
      Semaphore semaphore = Semaphore::open(key).value();
      semaphore.acquire().or_throw();
      std::puts("held");
      std::fflush(stdout);
      pause();
    }
    std::puts("done");
  } else if (action == "memory") {
    memory(key);
    std::puts("done");
  } else if (action == "channel") {
    channel(key);
    std::puts("done");
  } else if (action == "publish") {
    publish(key);
  } else if (action == "subscribe") {
    subscribe(key);
  } else if (action == "ask") {
    ask(key);
    std::puts("done");
  } else if (action == "answer") {
    answer(key);
    std::puts("done");
  } else if (action == "asks") {
    ask_always(key);
  } else if (action == "answers") {
    answer_always(key);
  } else if (action == "even" || action == "odd") {
    count(key, action == "odd" ? 1 : 0);
  } else {
    churn(key);
  }
}
