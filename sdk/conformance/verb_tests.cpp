// SPDX-License-Identifier: Apache-2.0
// Verbs: what is there answers, all else is refused, and nothing is a crash.
#include "probe.hpp"

#include <array>

namespace backplane::conformance {
namespace {

const OwnedMessage& something_for(const EndpointTraits& endpoint, uint16_t verb) {
  static const OwnedMessage nothing;
  if (verb == BP_V_WRITE && !endpoint.writes.empty()) {
    return endpoint.writes.front();
  }
  return verb == BP_V_CALL && !endpoint.calls.empty() ? endpoint.calls.front() : nothing;
}

void require_endpoints(Subject& subject) {
  if (subject.traits().endpoints.empty()) {
    throw Skipped("its traits name no endpoints");
  }
}

void what_is_promised_answers(Subject& subject) {
  require_endpoints(subject);
  for (const EndpointTraits& endpoint : subject.traits().endpoints) {
    const Endpoint open = subject.open(endpoint);
    require((open.verbs() & endpoint.verbs()) == endpoint.verbs(), "'", endpoint.path,
            "' lacks a verb that its traits promise: it has the mask ", open.verbs());
    for (const uint16_t verb : kRequests) {
      if ((endpoint.verbs() & BP_VERB_BIT(verb)) == 0) {
        continue;
      }
      const auto probe = Probe::make(subject.system().host(), verb, open);
      probe->send(something_for(endpoint, verb));
      probe->submit();
      const Status status = probe->outcome();
      require(status.is_ok(), "verb ", verb, " on '", endpoint.path, "': ", status.to_string());
    }
  }
}

void what_is_not_there_is_unimplemented(Subject& subject) {
  require_endpoints(subject);
  for (const EndpointTraits& endpoint : subject.traits().endpoints) {
    const Endpoint open = subject.open(endpoint);
    for (const uint32_t verb : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 15u, 0xFFFFu}) {
      if (verb < 16 && (open.verbs() & BP_VERB_BIT(verb)) != 0) {
        continue;
      }
      const auto probe = Probe::make(subject.system().host(), static_cast<uint16_t>(verb), open);
      probe->submit();
      const Status status = probe->outcome();
      require(status.code() == BP_UNIMPLEMENTED, "verb ", verb, " on '", endpoint.path,
              "', which does not have it: ", status.to_string());
    }
  }
}

void unknown_flags_are_unimplemented(Subject& subject) {
  require_endpoints(subject);
  for (const EndpointTraits& endpoint : subject.traits().endpoints) {
    const Endpoint open = subject.open(endpoint);
    for (const uint16_t verb : kRequests) {
      const auto probe = Probe::make(subject.system().host(), verb, open, 0x4000);
      probe->submit();
      const Status status = probe->outcome();
      require(status.code() == BP_UNIMPLEMENTED, "an unknown flag of verb ", verb, " on '",
              endpoint.path, "': ", status.to_string());
    }
  }
}

void an_unknown_header_is_no_error(Subject& subject) {
  const EndpointTraits& endpoint = subject.readable();
  const Endpoint open = subject.open(endpoint);
  const auto probe = Probe::make(subject.system().host(), BP_V_READ, open);
  MessageBuilder message;
  message.header(0x7FFF'FFF0u, 1).header("x-nobody-knows", "this");
  probe->send(message);
  probe->submit();
  const Status status = probe->outcome();
  // A header of the wire may be one that the mechanism has no place for, and says so.
  require(status.is_ok() || status.code() == BP_INVALID_ARGUMENT,
          "a read with headers that nobody knows: ", status.to_string());
}

void a_wrong_value_is_refused(Subject& subject) {
  const EndpointTraits& endpoint =
      subject.endpoint("that refuses a value", [](const auto& e) { return !e.refuses.empty(); });
  const Endpoint open = subject.open(endpoint);
  for (const OwnedMessage& value : endpoint.refuses) {
    const auto probe = Probe::make(subject.system().host(), BP_V_WRITE, open);
    probe->send(value);
    probe->submit();
    const Status status = probe->outcome();
    require(status.is_error(), "it takes ", value.body().to_text(),
            ", which its traits say it refuses");
    require(!status.message().empty(), "it refuses ", value.body().to_text(), " without a word");
  }
}

void any_value_is_survived(Subject& subject) {
  const EndpointTraits& endpoint = subject.writable();
  const Endpoint open = subject.open(endpoint);
  StackArena arena;
  const std::string large(1 << 20, 'x');
  ValueView nested = 1;
  for (int depth = 0; depth < 30; ++depth) {
    nested = arena.list({nested});
  }
  bp_value unknown{};
  unknown.tag = 200;
  const std::array<ValueView, 12> values = {
      ValueView(nullptr),
      true,
      INT64_MIN,
      UINT64_MAX,
      std::nan(""),
      "",
      "\xff\xfe",
      ValueView(std::string_view(large)),
      ValueView::bytes(nullptr, 0),
      arena.map({{"a", 1}, {1, "a"}}),
      nested,
      ValueView(unknown),
  };
  for (const ValueView value : values) {
    // Before the probe, which waits for the end of the operation that borrows it.
    const bp_message borrowed{value, nullptr, 0, 0, nullptr, BP_TIME_NONE, 0, 0};
    const auto probe = Probe::make(subject.system().host(), BP_V_WRITE, open);
    probe->raw()->in = &borrowed;
    probe->submit();
    const Status status = probe->outcome();
    require(status.is_ok() || !status.message().empty(), "it refuses ", value.type_name(),
            " without a word");
  }
}

void a_path_that_is_not_there_is_refused_in_words(Subject& subject) {
  const std::string huge(70'000, 'a');
  const std::array<std::string, 5> paths = {"", huge, std::string("a\0b", 3), "\xff\xfe/\x80",
                                            "no/such path \"\\' %zz ?#*+"};
  for (const std::string& path : paths) {
    const auto opened = subject.open(path);
    require(opened.status().code() != BP_INTERNAL, "a path of ", path.size(),
            " bytes is an internal error: ", opened.status().to_string());
    require(opened || !opened.status().message().empty(), "a path of ", path.size(),
            " bytes is refused without a word");
  }
}

constexpr std::array kTests = {
    Test{"verbs.what_is_promised_answers", "each verb of the traits completes with OK",
         &what_is_promised_answers},
    Test{"verbs.what_is_not_there_is_unimplemented",
         "a verb that an endpoint lacks, and a number that is no verb, is UNIMPLEMENTED",
         &what_is_not_there_is_unimplemented},
    Test{"verbs.unknown_flags_are_unimplemented", "a flag that nobody knows is never ignored",
         &unknown_flags_are_unimplemented},
    Test{"verbs.an_unknown_header_is_no_error", "headers that it does not know are carried or left",
         &an_unknown_header_is_no_error},
    Test{"verbs.a_wrong_value_is_refused", "a value that does not fit is refused, with the reason",
         &a_wrong_value_is_refused},
    Test{"verbs.any_value_is_survived", "values of every shape are taken or refused",
         &any_value_is_survived},
    Test{"verbs.a_path_that_is_not_there_is_refused_in_words",
         "an empty, huge or malformed path is an error with a text",
         &a_path_that_is_not_there_is_refused_in_words},
};

}  // namespace

std::span<const Test> verb_tests() noexcept { return kTests; }

}  // namespace backplane::conformance
