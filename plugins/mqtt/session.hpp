// SPDX-License-Identifier: Apache-2.0
// One object of libmosquitto: its options, its calls, and what its callbacks say, collected.
//
// Design notes. The library runs in its threaded mode without its thread: calls queue packets, and
// only write() sends them. Callbacks come inside read(), write() and keep_alive() and do nothing
// but collect, so that nobody is called while the connection's lock is held. What a session holds
// of ours when its connection breaks (publications that are not acknowledged) it sends again after
// the next connect(), if the broker has kept its half; if not, a new session must be made.
#pragma once

#include "error_map.hpp"
#include "handles.hpp"
#include "properties.hpp"
#include "settings.hpp"
#include "tls.hpp"

#include <optional>

namespace backplane::mqtt {

/// The broker's answer to CONNECT.
struct Connack {
  uint8_t reason = 0;
  bool session_present = false;
  bool subscription_ids = false;  // a message says to which subscriptions it belongs
  bool retain_available = true;
};

/// PUBACK, PUBREC with an error, PUBCOMP, a QoS 0 publication on its way, SUBACK.
struct Answer {
  uint16_t packet_id;
  uint8_t reason;
};

/// What callbacks have collected, each kind in its order.
struct Harvest {
  std::vector<Inbound> messages;
  std::vector<Answer> published;
  std::vector<Answer> subscribed;
  size_t too_large = 0;  // messages above max_payload, not kept

  bool is_empty() const noexcept {
    return messages.empty() && published.empty() && subscribed.empty() && too_large == 0;
  }
  void clear() noexcept {
    messages.clear();
    published.clear();
    subscribed.clear();
    too_large = 0;
  }
};

/// One publication; everything is borrowed for the call.
struct Publication {
  const char* topic;
  const void* payload;
  size_t size;
  uint8_t qos;
  bool retain;
  const mosquitto_property* properties;  // null with MQTT 3.1.1
};

/// Who connects; empty: nobody in particular.
struct Login {
  Buffer user;
  Buffer password;

  /// From the credential that the settings name. Throws Error: it cannot be read.
  static Login read(const Host& host, const Settings& settings);
};

struct SessionOptions {
  std::string client_id;
  bool clean_start = true;
  uint32_t expiry_s = 0;
  uint16_t receive_maximum = 0;  // 0: the protocol's 65535
  std::optional<Will> will;
  Login login;
  std::unique_ptr<TlsContext> tls;

  /// What the settings say; the login is the connection's. `tls`: null for plain TCP. Throws Error.
  static SessionOptions of(const Settings& settings, Tls* tls, std::string client_id);
};

/// Serial use only: under the connection's lock.
class Session {
 public:
  /// Throws Error, or std::bad_alloc.
  Session(const Settings& settings, SessionOptions options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  /// Before it connects again: user, password and TLS are these from now on. Throws Error.
  void renew(SessionOptions options);
  /// Begins to connect to a numeric address; again after a loss, with what was not acknowledged.
  /// The answer is a connack() or a loss().
  Status connect(const std::string& address);
  /// The library's descriptor, which it closes itself; -1: none.
  int descriptor() const noexcept { return mosquitto_socket(handle_.get()); }
  bool is_handshaking() const noexcept;

  /// Reads at least one packet, if one is there.
  void read();
  /// Sends what is queued, as far as the socket takes it.
  void write();
  /// Pings in time, and finds out that nobody answers. Once a second.
  void keep_alive();
  bool wants_write() const noexcept;

  /// The packet identifier. An error has sent and queued nothing.
  Result<uint16_t> publish(const Publication& publication);
  /// The identifier that the next packet gets: do not publish while it is in flight still.
  uint16_t next_packet_id() const noexcept {
    return last_packet_id_ == 65535 ? 1 : static_cast<uint16_t>(last_packet_id_ + 1);
  }
  Result<uint16_t> subscribe(const std::string& filter, uint8_t qos, uint32_t subscription_id);
  Status unsubscribe(const std::string& filter);
  /// Queues DISCONNECT. `forget`: the broker drops the session.
  void disconnect(bool forget);

  const std::optional<Connack>& connack() const noexcept { return connack_; }
  /// Why there is no connection any more; nothing while there is, or was none.
  const std::optional<Status>& loss() const noexcept { return loss_; }
  Harvest& harvest() noexcept { return harvest_; }

 private:
  static Session& of(void* user) noexcept { return *static_cast<Session*>(user); }
  static void on_connect(mosquitto*, void* user, int reason, int flags,
                         const mosquitto_property* properties) noexcept;
  static void on_disconnect(mosquitto*, void* user, int result,
                            const mosquitto_property* properties) noexcept;
  static void on_publish(mosquitto*, void* user, int packet_id, int reason,
                         const mosquitto_property* properties) noexcept;
  static void on_subscribe(mosquitto*, void* user, int packet_id, int n, const int* granted,
                           const mosquitto_property* properties) noexcept;
  static void on_message(mosquitto*, void* user, const mosquitto_message* message,
                         const mosquitto_property* properties) noexcept;
  static void on_log(mosquitto*, void* user, int level, const char* text) noexcept;

  void set_tls(std::unique_ptr<TlsContext> tls);
  void set_user();
  void set_callbacks() noexcept;
  void set_will(const Will& will);
  void prime_connect_properties();
  void check(int result);
  void lose(int result, int error_number);
  bool is_more_expected() const noexcept;
  bool has_input() const noexcept;
  bool is_peer_gone() const noexcept;
  Result<uint16_t> sent(int result, int packet_id, std::string_view what);

  const Settings& settings_;
  SessionOptions options_;
  std::unique_ptr<TlsContext> used_;  // by the library, until it begins to use that of options_
  MosquittoHandle handle_;            // after both: uses one of the contexts until its end
  std::optional<Connack> connack_;
  std::optional<Status> loss_;
  std::string last_error_;  // of the library's log, while connecting
  uint16_t last_packet_id_ = 0;
  size_t unanswered_ = 0;  // publications
  Harvest harvest_;
};

}  // namespace backplane::mqtt
