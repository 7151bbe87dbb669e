// SPDX-License-Identifier: Apache-2.0
#include "client.hpp"

#include <algorithm>
#include <random>

namespace backplane::mqtt {
namespace {

/// A topic of our own below the client identifier, which may hold what a topic may not.
std::string response_topic_of(std::string client_id) {
  std::replace_if(
      client_id.begin(), client_id.end(), [](char c) { return c == '+' || c == '#' || c == '$'; },
      '-');
  return client_id + "/response";
}

/// The correlation data of a call, and back; 0: it is none of ours.
std::string correlation_of(uint64_t call) {
  std::string out(sizeof call, '\0');
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<char>(call >> (56 - 8 * i));
  }
  return out;
}

uint64_t call_of(std::span<const std::byte> correlation) noexcept {
  uint64_t call = 0;
  for (const std::byte byte : correlation) {
    call = call << 8u | std::to_integer<uint64_t>(byte);
  }
  return correlation.size() == sizeof call ? call : 0;
}

uint64_t first_call() {
  std::random_device
      random;  // so that an answer to an earlier process is not taken for one to this
  return (static_cast<uint64_t>(random()) << 31u | random()) | 1u;
}

}  // namespace

/// The one subscription that brings the responses of all calls.
class Client::Responses final : public Listener {
 public:
  explicit Responses(Client& client) : client_(client) {}
  void on_message(const Inbound& message, Hub::Settled) override { client_.on_response(message); }
  void on_refused(const Status& status) override {
    {
      auto access = client_.connection_.access();
      client_.listens_for_responses_ = false;
    }
    client_.calls_.complete_all(status);
  }

 private:
  Client& client_;
};

Client::Client(const Host& host, const Settings& settings, Tls* tls, StateSink on_state)
    : host_(host),
      settings_(settings),
      tls_(tls),
      response_topic_(response_topic_of(settings.client_id)),
      on_state_(std::move(on_state)),
      topics_(host, settings.max_topics),
      received_(host.counter("messages_received_total")),
      published_(host.counter("messages_published_total")),
      unwatched_(host.counter("messages_dropped_total", {{"reason", "unwatched"}})),
      too_large_(host.counter("messages_dropped_total", {{"reason", "too_large"}})),
      calls_(host),
      next_call_(first_call()),
      call_timeouts_(host, settings.call_timeout, [this](uint64_t call) { on_call_expired(call); }),
      responses_(std::make_shared<Responses>(*this)),
      publisher_(host, settings),
      subscriptions_(settings.version),
      connection_(host, settings, *this) {}

// ---- what endpoints ask for ----

Status Client::write(Op op, const char* topic) {
  topics_.add(topic);
  Outgoing item;
  item.op = op;
  item.topic = topic;
  return submit(std::move(item));
}

Status Client::call(Op op, const char* topic) {
  if (!settings_.has_properties()) {
    return Status(BP_UNIMPLEMENTED, "call '", topic,
                  "': requests and responses need MQTT 5 (version = 5)");
  }
  if (calls_.size() >= settings_.max_requests) {
    return Status(BP_RESOURCE_EXHAUSTED, "call '", topic, "': ", settings_.max_requests,
                  " calls wait already (max_requests)");
  }
  const uint64_t number = next_call_.fetch_add(1);
  const bool has_deadline = op->deadline_ns != 0;
  Outgoing item;
  item.number = number;
  item.own = std::make_shared<OwnPublication>(
      OwnPublication{topic, OwnedMessage(op.in()), response_topic_, correlation_of(number),
                     qos_of(op.in(), settings_.qos)});
  if (Status status = calls_.add(number, op); !status.is_pending()) {
    return status;
  }
  Status status;
  boundary([&] { status = submit(std::move(item)); },
           [&](const Status& failed) { status = failed; });
  if (status.is_error()) {
    return calls_.take(number) ? status : Status::pending();
  }
  if (!has_deadline) {
    call_timeouts_.add(number);
  }
  return Status::pending();
}

Status Client::submit(Outgoing item) {
  std::vector<Outcome> outcomes;
  const Op op = item.op;
  {
    auto access = connection_.access();
    // A request that was accepted is answered, also while the instance drains.
    const bool is_answer = item.own && item.number == 0;
    if (const Status& refusal = is_answer && is_draining_ ? refused_ : condition();
        refusal.is_error()) {
      return refusal;
    }
    Session* const session = access.session();
    if (item.number != 0 && !listens_for_responses_) {
      if (Status status = subscriptions_.add(session, response_topic_, settings_.qos, responses_);
          status.is_error()) {
        return status;
      }
      listens_for_responses_ = true;
    }
    if (Status status = publisher_.submit(session, std::move(item)); status.is_error()) {
      return status;
    }
    access.flush();
    outcomes.swap(outcomes_);
  }
  Status status = Status::pending();
  const auto own = std::find_if(outcomes.begin(), outcomes.end(), [&](const Outcome& outcome) {
    return op != nullptr && static_cast<bp_op*>(outcome.op) == static_cast<bp_op*>(op);
  });
  if (own != outcomes.end()) {  // QoS 0: the socket has taken it
    status = std::move(own->status);
    published_.add(status.is_ok() ? 1 : 0);
    outcomes.erase(own);
  }
  settle(outcomes);
  return status;
}

void Client::cancel(Op op) noexcept {
  if (op.verb() == BP_V_CALL) {
    if (const auto call = calls_.take_operation(op)) {
      end_call(*call, Status(BP_CANCELLED));
    }
    return;
  }
  {
    auto access = connection_.access();
    if (!publisher_.abandon(op)) {
      return;
    }
  }
  host_.complete(op, Status(BP_CANCELLED));
}

void Client::end_call(const Calls::Request& call, const Status& status) noexcept {
  {
    auto access = connection_.access();
    publisher_.abandon(call.key);
  }
  host_.complete(call.op, status);
}

void Client::publish(std::shared_ptr<const OwnPublication> own) {
  Outgoing item;
  item.own = std::move(own);
  const Status status = submit(std::move(item));
  if (status.is_error()) {
    host_.log().warning("an answer was not published", {{"error", status.to_string()}});
  }
}

Status Client::listen(const std::string& filter, uint8_t qos, std::shared_ptr<Listener> listener) {
  std::vector<Outcome> outcomes;
  Status status;
  boundary(
      [&] {
        auto access = connection_.access();
        if (condition().is_error()) {
          status = condition();
          return;
        }
        status = subscriptions_.add(access.session(), filter, qos, std::move(listener));
        access.flush();
        outcomes.swap(outcomes_);
      },
      [&](const Status& failed) { status = failed; });
  settle(outcomes);
  return status;
}

void Client::forget(const Listener* listener) {
  std::vector<Outcome> outcomes;
  {
    auto access = connection_.access();
    subscriptions_.remove(access.session(), listener);
    access.flush();
    outcomes.swap(outcomes_);
  }
  settle(outcomes);
}

// ---- what the connection tells ----

SessionOptions Client::session_options() {
  SessionOptions out = SessionOptions::of(settings_, tls_, settings_.client_id);
  out.will = settings_.will;
  out.clean_start = !settings_.keeps_session();
  return out;
}

Connection::Verdict Client::on_connack(Session& session, const Connack& connack) {
  if (settings_.keeps_session() && connack.session_present != session_is_ours_) {
    // Either the broker has lost its half: a QoS 2 publication that goes on from here would be
    // reported as done and never be seen. Or it has a session of a process before this one, with
    // subscriptions that nobody wants.
    session_is_ours_ = false;
    return Connection::Verdict::kRestart;
  }
  session_is_ours_ = settings_.keeps_session();
  if (connack.session_present) {
    publisher_.resumed();
  }
  subscriptions_.resubscribe(session, connack.session_present, grants_);
  publisher_.refill(session, outcomes_);
  refused_ = Status::ok();
  return Connection::Verdict::kGoOn;
}

bool Client::digest(Session& session) {
  if (Harvest& harvest = session.harvest(); !harvest.is_empty()) {
    publisher_.settle(harvest.published, outcomes_);
    subscriptions_.settle(harvest.subscribed, grants_);
    std::move(harvest.messages.begin(), harvest.messages.end(), std::back_inserter(messages_));
    too_large_.add(harvest.too_large);
    harvest.clear();
  }
  return !session.loss() && session.connack() && publisher_.refill(session, outcomes_);
}

bool Client::on_loss(Session&) {
  if (session_is_ours_) {
    return true;
  }
  publisher_.requeue();
  return false;
}

void Client::act() {
  std::vector<Outcome> outcomes;
  std::vector<Grant> grants;
  std::vector<std::pair<Inbound, Listeners>> messages;
  {
    auto access = connection_.access();
    outcomes.swap(outcomes_);
    grants.swap(grants_);
    messages.reserve(messages_.size());
    for (Inbound& message : messages_) {
      auto& [inbound, listeners] = messages.emplace_back(std::move(message), Listeners{});
      subscriptions_.match(inbound, listeners);
    }
    messages_.clear();
  }
  settle(outcomes);
  for (const Grant& grant : grants) {
    grant.status.is_ok() ? grant.listener->on_granted() : grant.listener->on_refused(grant.status);
  }
  for (const auto& [message, listeners] : messages) {
    deliver(message, listeners);
  }
  check_drained();
}

void Client::settle(std::vector<Outcome>& outcomes) {
  for (const Outcome& outcome : outcomes) {
    published_.add(outcome.status.is_ok() ? 1 : 0);
    if (outcome.op != nullptr) {
      host_.complete(outcome.op, outcome.status);
    } else if (outcome.status.is_error()) {
      if (const auto call = calls_.take(outcome.number)) {
        host_.complete(call->op, outcome.status);
      }
    }
  }
}

void Client::deliver(const Inbound& message, const Listeners& listeners) {
  received_.add();
  topics_.add(message.topic);
  if (listeners.empty()) {
    unwatched_.add();
  }
  mqtt::deliver(host_, message, listeners);
}

void Client::on_response(const Inbound& message) {
  const auto correlation = message.message.view().header(BP_H_CORRELATION);
  const auto bytes = correlation ? correlation->payload() : std::nullopt;
  const auto call = calls_.take(bytes ? call_of(*bytes) : 0);
  if (!call) {
    unwatched_.add();  // late, or nobody's
    return;
  }
  host_.complete_with(call->op, message.message);
}

void Client::on_call_expired(uint64_t number) {
  if (const auto call = calls_.take(number)) {
    end_call(*call, Status(BP_DEADLINE_EXCEEDED, "no response within call_timeout_s"));
  }
}

void Client::on_state(uint32_t state, const std::string& detail, const Status& refusal) {
  if (refusal.is_error()) {
    std::vector<Grant> refused;
    {
      auto access = connection_.access();
      refused_ = refusal;
      subscriptions_.refuse_all(refusal, refused);
    }
    end_all(refusal);
    for (const Grant& grant : refused) {
      grant.listener->on_refused(grant.status);
    }
  }
  end_what_cannot_be_drained();
  check_drained();
  on_state_(state, detail);
}

// ---- the end ----

void Client::end_all(const Status& status) {
  std::vector<Outcome> outcomes;
  {
    auto access = connection_.access();
    publisher_.fail_all(status, outcomes);
  }
  settle(outcomes);
  calls_.complete_all(status);
}

void Client::drain(std::function<void()> drained) {
  {
    auto access = connection_.access();
    closed_ = Status(BP_UNAVAILABLE, "the instance is draining");
    is_draining_ = true;
  }
  drained_ = std::move(drained);
  end_what_cannot_be_drained();
  check_drained();
}

/// A broker that is not there now is not waited for.
void Client::end_what_cannot_be_drained() {
  bool is_connected = false;
  {
    auto access = connection_.access();
    is_connected = access.session() != nullptr;
  }
  if (drained_ && !is_connected) {
    end_all(Status(BP_UNAVAILABLE, "the instance stops, and the broker is not connected"));
  }
}

void Client::check_drained() {
  if (!drained_) {
    return;
  }
  {
    auto access = connection_.access();
    if (!publisher_.is_idle()) {
      return;
    }
  }
  if (calls_.size() == 0) {
    std::exchange(drained_, {})();
  }
}

void Client::stop(std::function<void()> stopped) {
  const Status status(BP_UNAVAILABLE, "the instance has stopped");
  std::vector<Grant> listeners;
  {
    auto access = connection_.access();
    closed_ = status;
    is_draining_ = false;
    subscriptions_.refuse_all(status, listeners);
  }
  end_all(status);
  calls_.close(status);
  call_timeouts_.stop();
  for (const Grant& grant : listeners) {
    grant.listener->on_refused(grant.status);
  }
  drained_ = {};
  connection_.stop(true, std::move(stopped));
}

}  // namespace backplane::mqtt
