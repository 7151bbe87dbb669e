// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <mqtt_protocol.h>

#include <cerrno>
#include <cstring>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace backplane::mqtt {
namespace {

constexpr int kMaxHeader = 1024 * 1024;  // of a PUBLISH besides its payload: topic and properties
constexpr unsigned kMostReads = 64;      // packets at a time, before others have their turn

void require(int result, std::string_view what) {
  const Status status = from_library(result, errno, what);
  if (status.is_error()) {
    throw Error(status);
  }
}

}  // namespace

Login Login::read(const Host& host, const Settings& settings) {
  Login out;
  if (settings.credentials.empty()) {
    return out;
  }
  for (const auto& [field, buffer] :
       {std::pair("user", &out.user), std::pair("password", &out.password)}) {
    auto value = host.credential(settings.credentials, field);
    if (value) {
      *buffer = *std::move(value);
    } else if (value.status().code() != BP_NOT_FOUND) {
      value.or_throw();
    }
  }
  return out;
}

SessionOptions SessionOptions::of(const Settings& settings, Tls* tls, std::string client_id) {
  SessionOptions out;
  out.client_id = std::move(client_id);
  out.expiry_s = settings.session_expiry_s;
  out.tls = tls != nullptr ? tls->context() : nullptr;
  return out;
}

Session::Session(const Settings& settings, SessionOptions options)
    : settings_(settings),
      options_(std::move(options)),
      handle_(mosquitto_new(options_.client_id.c_str(), options_.clean_start, this)) {
  if (!handle_) {
    throw Error(errno == ENOMEM ? Status(BP_RESOURCE_EXHAUSTED)
                                : Status(BP_INVALID_ARGUMENT, "client_id '", options_.client_id,
                                         "' is not UTF-8"));
  }
  mosquitto* const m = handle_.get();
  const int protocol = settings.version == 5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311;
  require(mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION, protocol), "protocol version");
  require(mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1), "TCP_NODELAY");
  require(mosquitto_int_option(m, MOSQ_OPT_SEND_MAXIMUM, static_cast<int>(settings.max_in_flight)),
          "max_in_flight");
  if (options_.receive_maximum > 0) {
    require(mosquitto_int_option(m, MOSQ_OPT_RECEIVE_MAXIMUM, options_.receive_maximum),
            "receive_maximum");
  }
  require(mosquitto_threaded_set(m, true), "threaded mode");
  set_user();
  if (options_.will) {
    set_will(*options_.will);
  }
  set_callbacks();
  if (settings.has_properties()) {
    prime_connect_properties();
  }
  if (options_.tls) {
    set_tls(std::move(options_.tls));  // the last step: what it leaves needs the destructor
  }
}

/// The library frees one context at its end. Which one differs between its versions: that of the
/// option, or that of the last connection. So both are made the same, and the share that it takes
/// for that is the one that it gives up.
Session::~Session() {
  TlsContext* const newest = options_.tls.get();
  if (newest == nullptr) {
    return;
  }
  const TlsContext* const used = newest->is_used() ? newest : used_.get();
  const int result = mosquitto_void_option(handle_.get(), MOSQ_OPT_SSL_CTX,
                                           used != nullptr ? used->get() : nullptr);
  if (result != MOSQ_ERR_SUCCESS) {
    newest->keep_lent();  // up to 2.0.11 the option cannot be unset: it frees this one
  }
}

/// The library forgets the context that it had without freeing it, and may use it on until it next
/// comes to have a socket: so it is kept until the new one is used.
void Session::set_tls(std::unique_ptr<TlsContext> tls) {
  mosquitto* const m = handle_.get();
  require(mosquitto_int_option(m, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0), "TLS");
  require(mosquitto_void_option(m, MOSQ_OPT_SSL_CTX, tls->get()), "TLS");
  tls->lend();
  auto before = std::exchange(options_.tls, std::move(tls));
  if (before && before->is_used()) {
    used_ = std::move(before);
  }
}

void Session::set_user() {
  const auto& [user, password] = options_.login;
  if (user) {
    require(mosquitto_username_pw_set(handle_.get(), std::string(user.text()).c_str(),
                                      password ? std::string(password.text()).c_str() : nullptr),
            "user and password");
  }
}

void Session::renew(SessionOptions options) {
  if (options.tls) {
    set_tls(std::move(options.tls));
  }
  options_.login = std::move(options.login);
  set_user();
}

void Session::set_callbacks() noexcept {
  mosquitto* const m = handle_.get();
  mosquitto_connect_v5_callback_set(m, &Session::on_connect);
  mosquitto_disconnect_v5_callback_set(m, &Session::on_disconnect);
  mosquitto_publish_v5_callback_set(m, &Session::on_publish);
  mosquitto_subscribe_v5_callback_set(m, &Session::on_subscribe);
  mosquitto_message_v5_callback_set(m, &Session::on_message);
}

void Session::set_will(const Will& will) {
  PropertyList properties;
  if (settings_.has_properties()) {
    if (!will.content_type.empty()) {
      properties.string(MQTT_PROP_CONTENT_TYPE, will.content_type);
    }
    if (will.delay_s > 0) {
      properties.int32(MQTT_PROP_WILL_DELAY_INTERVAL, will.delay_s);
    }
  }
  const int result = mosquitto_will_set_v5(
      handle_.get(), will.topic.c_str(), static_cast<int>(will.payload.size()), will.payload.data(),
      will.qos, will.retain, const_cast<mosquitto_property*>(properties.get()));
  require(result, "will");
  static_cast<void>(properties.release());  // the library's from now on
}

/// The only call that takes properties for CONNECT blocks. With an empty host it stores them, fails
/// before it does anything else, and connect() uses them.
void Session::prime_connect_properties() {
  PropertyList properties;
  properties.int32(MQTT_PROP_SESSION_EXPIRY_INTERVAL, options_.expiry_s);
  properties.int32(MQTT_PROP_MAXIMUM_PACKET_SIZE, settings_.max_payload + kMaxHeader);
  if (options_.receive_maximum > 0) {
    properties.int16(MQTT_PROP_RECEIVE_MAXIMUM, options_.receive_maximum);
  }
  mosquitto_connect_bind_v5(handle_.get(), "", 0, settings_.keep_alive_s, nullptr,
                            properties.get());
}

Status Session::connect(const std::string& address) {
  connack_.reset();
  loss_.reset();
  last_error_.clear();
  if (options_.tls) {
    options_.tls->forget_refusal();
  }
  // Only now: with a log callback the library writes a line for each packet.
  mosquitto_log_callback_set(handle_.get(), &Session::on_log);
  errno = 0;
  const int result = mosquitto_connect_async(handle_.get(), address.c_str(), settings_.url.port,
                                             settings_.keep_alive_s);
  if (options_.tls) {
    if (result == MOSQ_ERR_TLS) {
      options_.tls->set_used();  // no handshake has begun for want of memory
    }
    if (options_.tls->is_used()) {
      used_.reset();
    }
  }
  if (result != MOSQ_ERR_SUCCESS && result != MOSQ_ERR_CONN_PENDING) {
    lose(result, errno);
    return *loss_;
  }
  return Status::ok();
}

bool Session::is_handshaking() const noexcept {
  const auto* const ssl = static_cast<const SSL*>(mosquitto_ssl_get(handle_.get()));
  return ssl != nullptr && SSL_is_init_finished(ssl) == 0;
}

/// All that has come, up to a bound, before anything is written: the second write to a broker that
/// has gone ends the session, and what is unread by then would be lost. CONNACK is looked at alone.
void Session::read() {
  const bool was_accepted = connack_.has_value();
  unsigned packets = 0;
  do {
    errno = 0;
    check(mosquitto_loop_read(handle_.get(), 1));
  } while (!loss_ && was_accepted == connack_.has_value() && ++packets < kMostReads &&
           is_more_expected());
  if (!loss_ && is_handshaking() && is_peer_gone()) {
    lose(MOSQ_ERR_CONN_LOST, 0);  // the library takes it for a handshake that goes on
  }
}

void Session::write() {
  if (!is_handshaking()) {
    errno = 0;
    // One round sends every packet that is queued; more rounds only look again.
    check(mosquitto_loop_write(handle_.get(), 1));
  }
}

void Session::keep_alive() {
  errno = 0;
  check(mosquitto_loop_misc(handle_.get()));
}

bool Session::wants_write() const noexcept {
  return !is_handshaking() && mosquitto_want_write(handle_.get());
}

/// After a read, by what it has left in errno: EAGAIN when the socket had no more. What is worth
/// another look now are answers to what was published, and what follows a message; for the rest the
/// loop comes again.
bool Session::is_more_expected() const noexcept {
  const bool is_drained = errno == EAGAIN;
  const auto* const ssl = static_cast<const SSL*>(mosquitto_ssl_get(handle_.get()));
  if (ssl != nullptr && SSL_pending(ssl) > 0) {
    return true;  // decrypted already: no descriptor says so
  }
  if (wants_write()) {
    return has_input();  // to queue a packet may have left EAGAIN as well
  }
  return !is_drained && (unanswered_ > 0 || !harvest_.messages.empty());
}

bool Session::has_input() const noexcept {
  int bytes = 0;
  return ioctl(descriptor(), FIONREAD, &bytes) == 0 && bytes > 0;
}

bool Session::is_peer_gone() const noexcept {
  char byte = 0;
  const ssize_t n = recv(descriptor(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN);
}

void Session::check(int result) {
  if (result != MOSQ_ERR_SUCCESS && !loss_) {  // else on_disconnect has been here first
    lose(result, errno);
  }
}

void Session::lose(int result, int error_number) {
  if (connack_ && connack_->reason != 0) {
    loss_ =
        from_reason(settings_.version, Packet::kConnack, connack_->reason,
                    concat("the broker at ", settings_.url.to_string(), " refused the connection"));
    return;
  }
  if (result >= 0x80) {
    loss_ = from_reason(settings_.version, Packet::kDisconnect, static_cast<uint8_t>(result),
                        "the broker ended the connection");
    return;
  }
  const std::string what =
      concat(connack_ ? "the connection to " : "connecting to ", settings_.url.to_string());
  if (options_.tls && options_.tls->refusal().is_error()) {
    loss_ = Status(options_.tls->refusal()).with_context(what);
    return;
  }
  if (result == MOSQ_ERR_TLS || (options_.tls && error_number == EPROTO)) {
    // Perhaps only torn in the middle of its handshake: worth another try.
    loss_ = Status(BP_UNAVAILABLE, what, ": TLS: ", last_error_.empty() ? "broken" : last_error_)
                .with_native(result, "mosquitto");
    return;
  }
  loss_ =
      from_library(result == MOSQ_ERR_SUCCESS ? MOSQ_ERR_CONN_LOST : result, error_number, what);
}

Result<uint16_t> Session::publish(const Publication& publication) {
  int packet_id = 0;
  errno = 0;
  const int result = mosquitto_publish_v5(
      handle_.get(), &packet_id, publication.topic, static_cast<int>(publication.size),
      publication.payload, publication.qos, publication.retain, publication.properties);
  if (packet_id != 0) {
    last_packet_id_ = static_cast<uint16_t>(packet_id);
  }
  if (result != MOSQ_ERR_SUCCESS) {
    return from_library(result, errno, concat("publish to '", publication.topic, "'"));
  }
  ++unanswered_;
  return last_packet_id_;
}

Result<uint16_t> Session::subscribe(const std::string& filter, uint8_t qos,
                                    uint32_t subscription_id) {
  PropertyList properties;
  if (subscription_id > 0 && connack_ && connack_->subscription_ids) {
    properties.varint(MQTT_PROP_SUBSCRIPTION_IDENTIFIER, subscription_id);
  }
  int packet_id = 0;
  const int result =
      mosquitto_subscribe_v5(handle_.get(), &packet_id, filter.c_str(), qos, 0, properties.get());
  if (packet_id != 0) {
    last_packet_id_ = static_cast<uint16_t>(packet_id);
  }
  if (result != MOSQ_ERR_SUCCESS) {
    return from_library(result, errno, concat("subscribe to '", filter, "'"));
  }
  return last_packet_id_;
}

Status Session::unsubscribe(const std::string& filter) {
  int packet_id = 0;
  const int result = mosquitto_unsubscribe(handle_.get(), &packet_id, filter.c_str());
  if (packet_id != 0) {
    last_packet_id_ = static_cast<uint16_t>(packet_id);
  }
  return from_library(result, errno, concat("unsubscribe from '", filter, "'"));
}

void Session::disconnect(bool forget) {
  PropertyList properties;
  if (forget && settings_.has_properties() && options_.expiry_s > 0) {
    properties.int32(MQTT_PROP_SESSION_EXPIRY_INTERVAL, 0);
  }
  mosquitto_disconnect_v5(handle_.get(), 0, properties.get());
}

// ---- callbacks: collect, and nothing else ----

void Session::on_connect(mosquitto*, void* user, int reason, int flags,
                         const mosquitto_property* properties) noexcept {
  Session& self = of(user);
  mosquitto_log_callback_set(self.handle_.get(), nullptr);
  Connack connack;
  connack.reason = static_cast<uint8_t>(reason);
  connack.session_present = (flags & 1) != 0;
  uint8_t subscription_ids = self.settings_.has_properties() ? 1 : 0;
  uint8_t retain = 1;
  mosquitto_property_read_byte(properties, MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE, &subscription_ids,
                               false);
  mosquitto_property_read_byte(properties, MQTT_PROP_RETAIN_AVAILABLE, &retain, false);
  connack.subscription_ids = subscription_ids == 1;
  connack.retain_available = retain == 1;
  self.connack_ = connack;
}

void Session::on_disconnect(mosquitto*, void* user, int result,
                            const mosquitto_property*) noexcept {
  if (!of(user).loss_) {
    of(user).lose(result, errno);
  }
}

void Session::on_publish(mosquitto*, void* user, int packet_id, int reason,
                         const mosquitto_property*) noexcept {
  Session& self = of(user);
  self.unanswered_ -= self.unanswered_ > 0 ? 1 : 0;
  self.harvest_.published.push_back(
      {static_cast<uint16_t>(packet_id), static_cast<uint8_t>(reason)});
}

void Session::on_subscribe(mosquitto*, void* user, int packet_id, int n, const int* granted,
                           const mosquitto_property*) noexcept {
  const int reason = n > 0 ? granted[0] : MQTT_RC_UNSPECIFIED;
  of(user).harvest_.subscribed.push_back(
      {static_cast<uint16_t>(packet_id), static_cast<uint8_t>(reason)});
}

void Session::on_message(mosquitto*, void* user, const mosquitto_message* message,
                         const mosquitto_property* properties) noexcept {
  Session& self = of(user);
  if (static_cast<uint32_t>(message->payloadlen) > self.settings_.max_payload) {
    ++self.harvest_.too_large;
    return;
  }
  self.harvest_.messages.push_back(make_inbound(*message, properties));
}

void Session::on_log(mosquitto*, void* user, int level, const char* text) noexcept {
  if (level == MOSQ_LOG_ERR) {
    of(user).last_error_ = text;
  }
}

}  // namespace backplane::mqtt
