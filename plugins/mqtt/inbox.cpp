// SPDX-License-Identifier: Apache-2.0
#include "inbox.hpp"

#include "topic.hpp"

#include <algorithm>

namespace backplane::mqtt {
namespace {
constexpr auto kLingerTick = std::chrono::seconds(1);
}  // namespace

Inbox::Inbox(const Host& host, const Settings& settings, Tls* tls, TopicsSeen& topics,
             StateSink on_state)
    : host_(host),
      settings_(settings),
      tls_(tls),
      topics_(topics),
      on_state_(std::move(on_state)),
      received_(host.counter("messages_received_total")),
      unwatched_(host.counter("messages_dropped_total", {{"reason", "unwatched"}})),
      too_large_(host.counter("messages_dropped_total", {{"reason", "too_large"}})),
      again_(host.counter("messages_received_again_total")),
      held_gauge_(host.gauge("messages_unacknowledged")),
      subscriptions_(settings.version),
      start_(host, [this] { start(); }),
      resume_(host, [this] { connection_.resume(); }),
      offer_(host, [this] { hand_over_unclaimed(); }),
      linger_timer_(host, [this] { look_after_unclaimed(); }),
      connection_(host, settings, *this) {}

// It may have been stopped since it was to start.
void Inbox::start() {
  {
    auto access = connection_.access();
    if (closed_.is_error()) {
      return;
    }
  }
  connection_.start();
  static_cast<void>(linger_timer_.after(kLingerTick));
}

Status Inbox::listen(const std::string& filter, uint8_t qos, std::shared_ptr<Listener> listener) {
  if (settings_.has_properties() && settings_.session_expiry_s == 0) {
    return Status(BP_FAILED_PRECONDITION, "watch '", filter,
                  "' with acknowledgement: session_expiry_s = 0 keeps no session, so nothing would "
                  "be sent again");
  }
  Status status;
  boundary(
      [&] {
        auto access = connection_.access();
        if (closed_.is_error() || refused_.is_error()) {
          status = closed_.is_error() ? closed_ : refused_;
          return;
        }
        // QoS 2 shows a message only when the broker has been released already.
        status = subscriptions_.add(access.session(), filter, std::min<uint8_t>(qos, 1),
                                    std::move(listener));
        if (status.is_error()) {
          return;
        }
        lingering_.erase(filter);
        access.flush();
        static_cast<void>(std::exchange(is_started_, true) ? offer_.post() : start_.post());
      },
      [&](const Status& failed) { status = failed; });
  return status;
}

void Inbox::forget(const Listener* listener) {
  auto access = connection_.access();
  const std::string filter = subscriptions_.filter_of(listener);
  if (subscriptions_.remove(access.session(), listener, false) &&
      !subscriptions_.has_listener(filter)) {
    lingering_.emplace(filter, monotonic_ns());
  }
}

// ---- what the connection tells ----

SessionOptions Inbox::session_options() {
  SessionOptions out = SessionOptions::of(settings_, tls_, settings_.client_id + "-ack");
  out.clean_start = false;
  out.receive_maximum = settings_.receive_maximum;
  return out;
}

Connection::Verdict Inbox::on_connack(Session& session, const Connack& connack) {
  if (!connack.session_present) {
    held_.clear();
  }
  refused_ = Status::ok();
  is_paused_ = false;
  subscriptions_.resubscribe(session, connack.session_present, grants_);
  return Connection::Verdict::kGoOn;
}

bool Inbox::digest(Session& session) {
  Harvest& harvest = session.harvest();
  subscriptions_.settle(harvest.subscribed, grants_);
  for (Inbound& message : harvest.messages) {
    received_.add();
    if (message.qos == 0) {
      unacknowledged_.push_back(std::move(message));
    } else if (!held_.add(std::move(message))) {
      again_.add();
    }
  }
  too_large_.add(harvest.too_large);
  harvest.clear();
  if (held_.is_free()) {
    held_.released();  // their acknowledgements go out next
  }
  return false;
}

bool Inbox::on_loss(Session&) {
  held_.connection_lost();
  return false;
}

void Inbox::on_state(uint32_t state, const std::string& detail, const Status& refusal) {
  if (refusal.is_error()) {
    std::vector<Grant> refused;
    {
      auto access = connection_.access();
      refused_ = refusal;
      subscriptions_.refuse_all(refusal, refused);
    }
    for (const Grant& grant : refused) {
      grant.listener->on_refused(grant.status);
    }
  }
  on_state_(state, detail);
}

void Inbox::act() {
  std::vector<Grant> grants;
  std::vector<std::pair<Inbound, Listeners>> messages;
  {
    auto access = connection_.access();
    grants.swap(grants_);
    for (Inbound& message : unacknowledged_) {
      auto& [inbound, listeners] = messages.emplace_back(std::move(message), Listeners{});
      subscriptions_.match(inbound, listeners);
    }
    unacknowledged_.clear();
  }
  for (const Grant& grant : grants) {
    grant.status.is_ok() ? grant.listener->on_granted() : grant.listener->on_refused(grant.status);
  }
  for (const auto& [message, listeners] : messages) {
    unwatched_.add(listeners.empty() ? 1 : 0);
    deliver(host_, message, listeners);
  }
  hand_over_new();
}

// ---- handing over ----

void Inbox::hand_over_new() {
  std::vector<Delivery> deliveries;
  {
    auto access = connection_.access();
    const int64_t now = monotonic_ns();
    for (const Id id : held_.take_new()) {
      const auto message = held_.find(id)->inbound;
      std::vector<HeldMessages::Part> parts;
      auto [is_known, claims] = subscriptions_.match_by_filter(*message);
      for (auto& [filter, listener, since_ns] : claims) {
        const auto state = listener ? HeldMessages::State::kOut : HeldMessages::State::kUnclaimed;
        if (listener) {
          deliveries.push_back({{id, parts.size(), message}, std::move(listener)});
        }
        parts.push_back({std::move(filter), state, now, since_ns});
      }
      if (!is_known) {
        parts.push_back({"", HeldMessages::State::kUnclaimed, now});
      }
      held_.set_parts(id, std::move(parts));
    }
  }
  hand_over(deliveries);
}

void Inbox::hand_over_unclaimed() {
  std::vector<Delivery> deliveries;
  {
    auto access = connection_.access();
    for (const auto& [filter, listener, since_ns] : subscriptions_.listeners()) {
      for (auto& claimed : held_.claim(filter, since_ns)) {
        deliveries.push_back({std::move(claimed), listener});
      }
    }
  }
  if (!deliveries.empty()) {
    hand_over(deliveries);
  }
}

void Inbox::hand_over(const std::vector<Delivery>& deliveries) {
  {
    auto access = connection_.access();
    is_handing_over_ = true;  // one flush for all that are acknowledged at once
  }
  for (const Delivery& delivery : deliveries) {
    const auto& [id, part, message] = delivery.what;
    topics_.add(message->topic);
    const auto settle = [this, id = id, part = part](const Status& status) {
      settled(id, part, status);
    };
    boundary([&, &message = message] { delivery.listener->on_message(*message, settle); }, settle);
  }
  auto access = connection_.access();
  is_handing_over_ = false;
  release(access);
}

void Inbox::settled(Id id, size_t part, const Status& status) {
  auto access = connection_.access();
  held_.settle(id, part, status.is_ok(), monotonic_ns());
  if (!is_handing_over_) {
    release(access);
  }
}

/// Lets the acknowledgements out when nothing is held any more.
void Inbox::release(Connection::Access& access) {
  held_.set_held_since(monotonic_ns());
  if (held_.is_free() && access.session() != nullptr) {
    held_.released();
    access.flush();
  }
  held_gauge_.set(static_cast<int64_t>(held_.size()));
  if (is_paused_ && held_.is_settled()) {
    static_cast<void>(resume_.post());
  }
}

void Inbox::look_after_unclaimed() {
  hand_over_unclaimed();
  {
    auto access = connection_.access();
    const int64_t before = monotonic_ns() - settings_.linger.count();
    std::erase_if(lingering_, [&](const auto& entry) {
      const bool is_over = entry.second < before;
      if (is_over) {
        subscriptions_.drop_unused(access.session(), entry.first);
      }
      return is_over;
    });
    if (const size_t dropped = held_.give_up(before); dropped > 0) {
      unwatched_.add(dropped);
      host_.log().warning(
          "messages of acknowledged subscriptions that nobody watches any more were dropped",
          {{"messages", dropped}});
    }
    release(access);
    access.flush();
  }
  static_cast<void>(linger_timer_.after(kLingerTick));
}

void Inbox::on_tick() {
  {
    auto access = connection_.access();
    const int64_t since = held_.held_since_ns();
    const auto longest =
        std::chrono::nanoseconds(std::chrono::seconds(settings_.keep_alive_s)).count() / 2;
    if (since == 0 || monotonic_ns() - since < longest) {
      return;
    }
    is_paused_ = true;
  }
  const std::string reason =
      "messages are not acknowledged for half the keep-alive: the connection pauses, the broker "
      "keeps them";
  host_.log().info(reason);
  connection_.pause(reason);
}

void Inbox::stop(std::function<void()> stopped) {
  const Status status(BP_UNAVAILABLE, "the instance has stopped");
  std::vector<Grant> listeners;
  {
    auto access = connection_.access();
    closed_ = status;
    subscriptions_.refuse_all(status, listeners);
  }
  linger_timer_.cancel();
  for (const Grant& grant : listeners) {
    grant.listener->on_refused(grant.status);
  }
  connection_.stop(settings_.is_passing, std::move(stopped));
}

}  // namespace backplane::mqtt
