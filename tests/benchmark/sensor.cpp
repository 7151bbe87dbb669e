// SPDX-License-Identifier: Apache-2.0
#include "sensor.hpp"

#include "bench.hpp"
#include "coap_loopback.hpp"

#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <algorithm>
#include <arpa/inet.h>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <stdexcept>
#include <string_view>

namespace backplane::benchmark {
namespace {

constexpr int kPatienceMs = 10'000;
constexpr std::size_t kPayload = 16;

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(std::string("route: ") + what);
}

}  // namespace

class SensorAndSubscriber::World {
 public:
  World(std::uint16_t coap_port, std::uint16_t mqtt_port)
      : subscriber_((mosquitto_lib_init(), mosquitto_new(nullptr, true, this)), mosquitto_destroy),
        context_((coap_startup(), coap_new_context(nullptr)), coap_free_context) {
    subscribe(mqtt_port);
    require(context_ != nullptr, "libcoap gave no context");
    coap_set_log_level(LOG_EMERG);
    coap_register_response_handler(context_.get(), [](coap_session_t* session, const coap_pdu_t*,
                                                      const coap_pdu_t* received, coap_mid_t) {
      static_cast<World*>(coap_session_get_app_data(session))->on_answer(received);
      return COAP_RESPONSE_OK;
    });
    const coap_address_t gateway = coap_loopback(coap_port);
    session_ = coap_new_client_session(context_.get(), nullptr, &gateway, COAP_PROTO_UDP);
    require(session_ != nullptr, "no socket to the gateway");
    coap_session_set_app_data(session_, this);
    coap_session_set_nstart(session_, 256);
  }

  Result run(unsigned messages, unsigned outstanding) {
    messages_ = messages;
    sent_ = answered_ = received_ = 0;
    sent_ns_.assign(messages, 0);
    Result result;
    result.latencies_ns.reserve(messages);
    latencies_ = &result.latencies_ns;
    failure_ = nullptr;
    const std::int64_t begin = now_ns();
    while (through() < messages) {
      while (sent_ < messages && sent_ - through() < outstanding) put(sent_++);
      turn();
    }
    result.duration_ns = now_ns() - begin;
    return result;
  }

 private:
  static World& of(void* user) { return *static_cast<World*>(user); }
  unsigned through() const { return std::min(answered_, received_); }

  void subscribe(std::uint16_t port) {
    mosquitto* const m = subscriber_.get();
    mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_connect_callback_set(m, [](mosquitto* client, void*, int) {
      mosquitto_subscribe_v5(client, nullptr, "bench/value", 1, 0, nullptr);
    });
    mosquitto_subscribe_callback_set(
        m, [](mosquitto*, void* user, int, int, const int*) { of(user).subscribed_ = true; });
    mosquitto_message_v5_callback_set(
        m, [](mosquitto*, void* user, const mosquitto_message* message, const mosquitto_property*) {
          of(user).on_message(*message);
        });
    require(mosquitto_connect(m, "127.0.0.1", port, 600) == MOSQ_ERR_SUCCESS, "no broker");
    while (!subscribed_) turn();
  }

  void put(unsigned number) {
    coap_pdu_t* const request = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_PUT, session_);
    require(request != nullptr, "no memory");
    char text[kPayload + 1];
    std::snprintf(text, sizeof text, "%016u", number);
    coap_add_token(request, sizeof number, reinterpret_cast<const std::uint8_t*>(&number));
    coap_add_option(request, COAP_OPTION_URI_PATH, 5,
                    reinterpret_cast<const std::uint8_t*>("value"));
    coap_add_data(request, kPayload, reinterpret_cast<const std::uint8_t*>(text));
    sent_ns_[number] = now_ns();
    require(coap_send(session_, request) != COAP_INVALID_MID, "a PUT could not be sent");
  }
  void on_answer(const coap_pdu_t* answer) {
    if (coap_pdu_get_code(answer) != COAP_RESPONSE_CODE_CHANGED) failure_ = "a PUT was refused";
    ++answered_;
  }
  void on_message(const mosquitto_message& message) {
    const std::int64_t now = now_ns();
    char text[kPayload + 1] = {};
    if (message.payloadlen != kPayload) {
      failure_ = "the subscriber got something else";
      return;
    }
    std::copy_n(static_cast<const char*>(message.payload), kPayload, text);
    const auto number = static_cast<unsigned>(std::strtoul(text, nullptr, 10));
    if (number != received_ || number >= sent_) {
      failure_ = "a message was lost, came twice or out of order";
      return;
    }
    latencies_->push_back(now - sent_ns_[number]);
    ++received_;
  }

  // Waits, and does what there is to be done.
  void turn() {
    mosquitto* const m = subscriber_.get();
    pollfd sockets[2] = {{mosquitto_socket(m), POLLIN, 0},
                         {coap_context_get_coap_fd(context_.get()), POLLIN, 0}};
    require(poll(sockets, 2, kPatienceMs) > 0, "a message was lost: nothing comes any more");
    if ((sockets[0].revents & POLLIN) != 0)
      require(mosquitto_loop_read(m, 1) == MOSQ_ERR_SUCCESS, "the subscriber lost its broker");
    if ((sockets[1].revents & POLLIN) != 0) coap_io_process(context_.get(), COAP_IO_NO_WAIT);
    if (mosquitto_want_write(m)) mosquitto_loop_write(m, 1);
    require(failure_ == nullptr, failure_);
  }

  const std::unique_ptr<mosquitto, void (*)(mosquitto*)> subscriber_;
  const std::unique_ptr<coap_context_t, void (*)(coap_context_t*)> context_;
  coap_session_t* session_ = nullptr;  // the context's
  bool subscribed_ = false;
  unsigned messages_ = 0;
  unsigned sent_ = 0;
  unsigned answered_ = 0;
  unsigned received_ = 0;
  std::vector<std::int64_t> sent_ns_;
  std::vector<std::int64_t>* latencies_ = nullptr;
  const char* failure_ = nullptr;
};

SensorAndSubscriber::SensorAndSubscriber(std::uint16_t coap_port, std::uint16_t mqtt_port)
    : world_(std::make_unique<World>(coap_port, mqtt_port)) {}
SensorAndSubscriber::~SensorAndSubscriber() = default;

SensorAndSubscriber::Result SensorAndSubscriber::run(unsigned messages, unsigned outstanding) {
  return world_->run(messages, outstanding);
}

}  // namespace backplane::benchmark
