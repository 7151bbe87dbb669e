// SPDX-License-Identifier: Apache-2.0
#include "endpoints.hpp"

namespace backplane::process {
namespace {

/// An INT, "SIGHUP" or "HUP".
std::optional<int> signal_of(ValueView body) {
  if (const auto text = body.payload()) {
    return signal_number({reinterpret_cast<const char*>(text->data()), text->size()});
  }
  const auto number = body.get<int>();
  return number ? signal_number(std::to_string(*number)) : std::nullopt;
}

void send_signal(Supervisor& supervisor, Op op, Supervisor::Done done) {
  const auto number = signal_of(op.in().body());
  if (number) {
    supervisor.signal(*number, std::move(done));
  } else {
    done(Status(BP_INVALID_ARGUMENT, "no signal ", op.in().body().to_text(32),
                "; one is \"SIGHUP\", or 1"));
  }
}

}  // namespace

Command::Action Command::find(std::string_view path) noexcept {
  if (path == "start") {
    return [](Supervisor& s, Op, Supervisor::Done done) { s.start(std::move(done)); };
  }
  if (path == "stop") {
    return [](Supervisor& s, Op, Supervisor::Done done) { s.stop(std::move(done)); };
  }
  if (path == "restart") {
    return [](Supervisor& s, Op, Supervisor::Done done) { s.restart(std::move(done)); };
  }
  return path == "signal" ? &send_signal : nullptr;
}

}  // namespace backplane::process
