// SPDX-License-Identifier: Apache-2.0
// Completion: exactly once, whatever is cancelled when and by whom.
#include "probe.hpp"

#include <array>
#include <thread>

namespace backplane::conformance {
namespace {

using namespace std::chrono_literals;

// What an endpoint may take to end an operation that it was asked to end.
constexpr auto kPromptly = 1s;

void require_once(const Probe& probe) {
  require(probe.completions() == probe.uses_that_pended(), "of ", probe.uses_that_pended(),
          " operations that were pending, ", probe.completions(), " completed");
}

/// Calls `use` with each endpoint and verb of the traits that completes by itself.
template <class Use>
void each_request(Subject& subject, Use use) {
  bool any = false;
  for (const EndpointTraits& endpoint : subject.traits().endpoints) {
    const Endpoint open = subject.open(endpoint);
    for (const uint16_t verb : kRequests) {
      if ((endpoint.verbs() & BP_VERB_BIT(verb)) == 0) {
        continue;
      }
      any = true;
      const auto& values = verb == BP_V_WRITE ? endpoint.writes : endpoint.calls;
      use(open, verb, verb == BP_V_READ ? OwnedMessage() : values.front());
    }
  }
  if (!any) {
    throw Skipped("its traits name no endpoint with read, write or call");
  }
}

void happens_once(Subject& subject) {
  each_request(subject, [&](const Endpoint& open, uint16_t verb, const OwnedMessage& in) {
    constexpr int kTimes = 200;
    const auto probe = Probe::make(subject.system().host(), verb, open);
    probe->send(in);
    for (int i = 0; i < kTimes; ++i) {
      probe->submit();
      require(probe->outcome().is_ok(), "use ", i, ": ", probe->outcome().to_string());
    }
    require_once(*probe);
  });
}

void happens_once_from_many_threads(Subject& subject) {
  each_request(subject, [&](const Endpoint& open, uint16_t verb, const OwnedMessage& in) {
    constexpr int kThreads = 4;
    std::array<std::string, kThreads> wrong;
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (std::string& text : wrong) {
      threads.emplace_back([&] {
        try {
          for (int i = 0; i < 50; ++i) {
            const auto probe = Probe::make(subject.system().host(), verb, open);
            probe->send(in);
            probe->submit();
            const Status status = probe->outcome();
            // Where it bounds what is under way at once, it may say so.
            require(status.is_ok() || status.code() == BP_RESOURCE_EXHAUSTED, status.to_string());
            require_once(*probe);
          }
        } catch (const std::exception& error) {
          text = error.what();
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    for (const std::string& text : wrong) {
      require(text.empty(), text);
    }
  });
}

/// Submits, and has `meddle` called a little later each time.
template <class Meddle>
void cancelled_by(Subject& subject, Meddle meddle) {
  each_request(subject, [&](const Endpoint& open, uint16_t verb, const OwnedMessage& in) {
    for (int delay = 0; delay < 20; ++delay) {
      const auto probe = Probe::make(subject.system().host(), verb, open);
      probe->send(in);
      meddle(*probe, delay);
      require(probe->ends_within(patience()), "an operation that was cancelled does not end");
      const Status status = probe->outcome();
      require(status.is_ok() || status.code() == BP_CANCELLED,
              "an operation that was cancelled: ", status.to_string());
      require_once(*probe);
    }
  });
}

void pause(int delay) { std::this_thread::sleep_for(std::chrono::microseconds(delay * delay)); }

void survives_a_cancel_at_any_time(Subject& subject) {
  cancelled_by(subject, [](Probe& probe, int delay) {
    probe.submit();
    pause(delay);
    probe.cancel();
    probe.cancel();
    require(probe.ends_within(patience()), "an operation that was cancelled does not end");
    probe.cancel();  // of what has ended: nothing
  });
}

void survives_a_cancel_from_another_thread(Subject& subject) {
  cancelled_by(subject, [](Probe& probe, int delay) {
    std::atomic<bool> go{false};
    std::thread other([&] {
      while (!go) {
      }
      pause(delay);
      probe.cancel();
    });
    go = true;
    probe.submit();
    other.join();
  });
}

void survives_a_cancel_inside_done(Subject& subject) {
  cancelled_by(subject, [](Probe& probe, int) {
    probe.on_done([](Probe& self) { self.cancel(); });
    probe.submit();
  });
}

void a_watch_ends_when_cancelled(Subject& subject) {
  const Endpoint open = subject.open(subject.watchable());
  for (int delay = 0; delay < 20; ++delay) {
    const auto probe = Probe::make(subject.system().host(), BP_V_WATCH, open);
    probe->submit();
    pause(delay);
    probe->cancel();
    require(probe->ends_within(kPromptly), "a watch that was cancelled does not end within 1 s");
    const Status status = probe->outcome();
    require(status.code() == BP_CANCELLED, "a watch that was cancelled: ", status.to_string());
    require_once(*probe);
  }
}

void a_deadline_ends_a_watch(Subject& subject) {
  const Endpoint open = subject.open(subject.watchable());
  const auto probe = Probe::make(subject.system().host(), BP_V_WATCH, open);
  probe->deadline_in(50ms);
  probe->submit();
  require(probe->ends_within(50ms + kPromptly), "a watch does not end within 1 s of its deadline");
  const Status status = probe->outcome();
  require(status.code() == BP_DEADLINE_EXCEEDED, "a watch at its deadline: ", status.to_string());
  require_once(*probe);
}

void a_deadline_in_the_past_is_exceeded(Subject& subject) {
  each_request(subject, [&](const Endpoint& open, uint16_t verb, const OwnedMessage& in) {
    const auto probe = Probe::make(subject.system().host(), verb, open);
    probe->send(in);
    probe->deadline_in(-1s);
    probe->submit();
    require(probe->ends_within(kPromptly), "an operation whose deadline has passed does not end");
    const Status status = probe->outcome();
    require(status.is_ok() || status.code() == BP_DEADLINE_EXCEEDED,
            "an operation whose deadline has passed: ", status.to_string());
    require_once(*probe);
  });
}

void may_submit_again_inside_done(Subject& subject) {
  each_request(subject, [&](const Endpoint& open, uint16_t verb, const OwnedMessage& in) {
    const auto first = Probe::make(subject.system().host(), verb, open);
    const auto second = Probe::make(subject.system().host(), verb, open);
    first->send(in);
    second->send(in);
    bool pended = true;
    first->on_done([&](Probe&) { second->submit(); });
    pended = first->submit() == BP_PENDING;
    require(first->outcome().is_ok(), first->outcome().to_string());
    if (pended) {
      require(second->outcome().is_ok(),
              "submitted inside `done`: ", second->outcome().to_string());
    }
    require_once(*second);
  });
}

void a_closed_reference_is_refused(Subject& subject) {
  each_request(subject, [&](const Endpoint& open, uint16_t verb, const OwnedMessage&) {
    const auto probe = Probe::make(subject.system().host(), verb, open);
    probe->raw()->target ^= 1ull << 40;  // another generation
    probe->submit();
    const Status status = probe->outcome();
    require(status.code() == BP_FAILED_PRECONDITION,
            "an operation on a stale reference: ", status.to_string());
  });
}

constexpr std::array kTests = {
    Test{"completion.happens_once", "200 operations, one after the other, complete once each",
         &happens_once},
    Test{"completion.happens_once_from_many_threads", "so do those of four threads at once",
         &happens_once_from_many_threads},
    Test{"completion.survives_a_cancel_at_any_time",
         "cancelled soon or late, and twice, an operation ends once",
         &survives_a_cancel_at_any_time},
    Test{"completion.survives_a_cancel_from_another_thread", "also by another thread",
         &survives_a_cancel_from_another_thread},
    Test{"completion.survives_a_cancel_inside_done", "also inside its own `done`",
         &survives_a_cancel_inside_done},
    Test{"completion.a_watch_ends_when_cancelled", "within 1 s, with CANCELLED",
         &a_watch_ends_when_cancelled},
    Test{"completion.a_deadline_ends_a_watch", "within 1 s, with DEADLINE_EXCEEDED",
         &a_deadline_ends_a_watch},
    Test{"completion.a_deadline_in_the_past_is_exceeded", "or the operation was quicker",
         &a_deadline_in_the_past_is_exceeded},
    Test{"completion.may_submit_again_inside_done", "a caller goes on inside `done`",
         &may_submit_again_inside_done},
    Test{"completion.a_stale_reference_is_refused", "FAILED_PRECONDITION, and never a crash",
         &a_closed_reference_is_refused},
};

}  // namespace

std::span<const Test> completion_tests() noexcept { return kTests; }

}  // namespace backplane::conformance
