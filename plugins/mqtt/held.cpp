// SPDX-License-Identifier: Apache-2.0
#include "held.hpp"

#include "subscriptions.hpp"

#include <algorithm>

namespace backplane::mqtt {

bool HeldMessages::is_settled(const Message& message) noexcept {
  return !message.is_new &&
         std::all_of(message.parts.begin(), message.parts.end(),
                     [](const Part& part) { return part.state == State::kSettled; });
}

void HeldMessages::count(const Message& message, int change) noexcept {
  if (!is_settled(message)) {
    unsettled_ += static_cast<size_t>(change);
    unsettled_here_ += message.is_here ? static_cast<size_t>(change) : 0;
  }
}

bool HeldMessages::add(Inbound message) {
  for (auto& [id, held] : messages_) {
    if (!held.is_here && held.inbound->packet_id == message.packet_id &&
        held.inbound->topic == message.topic &&
        held.inbound->message.body() == message.message.body()) {
      count(held, -1);
      held.is_here = true;
      count(held, +1);
      return false;
    }
  }
  const auto [at, added] = messages_.try_emplace(next_++);
  at->second.inbound = std::make_shared<const Inbound>(std::move(message));
  count(at->second, +1);
  return true;
}

std::vector<HeldMessages::Id> HeldMessages::take_new() {
  std::vector<Id> out;
  for (auto at = messages_.rbegin(); at != messages_.rend() && at->second.is_new; ++at) {
    out.push_back(at->first);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

HeldMessages::Message* HeldMessages::find(Id id) noexcept {
  const auto at = messages_.find(id);
  return at == messages_.end() ? nullptr : &at->second;
}

void HeldMessages::set_parts(Id id, std::vector<Part> parts) {
  if (Message* const message = find(id)) {
    count(*message, -1);
    message->parts = std::move(parts);
    message->is_new = false;
    count(*message, +1);
  }
}

void HeldMessages::settle(Id id, size_t part, bool accepted, int64_t now_ns) {
  Message* const message = find(id);
  if (message == nullptr || part >= message->parts.size() ||
      message->parts[part].state != State::kOut) {
    return;
  }
  count(*message, -1);
  message->parts[part].state = accepted ? State::kSettled : State::kUnclaimed;
  message->parts[part].since_ns = now_ns;
  count(*message, +1);
}

std::vector<HeldMessages::Claimed> HeldMessages::claim(const std::string& filter,
                                                       int64_t listener_since_ns) {
  std::vector<Claimed> out;
  for (auto& [id, message] : messages_) {
    for (size_t i = 0; i < message.parts.size(); ++i) {
      Part& part = message.parts[i];
      const bool is_of_it =
          part.filter == filter ||
          (part.filter.empty() && Subscriptions::belongs(*message.inbound, filter));
      const bool is_for_it =
          part.listener_since_ns == listener_since_ns || part.since_ns <= listener_since_ns;
      if (part.state == State::kUnclaimed && is_of_it && is_for_it) {
        part.filter = filter;
        part.state = State::kOut;
        part.listener_since_ns = listener_since_ns;
        out.push_back({id, i, message.inbound});
        break;
      }
    }
  }
  return out;
}

size_t HeldMessages::give_up(int64_t before_ns) {
  size_t dropped = 0;
  for (auto& [id, message] : messages_) {
    count(message, -1);
    for (Part& part : message.parts) {
      if (part.state == State::kUnclaimed && part.since_ns < before_ns) {
        part.state = State::kSettled;
        ++dropped;
      }
    }
    count(message, +1);
  }
  return dropped;
}

void HeldMessages::released() {
  std::erase_if(messages_,
                [](const auto& entry) { return entry.second.is_here && is_settled(entry.second); });
  held_since_ns_ = 0;
}

void HeldMessages::connection_lost() noexcept {
  for (auto& [id, message] : messages_) {
    message.is_here = false;
  }
  unsettled_here_ = 0;
  held_since_ns_ = 0;
}

void HeldMessages::clear() noexcept {
  messages_.clear();
  unsettled_ = 0;
  unsettled_here_ = 0;
  held_since_ns_ = 0;
}

}  // namespace backplane::mqtt
