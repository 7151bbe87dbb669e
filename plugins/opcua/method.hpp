// SPDX-License-Identifier: Apache-2.0
// A declared method of a server: its arguments, and who watches it. Calls are calls.hpp's.
#pragma once

#include "server_settings.hpp"
#include "values.hpp"
#include <backplane/sdk/hub.hpp>

namespace backplane::opcua {

class Method {
 public:
  Method(const Host& host, const DeclaredMethod& declared) : declared_(declared), hub_(host) {}
  Method(const Method&) = delete;
  Method& operator=(const Method&) = delete;

  const DeclaredMethod& declared() const noexcept { return declared_; }
  Hub& hub() noexcept { return hub_; }

  /// The parts of a body in the types of the arguments. Throws Error (INVALID_ARGUMENT): they are
  /// not as many, or something would be lost.
  std::vector<Variant> inputs(const ValueView& body) const;
  std::vector<Variant> outputs(const ValueView& body) const;

 private:
  const DeclaredMethod& declared_;
  Hub hub_;
};

}  // namespace backplane::opcua
