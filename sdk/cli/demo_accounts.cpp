// SPDX-License-Identifier: Apache-2.0
#include "demo_accounts.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace backplane::cli {
namespace {

int64_t Account::*member_of(std::string_view metric) {
  static constexpr std::pair<std::string_view, int64_t Account::*> kMembers[] = {
      {"route_in_total", &Account::in},
      {"route_out_total", &Account::out},
      {"route_stored_total", &Account::stored},
      {"route_dropped_total", &Account::dropped},
      {"route_in_flight", &Account::in_flight}};
  for (const auto& [name, member] : kMembers) {
    if (name == metric) {
      return member;
    }
  }
  return nullptr;
}

}  // namespace

std::vector<Account> read_accounts(const Kernel& kernel) {
  std::map<std::pair<std::string, std::string>, Account> found;
  for (const MetricInfo& metric : kernel.metrics()) {
    int64_t Account::*const member = member_of(metric.name);
    if (member == nullptr) {
      continue;
    }
    std::string destination;
    for (const auto& [name, value] : metric.labels) {
      if (name == "destination") {
        destination = value;
      }
    }
    Account& account = found[{metric.instance, destination}];
    account.route = metric.instance;
    account.destination = destination;
    account.*member += metric.value;
  }
  std::vector<Account> out;
  out.reserve(found.size());
  for (auto& [key, account] : found) {
    out.push_back(std::move(account));
  }
  return out;
}

Account sum(const std::vector<Account>& accounts) {
  Account total;
  for (const Account& account : accounts) {
    total.in += account.in;
    total.out += account.out;
    total.stored += account.stored;
    total.dropped += account.dropped;
    total.in_flight += account.in_flight;
  }
  return total;
}

int64_t messages(const std::vector<Account>& accounts) {
  std::map<std::string_view, int64_t> most;
  for (const Account& account : accounts) {
    int64_t& in = most[account.route];
    in = std::max(in, account.in);
  }
  int64_t total = 0;
  for (const auto& [route, in] : most) {
    total += in;
  }
  return total;
}

std::string to_text(const Account& account) {
  return concat("in ", account.in, " = out ", account.out, " + stored ", account.stored,
                " + dropped ", account.dropped, " + in flight ", account.in_flight);
}

}  // namespace backplane::cli
