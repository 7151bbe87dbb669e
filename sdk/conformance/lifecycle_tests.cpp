// SPDX-License-Identifier: Apache-2.0
// Life cycle: again and again, with operations under way, and nothing is left.
#include "footprint.hpp"
#include "use.hpp"

#include <algorithm>
#include <array>

namespace backplane::conformance {
namespace {

void starts_and_stops(Subject& subject) {
  subject.system();
  subject.stop();
}

void starts_again(Subject& subject) {
  for (int i = 0; i < 3; ++i) {
    use_all(subject);
    subject.stop();
  }
}

void leaves_nothing_behind(Subject& subject) {
  use_all(subject);
  subject.stop();  // the first may leave what stays: libraries, resident threads
  const Footprint before = Footprint::now();
  use_all(subject);
  subject.stop();
  Footprint after;
  const bool gone = soon([&] {
    after = Footprint::now();
    return after.threads <= before.threads && after.descriptors <= before.descriptors &&
           after.children <= before.children;
  });
  const auto grown = [](size_t now, size_t was) { return now > was ? now - was : 0; };
  require(gone, "after the second stop there are ", grown(after.threads, before.threads),
          " threads, ", grown(after.descriptors, before.descriptors), " descriptors and ",
          grown(after.children, before.children), " children more than after the first");
}

void does_not_grow(Subject& subject) {
  constexpr size_t kTimes = 3;
  const auto heap_after_more = [&] {
    for (size_t i = 0; i < kTimes; ++i) {
      use_all(subject);
      subject.stop();
    }
    return heap_in_use();
  };
  heap_after_more();  // what is kept for ever is there now
  // What lies in a thread's cache counts as used and comes and goes: a leak grows each time.
  size_t before = heap_after_more();
  size_t grown = 0;
  for (int round = 0; round < 3; ++round) {
    const size_t after = heap_after_more();
    if (after < before + kTimes * 1024) {
      return;
    }
    grown = after - before;
    before = after;
  }
  throw Failure(
      concat(kTimes, " starts and stops more cost ", grown, " bytes of the heap, again and again"));
}

void has_instances_that_differ(Subject& subject) {
  const EndpointTraits& endpoint = subject.endpoint(
      "that is read and written", [](const auto& e) { return e.read && e.writes.size() >= 2; });
  if (!subject.add_twin()) {
    throw Skipped("its traits do not say [twin]: keys of a second instance");
  }
  const Endpoint one = subject.open(endpoint);
  const Endpoint other = subject.open_of_twin(endpoint.path).value();
  const auto write = [](const Endpoint& to, const OwnedMessage& value) {
    const Status status = to.write(value.view()).within(patience()).get();
    require(status.is_ok(), "a write: ", status.to_string());
  };
  write(one, endpoint.writes[0]);
  write(other, endpoint.writes[1]);
  const auto read = one.read<OwnedMessage>().within(patience()).value();
  require(!(read.body() == endpoint.writes[1].body()),
          "what is written to one instance is read from the other");
}

void stops_with_operations_under_way(Subject& subject) {
  std::vector<Endpoint> endpoints;
  std::vector<Probe::Ptr> probes;
  for (const EndpointTraits& endpoint : subject.traits().endpoints) {
    if (endpoint.watch == Source::kNone) {
      continue;
    }
    endpoints.push_back(subject.open(endpoint));
    for (const uint32_t credit : {0u, 1u, UINT32_MAX}) {
      probes.push_back(Probe::make(subject.system().host(), BP_V_WATCH, endpoints.back()));
      probes.back()->credit_first(credit);
      probes.back()->submit();
    }
  }
  if (probes.empty()) {
    throw Skipped("its traits name no endpoint that can be watched");
  }
  const Status status = subject.system().kernel().stop();
  require(status.is_ok(), "a stop with watches under way: ", status.to_string());
  for (const auto& probe : probes) {
    require(probe->ends_within(patience()), "a watch does not end with the stop of its instance");
    const Status end = probe->outcome();
    require(end.code() == BP_UNAVAILABLE || end.code() == BP_CANCELLED,
            "a watch whose instance stops ends with ", end.to_string());
  }
}

void refuses_what_comes_after_the_stop(Subject& subject) {
  const EndpointTraits& endpoint = subject.readable();
  const Endpoint open = subject.open(endpoint);
  (void)subject.system().kernel().stop();
  const auto probe = Probe::make(subject.system().host(), BP_V_READ, open);
  probe->submit();
  const Status status = probe->outcome();
  require(status.is_error(), "a read succeeds after the stop");
}

constexpr std::array kTests = {
    Test{"lifecycle.starts_and_stops", "a start and a stop, without use", &starts_and_stops},
    Test{"lifecycle.starts_again", "three times, in one process, with use", &starts_again},
    Test{"lifecycle.leaves_nothing_behind",
         "the second stop leaves no thread, descriptor or child more than the first",
         &leaves_nothing_behind},
    Test{"lifecycle.does_not_grow", "three starts more cost no memory", &does_not_grow},
    Test{"lifecycle.has_instances_that_differ", "two instances share no value",
         &has_instances_that_differ},
    Test{"lifecycle.stops_with_operations_under_way", "watches end with UNAVAILABLE or CANCELLED",
         &stops_with_operations_under_way},
    Test{"lifecycle.refuses_what_comes_after_the_stop",
         "an endpoint of a stopped instance answers an error", &refuses_what_comes_after_the_stop},
};

}  // namespace

std::span<const Test> lifecycle_tests() noexcept { return kTests; }

}  // namespace backplane::conformance
