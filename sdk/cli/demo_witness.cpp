// SPDX-License-Identifier: Apache-2.0
#include "demo_witness.hpp"

#include <backplane/sdk/json.hpp>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

namespace backplane::cli {
namespace {

// How the plant is laid out: what `sensors:/line1/temperature` is goes to
// `main:ns=1;s=Line1.Temperature` and from there to `cloud:plant/line1/temperature`.
constexpr std::string_view kSource = "sensors:/";
constexpr std::string_view kMain = "main:";
constexpr std::string_view kNode = "ns=1;s=";
constexpr std::string_view kMainNode = "main:ns=1;s=";
constexpr std::string_view kCloud = "cloud:plant/";
constexpr std::string_view kTopic = "plant/";

constexpr auto kRateWindow = std::chrono::seconds(3);
constexpr size_t kMostRecent = 100'000;

/// line1/temperature of cloud:plant/line1/temperature; nothing of an address elsewhere.
std::optional<std::string> signal_of(const Account& account) {
  const std::string_view address = account.destination;
  if (!address.starts_with(kCloud)) {
    return std::nullopt;
  }
  return std::string(address.substr(kCloud.size()));
}

/// What never goes to the destination.
int64_t elsewhere(const Account& account) { return account.stored + account.dropped; }

/// line1/temperature for ns=1;s=Line1.Temperature.
std::string signal_of_node(std::string_view id) {
  std::string out(id.substr(kNode.size()));
  for (char& c : out) {
    c = c == '.' ? '/' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

/// The payload with which MQTT carries the value. A number is always written in the same way: 1000
/// is 1000.0 where it is a Double.
std::string payload_text(ValueView value) {
  if (const auto bytes = value.payload()) {
    const std::string text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    return end != text.c_str() && *end == '\0' ? to_json(ValueView(number)) : text;
  }
  const auto number = value.is_number() ? value.get<double>() : std::nullopt;
  return to_json(number ? ValueView(*number) : value);
}

}  // namespace

Witness::Witness(Kernel& plant, const KernelOptions& options, const std::string& mqtt_url,
                 const std::string& opcua_url)
    : plant_(plant), subscriber_(Kernel::create(options).value()) {
  const std::vector<Account> accounts = read_accounts(plant);
  for (const Account& account : accounts) {
    if (const auto name = signal_of(account)) {
      open_source(*name);
      paths_[*name].routes.push_back(account.route);
    } else if (account.destination.starts_with(kMainNode)) {
      paths_[signal_of_node(account.destination.substr(kMain.size()))].routes.push_back(
          account.route);
    }
  }
  watch_ended_sources();
  subscriber_.start().or_throw();
  cloud_ = subscriber_.open(concat(mqtt_url, '/', kTopic, '#')).value();
  const auto accept = [this](MessageView message) {
    on_cloud(message);
    return Status::ok();
  };
  subscription_ = cloud_.watch(accept).value();
  for (const Account& account : accounts) {
    if (account.destination.starts_with(kMainNode)) {
      open_node(opcua_url, account.destination.substr(kMain.size()));
    }
  }
}

/// Of a method, or of a node that has no signal in the cloud, nothing is shown.
void Witness::open_node(const std::string& url, const std::string& id) {
  const std::string name = signal_of_node(id);
  if (signals_.lock()->count(name) == 0) {
    return;
  }
  Node node{subscriber_.open(concat(url, '/', id)).value()};
  node.subscription = node.endpoint
                          .watch([this, name](MessageView message) {
                            const auto signals = signals_.lock();
                            (*signals)[name].main = payload_text(message.body());
                          })
                          .value();
  nodes_.push_back(std::move(node));
}

void Witness::open_source(const std::string& name) {
  signals_.lock()->try_emplace(name);  // a row, also without a source
  if (auto endpoint = plant_.open(concat(kSource, name)).get()) {
    sources_.push_back({name, *std::move(endpoint)});
  }  // else derived by the route: there is no value to compare with
}

void Witness::watch_ended_sources() {
  for (Source& source : sources_) {
    if (!source.ended->exchange(false)) {
      continue;
    }
    WatchOptions options;
    options.on_end = [ended = source.ended](const Status&) { *ended = true; };
    auto watching = source.endpoint.watch(
        [this, name = source.name](MessageView message) { on_source(name, message); }, options);
    if (watching) {
      source.subscription = *std::move(watching);
    } else {
      *source.ended = true;
    }
  }
}

/// What a source told while the route from it did not watch is lost by right: no route had it, and
/// it was acknowledged to nobody.
void Witness::forget_what_nobody_was_told() {
  std::map<std::string, int64_t> lost;
  std::map<std::string, bool> watches;
  for (const MetricInfo& metric : plant_.metrics()) {
    if (metric.name == "route_source_lost_total") {
      lost[metric.instance] = metric.value;
    }
  }
  // Behind the numbers: a source that is lost and back in between is seen the next time.
  for (const InstanceInfo& instance : plant_.instances()) {
    watches[instance.name] = instance.state == BP_STATE_UP || instance.state == BP_STATE_DEGRADED;
  }
  const auto signals = signals_.lock();
  for (auto& [name, path] : paths_) {
    const int64_t lost_before = std::exchange(path.lost, 0);
    const bool was_whole = std::exchange(path.is_whole, true);
    for (const std::string& route : path.routes) {
      path.lost += lost[route];
      path.is_whole = path.is_whole && watches[route];
    }
    const auto signal = signals->find(name);
    const bool is_certain = was_whole && path.is_whole && path.lost == lost_before;
    if (signal != signals->end() && !is_certain) {
      signal->second.ledger.forget_sent();
    }
  }
}

bool Witness::take_baselines() {
  watch_ended_sources();
  forget_what_nobody_was_told();
  std::map<std::string, int64_t> received;
  bool is_live = false;
  {
    const auto signals = signals_.lock();
    for (const auto& [name, signal] : *signals) {
      received[name] = signal.received;
      is_live = is_live || signal.received > 0;
    }
  }
  if (!is_live) {
    return false;
  }
  // A message may come while the counters are read: what came in is read last, so that this is too
  // much rather than too little.
  std::map<std::string, int64_t> gone;
  for (const Account& account : read_accounts(plant_)) {
    gone[account.destination] = elsewhere(account);
  }
  for (const Account& account : read_accounts(plant_)) {
    const auto name = signal_of(account);
    if (!name) {
      continue;
    }
    const int64_t unheard = account.in - gone[account.destination] - received[*name];
    const auto [at, is_first] = baselines_.try_emplace(account.destination, Baseline{});
    if (is_first) {
      at->second = {unheard, gone[account.destination]};
      signals_.lock()->at(*name).ledger.forget_sent();
    }
    at->second.unheard = std::min(at->second.unheard, unheard);
  }
  return true;
}

std::optional<std::string> Witness::missing(const std::vector<Account>& now) const {
  const auto signals = signals_.lock();
  for (const Account& account : now) {
    const auto name = signal_of(account);
    const auto found = baselines_.find(account.destination);
    if (!name || found == baselines_.end()) {
      continue;
    }
    const Baseline& from = found->second;
    const Signal& signal = signals->at(*name);
    if (const int64_t due = account.out - from.unheard; signal.received < due) {
      return concat("the subscriber received ", signal.received, " of ", due,
                    " messages that were acknowledged to ", account.destination);
    }
    if (std::cmp_greater(signal.ledger.missing(),
                         elsewhere(account) - from.elsewhere + account.in_flight)) {
      return concat(signal.ledger.missing(), " values did not reach the subscriber of ",
                    account.destination, ", the first of them ", signal.ledger.first_missing());
    }
  }
  return std::nullopt;
}

std::vector<SignalView> Witness::signals() const {
  const Clock::time_point now = Clock::now();
  std::vector<SignalView> out;
  const auto signals = signals_.lock();
  for (const auto& [name, signal] : *signals) {
    SignalView view{name, signal.source, signal.main, signal.cloud, std::nullopt, 0};
    if (signal.cloud_time != Clock::time_point{}) {
      view.age = now - signal.cloud_time;
    }
    const auto first =
        std::lower_bound(signal.recent.begin(), signal.recent.end(), now - kRateWindow);
    view.rate = static_cast<double>(signal.recent.end() - first) /
                std::chrono::duration<double>(kRateWindow).count();
    out.push_back(std::move(view));
  }
  return out;
}

void Witness::on_source(const std::string& name, MessageView message) {
  std::string text = payload_text(message.body());
  const auto signals = signals_.lock();
  Signal& signal = (*signals)[name];
  signal.source = text;
  if (!message.is_initial()) {
    signal.ledger.sent(std::move(text));
  }
}

void Witness::on_cloud(MessageView message) {
  const auto topic = message.header<std::string>(BP_H_PATH);
  if (!topic || !topic->starts_with(kTopic)) {
    return;
  }
  std::string text = payload_text(message.body());
  const auto signals = signals_.lock();
  const auto found = signals->find(topic->substr(kTopic.size()));
  if (found == signals->end()) {
    return;  // somebody else's, such as a command
  }
  Signal& signal = found->second;
  signal.cloud_time = Clock::now();
  if (!message.is_initial()) {
    ++signal.received;
    signal.ledger.received(text);
    signal.recent.push_back(signal.cloud_time);
    while (signal.recent.size() > kMostRecent ||
           signal.recent.front() < signal.cloud_time - kRateWindow) {
      signal.recent.pop_front();
    }
  }
  signal.cloud = std::move(text);
}

}  // namespace backplane::cli
