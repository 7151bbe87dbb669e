// SPDX-License-Identifier: Apache-2.0
// Streams: credit, order, the end, acknowledgement.
#include "footprint.hpp"
#include "probe.hpp"

#include <array>
#include <thread>

namespace backplane::conformance {
namespace {

using namespace std::chrono_literals;

// Long enough that what wanted to come would have come.
constexpr auto kSilence = 300ms;

struct Watched {
  explicit Watched(Subject& subject)
      : subject_(subject),
        traits(subject.watchable()),
        endpoint(subject.open(traits)),
        probe(Probe::make(subject.system().host(), BP_V_WATCH, endpoint)) {}
  /// Has n messages made; of those that come by themselves, waits for none.
  void stir(size_t n, bool may_fail = false) {
    for (size_t i = 0; i < n; ++i) {
      subject_.stir(traits, endpoint, stirred_++, may_fail);
    }
  }

 private:
  Subject& subject_;
  size_t stirred_ = 0;

 public:
  const EndpointTraits& traits;
  Endpoint endpoint;
  Probe::Ptr probe;
};

void brings_messages(Subject& subject) {
  Watched watched(subject);
  const bp_status submitted = watched.probe->submit();
  require(submitted == BP_PENDING, "a watch does not stay, but answers ", submitted);
  watched.stir(3);
  require(watched.probe->has_messages(3), "of 3 messages come ", watched.probe->count());
}

void brings_nothing_without_credit(Subject& subject) {
  Watched watched(subject);
  watched.probe->credit_first(0);
  watched.probe->submit();
  watched.stir(3, true);
  require(!watched.probe->has_messages(1, kSilence), "a message comes without credit");
  require(!watched.probe->has_ended(), "a watch without credit ends");
}

void brings_as_many_as_there_is_credit(Subject& subject) {
  Watched watched(subject);
  watched.probe->credit_first(1);
  watched.probe->submit();
  for (size_t n = 1; n <= 3; ++n) {
    watched.stir(2, true);
    require(watched.probe->has_messages(n), "with credit for ", n, " messages come ",
            watched.probe->count());
    require(!watched.probe->has_messages(n + 1, kSilence / 3), "with credit for ", n,
            " messages come ", watched.probe->count());
    watched.probe->credit(1);
  }
}

void takes_credit_inside_next(Subject& subject) {
  Watched watched(subject);
  watched.probe->credit_first(1);
  watched.probe->on_message([](Probe& self, MessageView) {
    self.credit(1);
    return Status::ok();
  });
  watched.probe->submit();
  for (size_t n = 1; n <= 5; ++n) {
    watched.stir(1);
    require(watched.probe->has_messages(n), "with credit from inside `next`, of ", n,
            " messages come ", watched.probe->count());
  }
}

void credit_without_limit_stays_so(Subject& subject) {
  Watched watched(subject);
  watched.probe->submit();
  watched.probe->credit(UINT32_MAX);
  watched.probe->credit(1);
  for (size_t n = 1; n <= 5; ++n) {
    watched.stir(1);
    require(watched.probe->has_messages(n), "without limit, of ", n, " messages come ",
            watched.probe->count());
  }
}

void ends_when_cancelled_inside_next(Subject& subject) {
  Watched watched(subject);
  watched.probe->on_message([](Probe& self, MessageView) {
    self.cancel();
    return Status::ok();
  });
  watched.probe->submit();
  watched.stir(1);
  require(watched.probe->ends_within(patience()),
          "a watch that is cancelled inside `next` does not end");
  require(watched.probe->outcome().code() == BP_CANCELLED, watched.probe->outcome().to_string());
}

void ends_with_what_next_says(Subject& subject) {
  Watched watched(subject);
  watched.probe->on_message([](Probe&, MessageView) { return Status(BP_ABORTED, "enough"); });
  watched.probe->submit();
  watched.stir(1);
  require(watched.probe->ends_within(patience()), "a watch whose consumer refuses does not end");
  require(watched.probe->outcome().code() == BP_ABORTED,
          "a watch whose consumer says ABORTED: ", watched.probe->outcome().to_string());
}

void brings_them_in_order(Subject& subject) {
  Watched watched(subject);
  watched.probe->submit();
  watched.stir(20);
  require(watched.probe->has_messages(3), "of 20 messages come ", watched.probe->count());
  uint64_t last = 0;
  size_t at = 0;  // in the order of the writes, of which some may be left out
  for (const OwnedMessage& message : watched.probe->messages()) {
    const uint64_t seq = message.view().seq();
    require(seq == 0 || seq > last || message.view().is_redelivered(), "seq ", seq, " comes after ",
            last);
    last = seq;
    if (watched.traits.watch == Source::kWrite && !message.view().is_initial() &&
        !message.view().is_redelivered()) {
      const auto& writes = watched.traits.writes;
      while (at < 20 && !(writes[at % writes.size()].body() == message.body())) {
        ++at;
      }
      // A mechanism may carry a value in another form, such as text; then order cannot be seen.
      require(at++ < 20 || message.body().tag != writes[0].body().tag, message.body().to_text(),
              " comes out of the order in which it was written");
    }
  }
}

void brings_the_newest_last(Subject& subject) {
  const EndpointTraits& traits =
      subject.endpoint("that is read and watched, and makes a message of each write",
                       [](const auto& e) { return e.read && e.watch == Source::kWrite; });
  Watched watched(subject);
  if (&traits != &watched.traits) {
    throw Skipped("its first endpoint that can be watched cannot be read");
  }
  watched.probe->submit();
  watched.stir(7);
  const auto now = watched.endpoint.read<OwnedMessage>().within(patience()).value();
  const auto end = std::chrono::steady_clock::now() + patience();
  while (std::chrono::steady_clock::now() < end) {
    const auto messages = watched.probe->messages();
    if (!messages.empty() && messages.back().body() == now.body()) {
      return;
    }
    std::this_thread::sleep_for(1ms);
  }
  throw Failure("the last message is not what a read gives");
}

void serves_each_of_many_watchers(Subject& subject) {
  Watched watched(subject);
  watched.probe->submit();
  std::vector<Probe::Ptr> others;
  for (int i = 0; i < 8; ++i) {
    others.push_back(Probe::make(subject.system().host(), BP_V_WATCH, watched.endpoint));
    others.back()->submit();
  }
  watched.stir(3);
  for (const auto& probe : others) {
    require(probe->has_messages(3), "one of 8 watchers gets ", probe->count(), " of 3 messages");
  }
}

void bounds_what_waits_for_a_slow_consumer(Subject& subject) {
  Watched watched(subject);
  if (watched.traits.watch != Source::kWrite) {
    throw Skipped("its messages come by themselves, not as often as one likes");
  }
  watched.probe->credit_first(0);
  watched.probe->submit();
  // A write may be held back, or refused, by a consumer that takes nothing: it must not be kept.
  const auto write_many = [&] {
    const auto end = std::chrono::steady_clock::now() + patience() / 2;
    size_t i = 0;
    for (; i < 20'000 && std::chrono::steady_clock::now() < end; ++i) {
      const auto& value = watched.traits.writes[i % watched.traits.writes.size()];
      const Status status = watched.endpoint.write(value.view()).within(1s).get();
      if (status.is_error()) {
        break;
      }
    }
    return i;
  };
  write_many();
  const size_t before = heap_in_use();
  const size_t writes = write_many() + write_many();
  const size_t after = heap_in_use();
  // 16 bytes a message is less than any message takes.
  require(after < before + (64u << 10) + 16 * writes, writes,
          " messages more for a consumer that takes none cost ", after - before,
          " bytes of the heap");
}

void acknowledges_end_to_end(Subject& subject) {
  const EndpointTraits& traits =
      subject.endpoint("whose watch acknowledges", [](const auto& e) { return e.ack; });
  Endpoint open = subject.open(traits);
  const auto probe = Probe::make(subject.system().host(), BP_V_WATCH, open, BP_OP_ACK);
  probe->on_message([](Probe& self, MessageView message) {
    self.ack(message.seq(), BP_OK);
    return Status::ok();
  });
  probe->submit();
  // Until its peer knows of the watch, what is written may pass it by.
  const auto end = std::chrono::steady_clock::now() + patience();
  for (size_t n = 0; probe->count() < 5 && std::chrono::steady_clock::now() < end; ++n) {
    subject.stir(traits, open, n);
    (void)probe->has_messages(5, 50ms);
  }
  require(probe->count() >= 5, "of messages that are acknowledged come ", probe->count());
  for (const OwnedMessage& message : probe->messages()) {
    require(message.view().seq() != 0, "a message to be acknowledged has no seq");
  }
}

/// Messages that the instance says it has dropped, by any of its counters.
int64_t dropped(Subject& subject) {
  int64_t sum = 0;
  for (const MetricInfo& metric : subject.system().kernel().metrics()) {
    if (metric.instance == subject.traits().instance &&
        (metric.name.find("dropped") != metric.name.npos ||
         metric.name.find("nack") != metric.name.npos)) {
      sum += metric.value;
    }
  }
  return sum;
}

void brings_again_what_was_refused(Subject& subject) {
  const EndpointTraits& traits =
      subject.endpoint("whose watch acknowledges, and makes a message of each write",
                       [](const auto& e) { return e.ack && e.watch == Source::kWrite; });
  Endpoint open = subject.open(traits);
  const auto probe = Probe::make(subject.system().host(), BP_V_WATCH, open, BP_OP_ACK);
  std::atomic<bool> refusing{false};
  Guarded<std::optional<OwnedMessage>> refused;
  std::atomic<bool> came_again{false};
  probe->on_message([&](Probe& self, MessageView message) {
    if (refusing.exchange(false)) {
      {
        const auto kept = refused.lock();
        *kept = OwnedMessage(message);
      }
      self.ack(message.seq(), BP_UNAVAILABLE);
    } else {
      const auto before = refused.lock();
      came_again = came_again ||
                   (*before && (message.is_redelivered() || (*before)->body() == message.body()));
      self.ack(message.seq(), BP_OK);
    }
    return Status::ok();
  });
  probe->submit();
  const auto end = std::chrono::steady_clock::now() + patience();
  // Until its peer knows of the watch, what is written may pass it by.
  for (size_t n = 0; probe->count() < 2 && std::chrono::steady_clock::now() < end; ++n) {
    subject.stir(traits, open, n);
    (void)probe->has_messages(2, 50ms);
  }
  const int64_t dropped_before = dropped(subject);
  refusing = true;
  (void)open.write(traits.writes.front().view()).within(patience()).get();  // may fail with its ack
  while (!came_again && dropped(subject) == dropped_before) {
    require(std::chrono::steady_clock::now() < end,
            "a refused message neither comes again nor is counted as dropped");
    std::this_thread::sleep_for(1ms);
  }
}

constexpr std::array kTests = {
    Test{"streams.bring_messages", "a watch stays, and messages come", &brings_messages},
    Test{"streams.bring_nothing_without_credit", "credit 0 is silence, not an end",
         &brings_nothing_without_credit},
    Test{"streams.bring_as_many_as_there_is_credit", "credit 1, and 1, and 1",
         &brings_as_many_as_there_is_credit},
    Test{"streams.take_credit_inside_next", "credit may be granted inside `next`",
         &takes_credit_inside_next},
    Test{"streams.credit_without_limit_stays_so", "UINT32_MAX never runs out",
         &credit_without_limit_stays_so},
    Test{"streams.end_when_cancelled_inside_next", "with CANCELLED",
         &ends_when_cancelled_inside_next},
    Test{"streams.end_with_what_next_says", "a consumer's error ends the stream with that error",
         &ends_with_what_next_says},
    Test{"streams.bring_them_in_order", "seq grows", &brings_them_in_order},
    Test{"streams.bring_the_newest_last", "what came last is what a read gives",
         &brings_the_newest_last},
    Test{"streams.serve_each_of_many_watchers", "eight watchers get the same",
         &serves_each_of_many_watchers},
    Test{"streams.bound_what_waits_for_a_slow_consumer",
         "a consumer that takes nothing costs no memory", &bounds_what_waits_for_a_slow_consumer},
    Test{"streams.acknowledge_end_to_end", "each message has a seq, and is settled once",
         &acknowledges_end_to_end},
    Test{"streams.bring_again_what_was_refused",
         "a refused message comes again, or is dropped and counted",
         &brings_again_what_was_refused},
};

}  // namespace

std::span<const Test> stream_tests() noexcept { return kTests; }

}  // namespace backplane::conformance
