// SPDX-License-Identifier: Apache-2.0
#include "publisher.hpp"

#include <algorithm>

namespace backplane::mqtt {

uint8_t qos_of(MessageView message, uint8_t fallback) {
  const auto header = message.header(BP_H_QOS);
  if (!header) {
    return fallback;
  }
  const auto qos = header->get<uint8_t>();
  if (!qos || *qos > 2) {
    throw Error(BP_INVALID_ARGUMENT, "header QoS: expected 0, 1 or 2, got ", header->to_text());
  }
  return *qos;
}

Publisher::Publisher(const Host& host, const Settings& settings)
    : settings_(settings),
      headers_lost_(host.counter("headers_dropped_total")),
      waiting_gauge_(host.gauge("writes_waiting")),
      resent_(host.counter("publications_resent_total")) {}

void Publisher::place(Op op, Place place, uint16_t packet_id) noexcept {
  if (op != nullptr) {
    op->impl[0] = place;
    op->impl[1] = packet_id;
  }
}

void Publisher::finish(Outgoing& item, Status status, std::vector<Outcome>& outcomes) {
  if (item.op != nullptr || item.number != 0) {
    place(item.op, kNowhere);
    outcomes.push_back({item.op, item.number, std::move(status)});
  }
}

bool Publisher::has_room(const Session& session) const noexcept {
  return in_flight_.size() < settings_.max_in_flight &&
         !in_flight_.contains(session.next_packet_id());
}

void Publisher::show() const noexcept { waiting_gauge_.set(static_cast<int64_t>(waiting_.size())); }

Status Publisher::submit(Session* session, Outgoing item) {
  item.order = next_order_++;
  if (session != nullptr && waiting_.empty() && has_room(*session)) {
    return send(*session, item);
  }
  if (waiting_.size() >= settings_.offline_queue) {
    return Status(BP_RESOURCE_EXHAUSTED, waiting_.size(), " writes wait already, ",
                  session != nullptr ? "for the broker's acknowledgements" : "for the connection",
                  ": offline_queue has no more room");
  }
  place(item.op, kWaiting);
  waiting_.push_back(std::move(item));
  show();
  return Status::ok();
}

Status Publisher::send(Session& session, Outgoing& item) {
  if (item.own) {
    const auto own = item.own;  // the item moves
    return send(session, item, own->message, own->topic.c_str(), own->qos, false,
                {own->response_topic, std::as_bytes(std::span(own->correlation))});
  }
  const MessageView message = item.op.in();
  return send(session, item, message, item.topic, qos_of(message, settings_.qos),
              message.header<bool>(BP_H_RETAIN).value_or(settings_.retain), {});
}

Status Publisher::send(Session& session, Outgoing& item, MessageView message, const char* topic,
                       uint8_t qos, bool retain, const Exchange& exchange) {
  const Payload payload(message.body());
  PropertyList properties;
  if (settings_.has_properties()) {
    properties = publish_properties(message, payload, exchange);
  } else {
    headers_lost_.add(headers_lost_without_properties(message));
  }
  if (retain && !session.connack()->retain_available) {
    return Status(BP_UNIMPLEMENTED, "publish to '", topic,
                  "': the broker keeps no retained messages");
  }
  const auto packet_id =
      session.publish({topic, payload.data(), payload.size(), qos, retain, properties.get()});
  if (!packet_id) {
    return packet_id.status();
  }
  place(item.op, kInFlight, *packet_id);
  in_flight_.insert_or_assign(*packet_id, std::move(item));
  return Status::ok();
}

bool Publisher::abandon(Op op) noexcept {
  const auto place_of = static_cast<Place>(op->impl[0]);
  if (place_of == kWaiting) {
    const auto at = std::find_if(waiting_.begin(), waiting_.end(), [&](const Outgoing& item) {
      return static_cast<bp_op*>(item.op) == op;
    });
    if (at != waiting_.end()) {
      waiting_.erase(at);
      show();
      place(op, kNowhere);
      return true;
    }
  } else if (place_of == kInFlight) {
    const auto at = in_flight_.find(static_cast<uint16_t>(op->impl[1]));
    if (at != in_flight_.end() && static_cast<bp_op*>(at->second.op) == op) {
      at->second.op = Op();
      at->second.topic = "";  // it was the endpoint's
      place(op, kNowhere);
      return true;
    }
  }
  return false;
}

void Publisher::abandon(uint64_t number) noexcept {
  std::erase_if(waiting_, [&](const Outgoing& item) { return item.number == number; });
  show();
}

void Publisher::settle(const std::vector<Answer>& answers, std::vector<Outcome>& outcomes) {
  for (const Answer& answer : answers) {
    const auto at = in_flight_.find(answer.packet_id);
    if (at == in_flight_.end()) {
      continue;
    }
    Outgoing& item = at->second;
    finish(item,
           answer.reason < 0x80
               ? Status::ok()
               : from_reason(
                     settings_.version, Packet::kPuback, answer.reason,
                     concat("publish to '", item.own ? item.own->topic.c_str() : item.topic, "'")),
           outcomes);
    in_flight_.erase(at);
  }
}

bool Publisher::refill(Session& session, std::vector<Outcome>& outcomes) {
  if (waiting_.empty()) {
    return false;
  }
  bool sent = false;
  while (!waiting_.empty() && has_room(session)) {
    Outgoing item = std::move(waiting_.front());
    waiting_.pop_front();
    Status status;
    boundary([&] { status = send(session, item); }, [&](const Status& failed) { status = failed; });
    if (status.is_ok()) {
      sent = true;
    } else {
      finish(item, std::move(status), outcomes);
    }
  }
  show();
  return sent;
}

void Publisher::requeue() noexcept {
  std::vector<Outgoing> again;
  for (auto& [packet_id, item] : in_flight_) {
    if (item.op != nullptr || item.own) {
      again.push_back(std::move(item));
    }
  }
  in_flight_.clear();
  std::sort(again.begin(), again.end(),
            [](const Outgoing& a, const Outgoing& b) { return a.order > b.order; });
  for (Outgoing& item : again) {
    place(item.op, kWaiting);
    waiting_.push_front(std::move(item));
  }
  resent_.add(again.size());
  show();
}

void Publisher::fail_all(const Status& status, std::vector<Outcome>& outcomes) {
  for (Outgoing& item : waiting_) {
    finish(item, status, outcomes);
  }
  for (auto& [packet_id, item] : in_flight_) {
    finish(item, status, outcomes);
  }
  waiting_.clear();
  in_flight_.clear();
  show();
}

}  // namespace backplane::mqtt
