// SPDX-License-Identifier: Apache-2.0
// An instance's configuration, read once. Keys and defaults: plugin_manifests/mqtt.toml.
#pragma once

#include <backplane/sdk/config.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace backplane::mqtt {

/// Where the broker is: mqtt://HOST[:PORT], mqtts://HOST[:PORT].
struct BrokerUrl {
  std::string host;  // a name or an address; without brackets
  uint16_t port = 0;
  bool tls = false;

  /// Throws Error (INVALID_ARGUMENT).
  static BrokerUrl parse(std::string_view url);
  std::string to_string() const;
};

/// What the broker publishes when this connection breaks.
struct Will {
  std::string topic;
  std::string payload;
  std::string content_type;
  int qos = 0;
  bool retain = false;
  uint32_t delay_s = 0;
};

struct Settings {
  using Duration = std::chrono::nanoseconds;

  /// Throws Error (INVALID_ARGUMENT), with the key.
  Settings(const Config& config, std::string_view system, std::string_view instance);

  BrokerUrl url;
  int version = 5;          // 4: MQTT 3.1.1
  std::string client_id;    // of the first connection; the second appends "-ack"
  bool is_passing = false;  // see there
  std::string credentials;
  std::string server_name;  // that the certificate must have
  int keep_alive_s = 0;
  uint32_t session_expiry_s = 0;
  Duration connect_timeout{};
  Duration read_timeout{};
  Duration call_timeout{};
  Duration browse_time{};
  Duration reconnect_min{};
  Duration reconnect_max{};
  Duration linger{};
  uint8_t qos = 1;
  bool retain = false;
  uint32_t max_payload = 0;
  size_t max_in_flight = 0;
  size_t offline_queue = 0;
  uint16_t receive_maximum = 0;
  size_t max_requests = 0;
  size_t max_topics = 0;
  std::optional<Will> will;

  bool has_properties() const noexcept { return version == 5; }
  /// A broker keeps the session of the publishing connection across a reconnect.
  bool keeps_session() const noexcept { return version == 5 && session_expiry_s > 0; }
};

/// Whether the instance is there for a moment: made for a URL, or by a command that looks at a
/// system. Either name is a URL's then. Its client identifier differs each time, its sessions end
/// with it, and it has no will: it takes nothing from others on the same broker, not even from the
/// instance that it is a copy of.
bool is_passing(std::string_view system, std::string_view instance) noexcept;

/// A client identifier that is the same after a restart of this instance of this system on this
/// machine and differs between instances, systems and machines.
std::string default_client_id(std::string_view system, std::string_view instance);

}  // namespace backplane::mqtt
