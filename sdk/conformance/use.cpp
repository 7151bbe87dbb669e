// SPDX-License-Identifier: Apache-2.0
#include "use.hpp"

namespace backplane::conformance {
namespace {

void use(Subject& subject, const EndpointTraits& endpoint, bool in_trouble) {
  const auto a_while = in_trouble ? patience() / 10 : patience();
  Endpoint open = subject.open(endpoint, a_while);
  const auto ask = [&](uint16_t verb, const OwnedMessage* with) {
    const auto probe = Probe::make(subject.system().host(), verb, open);
    if (with != nullptr) {
      probe->send(*with);
    }
    probe->submit();
    if (in_trouble && !probe->ends_within(a_while)) {
      probe->cancel();
    }
    const Status status = probe->outcome();
    require(in_trouble || status.is_ok(), "verb ", verb, " on '", endpoint.path,
            "': ", status.to_string());
  };
  if (endpoint.read) {
    ask(BP_V_READ, nullptr);
  }
  if (!endpoint.writes.empty()) {
    ask(BP_V_WRITE, &endpoint.writes[0]);
  }
  if (!endpoint.calls.empty()) {
    ask(BP_V_CALL, &endpoint.calls[0]);
  }
  if (endpoint.watch != Source::kNone) {
    const auto probe = Probe::make(subject.system().host(), BP_V_WATCH, open);
    probe->submit();
    subject.stir(endpoint, open, 1, in_trouble);
    require(in_trouble || probe->has_messages(1), "a watch of '", endpoint.path,
            "' brings nothing");
    probe->cancel();
    require(probe->ends_within(patience()), "a watch of '", endpoint.path, "' does not end");
  }
}

}  // namespace

void use_all(Subject& subject) {
  subject.system();
  for (const EndpointTraits& endpoint : subject.traits().endpoints) {
    use(subject, endpoint, false);
  }
}

void use_all_in_trouble(Subject& subject) {
  subject.system();
  for (const EndpointTraits& endpoint : subject.traits().endpoints) {
    try {
      use(subject, endpoint, true);
    } catch (const Error&) {  // it cannot be opened
    }
  }
}

}  // namespace backplane::conformance
