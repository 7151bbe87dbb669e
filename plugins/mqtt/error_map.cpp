// SPDX-License-Identifier: Apache-2.0
#include "error_map.hpp"

#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <cerrno>
#include <system_error>

namespace backplane::mqtt {
namespace {

constexpr uint8_t kFirstError = 0x80;

/// "use TLS", "set version = 4": what to do about it, where that is known.
std::string_view advice(int version, Packet packet, uint8_t reason) noexcept {
  if (packet != Packet::kConnack) {
    return reason == MQTT_RC_SESSION_TAKEN_OVER && version == 5
               ? "; another client has this identifier: set client_id"
               : "";
  }
  if (version == 4) {
    switch (reason) {
      case CONNACK_REFUSED_PROTOCOL_VERSION:
        return "; the broker does not speak MQTT 3.1.1";
      case CONNACK_REFUSED_IDENTIFIER_REJECTED:
        return "; set another client_id";
      case CONNACK_REFUSED_BAD_USERNAME_PASSWORD:
      case CONNACK_REFUSED_NOT_AUTHORIZED:
        return "; check user and password of the credential";
      default:
        return "";
    }
  }
  switch (reason) {
    case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION:
      return "; the broker does not speak MQTT 5: set version = 4";
    case MQTT_RC_CLIENTID_NOT_VALID:
      return "; set another client_id";
    case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
    case MQTT_RC_NOT_AUTHORIZED:
      return "; check user and password of the credential";
    default:
      return "";
  }
}

}  // namespace

bp_status code_of_reason(Packet packet, uint8_t reason) noexcept {
  if (reason < kFirstError) {
    return BP_OK;
  }
  switch (reason) {
    case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
    case MQTT_RC_BAD_AUTHENTICATION_METHOD:
      return BP_UNAUTHENTICATED;
    case MQTT_RC_NOT_AUTHORIZED:  // before CONNACK nobody is known yet
      return packet == Packet::kConnack ? BP_UNAUTHENTICATED : BP_PERMISSION_DENIED;
    case MQTT_RC_BANNED:
      return BP_PERMISSION_DENIED;
    case MQTT_RC_CLIENTID_NOT_VALID:
    case MQTT_RC_TOPIC_FILTER_INVALID:
    case MQTT_RC_TOPIC_NAME_INVALID:
    case MQTT_RC_PAYLOAD_FORMAT_INVALID:
      return BP_INVALID_ARGUMENT;
    case MQTT_RC_SERVER_UNAVAILABLE:
    case MQTT_RC_SERVER_BUSY:
    case MQTT_RC_SERVER_SHUTTING_DOWN:
    case MQTT_RC_KEEP_ALIVE_TIMEOUT:
    case MQTT_RC_ADMINISTRATIVE_ACTION:
    case MQTT_RC_CONNECTION_RATE_EXCEEDED:
    case MQTT_RC_MAXIMUM_CONNECT_TIME:
    case MQTT_RC_USE_ANOTHER_SERVER:
      return BP_UNAVAILABLE;
    case MQTT_RC_SERVER_MOVED:
      return BP_FAILED_PRECONDITION;
    case MQTT_RC_SESSION_TAKEN_OVER:
      return BP_ABORTED;
    case MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED:
    case MQTT_RC_PACKET_TOO_LARGE:
    case MQTT_RC_MESSAGE_RATE_TOO_HIGH:
    case MQTT_RC_QUOTA_EXCEEDED:
      return BP_RESOURCE_EXHAUSTED;
    case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION:
    case MQTT_RC_RETAIN_NOT_SUPPORTED:
    case MQTT_RC_QOS_NOT_SUPPORTED:
    case MQTT_RC_SHARED_SUBS_NOT_SUPPORTED:
    case MQTT_RC_SUBSCRIPTION_IDS_NOT_SUPPORTED:
    case MQTT_RC_WILDCARD_SUBS_NOT_SUPPORTED:
      return BP_UNIMPLEMENTED;
    case MQTT_RC_MALFORMED_PACKET:
    case MQTT_RC_PROTOCOL_ERROR:
    case MQTT_RC_PACKET_ID_IN_USE:
    case MQTT_RC_PACKET_ID_NOT_FOUND:
    case MQTT_RC_TOPIC_ALIAS_INVALID:
      return BP_INTERNAL;
    default:  // unspecified, implementation specific, and what a later version may add
      return BP_UNKNOWN;
  }
}

bp_status code_of_return(Packet packet, uint8_t code) noexcept {
  if (packet != Packet::kConnack) {
    return code < kFirstError ? BP_OK : BP_UNKNOWN;
  }
  switch (code) {
    case CONNACK_ACCEPTED:
      return BP_OK;
    case CONNACK_REFUSED_PROTOCOL_VERSION:
      return BP_UNIMPLEMENTED;
    case CONNACK_REFUSED_IDENTIFIER_REJECTED:
      return BP_INVALID_ARGUMENT;
    case CONNACK_REFUSED_SERVER_UNAVAILABLE:
      return BP_UNAVAILABLE;
    case CONNACK_REFUSED_BAD_USERNAME_PASSWORD:
    case CONNACK_REFUSED_NOT_AUTHORIZED:
      return BP_UNAUTHENTICATED;
    default:
      return BP_UNKNOWN;
  }
}

bp_status code_of_library(int result, int error_number) noexcept {
  switch (result) {
    case MOSQ_ERR_SUCCESS:
    case MOSQ_ERR_CONN_PENDING:
      return BP_OK;
    case MOSQ_ERR_NOMEM:
    case MOSQ_ERR_OVERSIZE_PACKET:
    case MOSQ_ERR_PAYLOAD_SIZE:
      return BP_RESOURCE_EXHAUSTED;
    case MOSQ_ERR_INVAL:
    case MOSQ_ERR_MALFORMED_UTF8:
    case MOSQ_ERR_DUPLICATE_PROPERTY:
      return BP_INVALID_ARGUMENT;
    case MOSQ_ERR_NOT_SUPPORTED:
    case MOSQ_ERR_QOS_NOT_SUPPORTED:
      return BP_UNIMPLEMENTED;
    case MOSQ_ERR_AUTH:
    case MOSQ_ERR_TLS:
    case MOSQ_ERR_TLS_HANDSHAKE:
      return BP_UNAUTHENTICATED;
    case MOSQ_ERR_ACL_DENIED:
      return BP_PERMISSION_DENIED;
    case MOSQ_ERR_NO_CONN:
    case MOSQ_ERR_CONN_LOST:
    case MOSQ_ERR_CONN_REFUSED:
    case MOSQ_ERR_EAI:
    case MOSQ_ERR_PROXY:
    case MOSQ_ERR_KEEPALIVE:
    case MOSQ_ERR_LOOKUP:
      return BP_UNAVAILABLE;
    case MOSQ_ERR_ERRNO:
      return error_number == EACCES || error_number == EPERM ? BP_PERMISSION_DENIED
                                                             : BP_UNAVAILABLE;
    case MOSQ_ERR_PROTOCOL:
    case MOSQ_ERR_MALFORMED_PACKET:
    default:
      return BP_INTERNAL;
  }
}

Status from_reason(int version, Packet packet, uint8_t reason, std::string_view what) {
  const bp_status code =
      version == 5 ? code_of_reason(packet, reason) : code_of_return(packet, reason);
  if (code == BP_OK) {
    return Status::ok();
  }
  const std::string_view text =
      version == 5 || packet != Packet::kConnack
          ? mosquitto_reason_string(version == 5 ? int{reason} : int{MQTT_RC_UNSPECIFIED})
          : mosquitto_connack_string(reason);
  Status status =
      Status(code, what, ": ", text, advice(version, packet, reason)).with_native(reason, "mqtt");
  if (reason == MQTT_RC_PACKET_TOO_LARGE && version == 5) {
    return std::move(status).with_retry(false);
  }
  return status;
}

Status from_library(int result, int error_number, std::string_view what) {
  const bp_status code = code_of_library(result, error_number);
  if (code == BP_OK) {
    return Status::ok();
  }
  if (result == MOSQ_ERR_ERRNO) {
    return Status(code, what, ": ", std::generic_category().message(error_number))
        .with_native(error_number, "errno");
  }
  const std::string_view text = result == MOSQ_ERR_KEEPALIVE  // which the library has no text for
                                    ? "the broker has not answered a ping within keep_alive_s"
                                    : mosquitto_strerror(result);
  Status status = Status(code, what, ": ", text).with_native(result, "mosquitto");
  if (result == MOSQ_ERR_OVERSIZE_PACKET || result == MOSQ_ERR_PAYLOAD_SIZE) {
    return std::move(status).with_retry(false);
  }
  return status;
}

bool is_lasting(const Status& refusal) noexcept {
  switch (refusal.code()) {
    case BP_UNAUTHENTICATED:
    case BP_PERMISSION_DENIED:
    case BP_INVALID_ARGUMENT:
    case BP_UNIMPLEMENTED:
    case BP_FAILED_PRECONDITION:
      return true;
    default:
      return false;
  }
}

}  // namespace backplane::mqtt
