// SPDX-License-Identifier: Apache-2.0
#include "subscriptions.hpp"

#include "topic.hpp"

#include <algorithm>

namespace backplane::mqtt {

uint32_t Subscriptions::identifier(std::string_view filter) noexcept {
  uint32_t hash = 2166136261u;  // FNV-1a; matching the topic as well makes a collision harmless
  for (const char c : filter) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  }
  constexpr uint32_t kMax = 268435455;  // MQTT 5, 3.8.2.1.2
  return hash % kMax + 1;
}

Status Subscriptions::send(Session& session, const std::string& name, Filter& filter) {
  const auto packet_id = session.subscribe(name, filter.qos, filter.id);
  if (!packet_id) {
    return packet_id.status();
  }
  pending_.insert_or_assign(*packet_id, Pending{name, ++filter.sent});
  return Status::ok();
}

Status Subscriptions::add(Session* session, const std::string& filter, uint8_t qos,
                          std::shared_ptr<Listener> listener) {
  auto [at, is_new] = filters_.try_emplace(filter);
  Filter& entry = at->second;
  stale_.erase(filter);
  if (is_new) {
    entry.id = identifier(filter);
    by_id_.emplace(entry.id, &*at);
  }
  entry.qos = std::max(entry.qos, qos);
  if (session != nullptr) {
    if (Status status = send(*session, filter, entry); status.is_error()) {
      drop_unused(session, filter);
      return status;
    }
  }
  entry.members.push_back({std::move(listener), entry.sent, monotonic_ns()});
  return Status::ok();
}

bool Subscriptions::remove(Session* session, const Listener* listener, bool unsubscribe) {
  for (auto& [name, filter] : filters_) {
    const auto at =
        std::find_if(filter.members.begin(), filter.members.end(),
                     [&](const Member& member) { return member.listener.get() == listener; });
    if (at != filter.members.end()) {
      filter.members.erase(at);
      if (unsubscribe) {
        drop_unused(session, std::string(name));
      }
      return true;
    }
  }
  return false;
}

void Subscriptions::drop_unused(Session* session, const std::string& filter) {
  const auto at = filters_.find(filter);
  if (at == filters_.end() || !at->second.members.empty()) {
    return;
  }
  if (at->second.sent > 0) {
    if (session == nullptr || session->unsubscribe(filter).is_error()) {
      stale_.insert(filter);
    }
  }
  const auto [first, last] = by_id_.equal_range(at->second.id);
  by_id_.erase(std::find_if(first, last, [&](const auto& entry) { return entry.second == &*at; }));
  filters_.erase(at);
}

void Subscriptions::resubscribe(Session& session, bool session_present,
                                std::vector<Grant>& refused) {
  pending_.clear();
  for (const std::string& filter : std::exchange(stale_, {})) {
    if (session_present) {
      static_cast<void>(session.unsubscribe(filter));
    }
  }
  for (auto& [name, filter] : filters_) {
    if (session_present && filter.granted > 0 && filter.granted == filter.sent) {
      continue;
    }
    if (!session_present) {
      filter.granted = 0;
    }
    const Status status = send(session, name, filter);
    for (Member& member : filter.members) {
      member.generation = filter.sent;
      if (status.is_error()) {
        refused.push_back({member.listener, status});
      }
    }
  }
}

void Subscriptions::settle(const std::vector<Answer>& answers, std::vector<Grant>& grants) {
  for (const Answer& answer : answers) {
    const auto pending = pending_.find(answer.packet_id);
    if (pending == pending_.end()) {
      continue;
    }
    const auto [name, generation] = std::move(pending->second);
    pending_.erase(pending);
    const auto at = filters_.find(name);
    if (at == filters_.end()) {
      continue;
    }
    Filter& filter = at->second;
    filter.granted = std::max(filter.granted, generation);
    const Status status =
        from_reason(version_, Packet::kSuback, answer.reason, concat("subscribe to '", name, "'"));
    for (const Member& member : filter.members) {
      if (member.generation == generation || status.is_error()) {
        grants.push_back({member.listener, status});
      }
    }
    if (status.is_error()) {
      filter.members.clear();
      filter.sent = 0;  // there is nothing to unsubscribe from
      drop_unused(nullptr, name);
    }
  }
}

void Subscriptions::refuse_all(const Status& status, std::vector<Grant>& refused) {
  for (const auto& [name, filter] : filters_) {
    for (const Member& member : filter.members) {
      refused.push_back({member.listener, status});
    }
  }
  filters_.clear();
  by_id_.clear();
  pending_.clear();
}

bool Subscriptions::wants(const Member& member, const Filter& filter,
                          const Inbound& message) noexcept {
  // A broker may send retained messages before the first SUBACK.
  return !message.is_retained || filter.granted == 0 || member.generation == filter.granted;
}

bool Subscriptions::belongs(const Inbound& message, const std::string& filter) noexcept {
  const auto& ids = message.subscriptions;
  return (ids.empty() || std::find(ids.begin(), ids.end(), identifier(filter)) != ids.end()) &&
         matches(filter, message.topic);
}

template <class Take>
void Subscriptions::for_each_filter_of(const Inbound& message, Take take) const {
  const auto offer = [&](const Filters::value_type& entry) {
    if (matches(entry.first, message.topic)) {
      take(entry);
    }
  };
  for (const uint32_t id : message.subscriptions) {
    for (auto [at, last] = by_id_.equal_range(id); at != last; ++at) {
      offer(*at->second);
    }
  }
  if (message.subscriptions.empty()) {
    std::for_each(filters_.begin(), filters_.end(), offer);
  }
}

void Subscriptions::match(const Inbound& message, Listeners& out) const {
  for_each_filter_of(message, [&](const Filters::value_type& entry) {
    for (const Member& member : entry.second.members) {
      if (wants(member, entry.second, message)) {
        out.push_back(member.listener);
      }
    }
  });
}

Subscriptions::Claims Subscriptions::match_by_filter(const Inbound& message) const {
  Claims out;
  for_each_filter_of(message, [&](const Filters::value_type& entry) {
    out.is_known = true;
    for (const Member& member : entry.second.members) {
      if (wants(member, entry.second, message)) {
        out.claims.push_back({entry.first, member.listener, member.since_ns});
      }
    }
    if (entry.second.members.empty()) {
      out.claims.push_back({entry.first, nullptr, 0});
    }
  });
  return out;
}

std::vector<Subscriptions::Claim> Subscriptions::listeners() const {
  std::vector<Claim> out;
  for (const auto& [name, filter] : filters_) {
    for (const Member& member : filter.members) {
      out.push_back({name, member.listener, member.since_ns});
    }
  }
  return out;
}

bool Subscriptions::has_listener(const std::string& filter) const {
  const auto at = filters_.find(filter);
  return at != filters_.end() && !at->second.members.empty();
}

std::string Subscriptions::filter_of(const Listener* listener) const {
  for (const auto& [name, filter] : filters_) {
    for (const Member& member : filter.members) {
      if (member.listener.get() == listener) {
        return name;
      }
    }
  }
  return {};
}

}  // namespace backplane::mqtt
