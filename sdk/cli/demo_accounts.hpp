// SPDX-License-Identifier: Apache-2.0
// What the routes of a kernel say about their messages: in = out + stored + dropped + in flight.
#pragma once

#include <backplane/sdk/kernel.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace backplane::cli {

/// Of one destination of a route, or a sum of several.
struct Account {
  std::string route;
  std::string destination;  // its address
  int64_t in = 0;
  int64_t out = 0;  // acknowledged by the destination
  int64_t stored = 0;
  int64_t dropped = 0;  // whatever the reason
  int64_t in_flight = 0;

  bool balances() const { return in == out + stored + dropped + in_flight; }
  bool operator==(const Account&) const = default;
};

/// A snapshot of all of them. The numbers of a busy route are read one after the other, so that
/// only those of an idle or stopped one must balance.
std::vector<Account> read_accounts(const Kernel& kernel);

Account sum(const std::vector<Account>& accounts);

/// Messages, not deliveries: one that goes to three destinations of a route counts once.
int64_t messages(const std::vector<Account>& accounts);

/// "in 12 = out 10 + stored 0 + dropped 2 + in flight 0"
std::string to_text(const Account& account);

}  // namespace backplane::cli
