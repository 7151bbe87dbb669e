// SPDX-License-Identifier: Apache-2.0
// Threads: what must not wait does not.
#include "use.hpp"

#include <array>
#include <sys/resource.h>

namespace backplane::conformance {
namespace {

/// How often this thread has given up its processor because it had to wait.
long waits_of_this_thread() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

/// Calls that may meet another thread behind a lock now and then, but wait for nothing.
class Calls {
 public:
  static constexpr int kCalls = 100;
  template <class Call>
  auto watch(Call call) {
    const long before = waits_of_this_thread();
    auto answer = call();
    waited_ += waits_of_this_thread() != before ? 1 : 0;
    return answer;
  }
  void require_none_waited(std::string_view what, const EndpointTraits& endpoint) const {
    require(waited_ < kCalls / 4, what, " of '", endpoint.path, "' waits: in ", waited_, " of ",
            kCalls, " calls its thread slept");
  }

 private:
  int waited_ = 0;
};

void submit_does_not_wait(Subject& subject) {
  if (subject.traits().endpoints.empty()) {
    throw Skipped("its traits name no endpoints");
  }
  for (const EndpointTraits& endpoint : subject.traits().endpoints) {
    const Endpoint open = subject.open(endpoint);
    const auto measure = [&](uint16_t verb, std::string_view name, const OwnedMessage* with) {
      Calls calls;
      for (int i = 0; i < Calls::kCalls; ++i) {
        const auto probe = Probe::make(subject.system().host(), verb, open);
        if (with != nullptr) {
          probe->send(*with);
        }
        calls.watch([&] { return probe->submit(); });
        const Status status = probe->outcome();
        require(status.is_ok(), name, " on '", endpoint.path, "': ", status.to_string());
      }
      calls.require_none_waited(name, endpoint);
    };
    if (endpoint.read) {
      measure(BP_V_READ, "a read", nullptr);
    }
    if (!endpoint.writes.empty()) {
      measure(BP_V_WRITE, "a write", &endpoint.writes[0]);
    }
    if (!endpoint.calls.empty()) {
      measure(BP_V_CALL, "a call", &endpoint.calls[0]);
    }
  }
}

void watch_and_cancel_do_not_wait(Subject& subject) {
  const EndpointTraits& endpoint = subject.watchable();
  const Endpoint open = subject.open(endpoint);
  Calls watches;
  Calls cancels;
  for (int i = 0; i < Calls::kCalls; ++i) {
    const auto probe = Probe::make(subject.system().host(), BP_V_WATCH, open);
    watches.watch([&] { return probe->submit(); });
    cancels.watch([&] {
      probe->cancel();
      return 0;
    });
    require(probe->ends_within(patience()), "a watch does not end");
  }
  watches.require_none_waited("a watch", endpoint);
  cancels.require_none_waited("a cancel", endpoint);
}

constexpr std::array kTests = {
    Test{"threads.submit_does_not_wait", "the thread that submits a request never sleeps in it",
         &submit_does_not_wait},
    Test{"threads.watch_and_cancel_do_not_wait", "nor the one that watches, or cancels",
         &watch_and_cancel_do_not_wait},
};

}  // namespace

std::span<const Test> thread_tests() noexcept { return kTests; }

}  // namespace backplane::conformance
