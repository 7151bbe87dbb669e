// SPDX-License-Identifier: Apache-2.0
// MQTT 5 properties: a list that owns, and the headers of messages as properties and back.
#pragma once

#include "payload.hpp"
#include <backplane/sdk/message.hpp>

#include <mosquitto.h>

#include <string>
#include <vector>

namespace backplane::mqtt {

/// Throws Error (INVALID_ARGUMENT) for a value that its property cannot hold.
class PropertyList {
 public:
  PropertyList() noexcept = default;
  PropertyList(PropertyList&& other) noexcept : list_(other.release()) {}
  PropertyList& operator=(PropertyList&& other) noexcept {
    std::swap(list_, other.list_);
    return *this;
  }
  ~PropertyList() { mosquitto_property_free_all(&list_); }

  PropertyList& byte(int id, uint8_t value);
  PropertyList& int16(int id, uint16_t value);
  PropertyList& int32(int id, uint32_t value);
  PropertyList& varint(int id, uint32_t value);
  PropertyList& string(int id, std::string_view value);
  PropertyList& binary(int id, std::span<const std::byte> value);
  PropertyList& user(std::string_view name, std::string_view value);

  const mosquitto_property* get() const noexcept { return list_; }
  /// For functions that take the list over.
  mosquitto_property* release() noexcept { return std::exchange(list_, nullptr); }

 private:
  mosquitto_property* list_ = nullptr;
};

/// What goes with a publication besides its headers.
struct Exchange {
  std::string_view response_topic;
  std::span<const std::byte> correlation;
};

/// The PUBLISH properties of a message: content type, expiry, response topic, correlation and trace
/// context of its headers; every header with a name as a user property.
PropertyList publish_properties(MessageView message, const Payload& payload,
                                const Exchange& exchange = {});
/// How many of the message's headers MQTT 3.1.1, which has no properties, cannot carry.
size_t headers_lost_without_properties(MessageView message) noexcept;

/// A message from the broker.
struct Inbound {
  std::string topic;
  uint16_t packet_id = 0;  // 0 with QoS 0
  uint8_t qos = 0;
  bool is_retained = false;             // sent because of a new subscription, not because it is new
  std::vector<uint32_t> subscriptions;  // identifiers; empty: the broker does not say
  OwnedMessage message;                 // the topic is its header PATH
};

/// `properties` may be null. Copies everything. Throws std::bad_alloc.
Inbound make_inbound(const mosquitto_message& from, const mosquitto_property* properties);

}  // namespace backplane::mqtt
