// SPDX-License-Identifier: Apache-2.0
#include "properties.hpp"

#include "error_map.hpp"
#include "handles.hpp"

#include <mqtt_protocol.h>

#include <chrono>

namespace backplane::mqtt {
namespace {

constexpr std::string_view kTraceParent =
    "traceparent";  // W3C Trace Context: the name in every protocol

void check(int result, int id) {
  if (result != MOSQ_ERR_SUCCESS) {
    throw Error(from_library(result, 0,
                             concat("property '", mosquitto_property_identifier_to_string(id),
                                    "' (text without U+0000, at most 65535 bytes)")));
  }
}

/// A string that the library can take: it wants a terminator and looks no further than that.
std::string terminated(std::string_view text, int id) {
  if (text.find('\0') != text.npos || text.size() > 65535) {
    check(MOSQ_ERR_INVAL, id);
  }
  return std::string(text);
}

/// Seconds, at least 1: 0 would mean "expires at once".
uint32_t expiry_seconds(int64_t ns) noexcept {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t seconds = ns <= kSecond ? 1 : (ns - 1) / kSecond + 1;
  return static_cast<uint32_t>(std::min<int64_t>(seconds, UINT32_MAX));
}

std::string_view text_property(const mosquitto_property* at, int id,
                               Allocated<char>& out) noexcept {
  char* text = nullptr;
  mosquitto_property_read_string(at, id, &text, false);
  out.reset(text);
  return text != nullptr ? std::string_view(text) : std::string_view{};
}

}  // namespace

PropertyList& PropertyList::byte(int id, uint8_t value) {
  return check(mosquitto_property_add_byte(&list_, id, value), id), *this;
}
PropertyList& PropertyList::int16(int id, uint16_t value) {
  return check(mosquitto_property_add_int16(&list_, id, value), id), *this;
}
PropertyList& PropertyList::int32(int id, uint32_t value) {
  return check(mosquitto_property_add_int32(&list_, id, value), id), *this;
}
PropertyList& PropertyList::varint(int id, uint32_t value) {
  return check(mosquitto_property_add_varint(&list_, id, value), id), *this;
}
PropertyList& PropertyList::string(int id, std::string_view value) {
  return check(mosquitto_property_add_string(&list_, id, terminated(value, id).c_str()), id), *this;
}
PropertyList& PropertyList::binary(int id, std::span<const std::byte> value) {
  if (value.size() > 65535) {
    check(MOSQ_ERR_INVAL, id);
  }
  return check(mosquitto_property_add_binary(&list_, id, value.data(),
                                             static_cast<uint16_t>(value.size())),
               id),
         *this;
}
PropertyList& PropertyList::user(std::string_view name, std::string_view value) {
  constexpr int kId = MQTT_PROP_USER_PROPERTY;
  return check(mosquitto_property_add_string_pair(&list_, kId, terminated(name, kId).c_str(),
                                                  terminated(value, kId).c_str()),
               kId),
         *this;
}

PropertyList publish_properties(MessageView message, const Payload& payload,
                                const Exchange& exchange) {
  PropertyList out;
  std::string_view content_type = payload.content_type();
  for (const bp_pair& header : message.headers()) {
    const ValueView key(header.key);
    const ValueView value(header.val);
    if (key.tag == BP_T_STRING) {
      const auto text = value.get<std::string_view>();
      out.user(*key.get<std::string_view>(), text ? *text : value.to_text(1024));
      continue;
    }
    if (key.tag != BP_T_UINT) {
      continue;
    }
    switch (key.as.u) {
      case BP_H_CONTENT_TYPE:
        content_type = value.get<std::string_view>().value_or(content_type);
        break;
      case BP_H_EXPIRY_NS:
        if (const auto ns = value.get<int64_t>()) {
          out.int32(MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, expiry_seconds(*ns));
        }
        break;
      case BP_H_REPLY_TO:
        if (const auto topic = value.get<std::string_view>();
            topic && exchange.response_topic.empty()) {
          out.string(MQTT_PROP_RESPONSE_TOPIC, *topic);
        }
        break;
      case BP_H_CORRELATION:
        if (const auto bytes = value.payload(); bytes && exchange.correlation.empty()) {
          out.binary(MQTT_PROP_CORRELATION_DATA, *bytes);
        }
        break;
      case BP_H_TRACEPARENT:
        if (const auto text = value.get<std::string_view>()) {
          out.user(kTraceParent, *text);
        }
        break;
      default:
        break;  // said by PUBLISH itself (QoS, retain), or meant for this process
    }
  }
  if (!content_type.empty()) {
    out.string(MQTT_PROP_CONTENT_TYPE, content_type);
  }
  if (!exchange.response_topic.empty()) {
    out.string(MQTT_PROP_RESPONSE_TOPIC, exchange.response_topic);
  }
  if (!exchange.correlation.empty()) {
    out.binary(MQTT_PROP_CORRELATION_DATA, exchange.correlation);
  }
  return out;
}

size_t headers_lost_without_properties(MessageView message) noexcept {
  size_t lost = 0;
  for (const bp_pair& header : message.headers()) {
    const bool is_property =
        header.key.tag == BP_T_UINT &&
        (header.key.as.u == BP_H_CONTENT_TYPE || header.key.as.u == BP_H_EXPIRY_NS ||
         header.key.as.u == BP_H_REPLY_TO || header.key.as.u == BP_H_CORRELATION ||
         header.key.as.u == BP_H_TRACEPARENT);
    lost += header.key.tag == BP_T_STRING || is_property ? 1u : 0u;
  }
  return lost;
}

Inbound make_inbound(const mosquitto_message& from, const mosquitto_property* properties) {
  Inbound out;
  out.topic = from.topic;
  out.packet_id = static_cast<uint16_t>(from.mid);
  out.qos = static_cast<uint8_t>(from.qos);
  out.is_retained = from.retain;

  MessageBuilder message;
  message.time_now().header(BP_H_PATH, std::string_view(out.topic));
  message.header(BP_H_QOS, static_cast<uint32_t>(out.qos));
  message.header(BP_H_RETAIN, out.is_retained);

  std::string_view content_type;
  bool is_text = false;
  Arena& arena = message.arena();
  const auto keep = [&arena](std::string_view text) { return arena.copy(ValueView(text)); };
  for (const auto* at = properties; at != nullptr; at = mosquitto_property_next(at)) {
    const int id = mosquitto_property_identifier(at);
    Allocated<char> text;
    switch (id) {
      case MQTT_PROP_PAYLOAD_FORMAT_INDICATOR: {
        uint8_t format = 0;
        mosquitto_property_read_byte(at, id, &format, false);
        is_text = format == 1;
        break;
      }
      case MQTT_PROP_MESSAGE_EXPIRY_INTERVAL: {
        uint32_t seconds = 0;
        mosquitto_property_read_int32(at, id, &seconds, false);
        message.header(BP_H_EXPIRY_NS, std::chrono::nanoseconds(std::chrono::seconds(seconds)));
        break;
      }
      case MQTT_PROP_CONTENT_TYPE: {
        const ValueView value = keep(text_property(at, id, text));
        content_type = *value.get<std::string_view>();
        message.header(BP_H_CONTENT_TYPE, value);
        break;
      }
      case MQTT_PROP_RESPONSE_TOPIC:
        message.header(BP_H_REPLY_TO, keep(text_property(at, id, text)));
        break;
      case MQTT_PROP_CORRELATION_DATA: {
        void* data = nullptr;
        uint16_t size = 0;
        mosquitto_property_read_binary(at, id, &data, &size, false);
        const Allocated<void> owner(data);
        message.header(BP_H_CORRELATION, arena.copy(ValueView::bytes(data, size)));
        break;
      }
      case MQTT_PROP_SUBSCRIPTION_IDENTIFIER: {
        uint32_t subscription = 0;
        mosquitto_property_read_varint(at, id, &subscription, false);
        out.subscriptions.push_back(subscription);
        break;
      }
      case MQTT_PROP_USER_PROPERTY: {
        char* name = nullptr;
        char* value = nullptr;
        mosquitto_property_read_string_pair(at, id, &name, &value, false);
        const Allocated<char> name_owner(name);
        const Allocated<char> value_owner(value);
        if (name != nullptr && value != nullptr) {
          message.header(*keep(name).get<std::string_view>(), keep(value));
        }
        break;
      }
      default:
        break;
    }
  }
  message.body(
      payload_value(from.payload, static_cast<size_t>(from.payloadlen), content_type, is_text));
  message.flags(out.is_retained ? BP_M_INITIAL : 0u);
  out.message = OwnedMessage(MessageView(message.view()));
  return out;
}

}  // namespace backplane::mqtt
