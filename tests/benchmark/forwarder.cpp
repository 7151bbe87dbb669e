// SPDX-License-Identifier: Apache-2.0
// What a route from CoAP to MQTT is by hand: `forwarder COAP_PORT MQTT_PORT`, on bare libcoap and
// libmosquitto, one thread. A PUT on /value is published with QoS 1 on bench/value, and answered
// when the broker has acknowledged it. With a third argument, OPCUA_PORT, it has a server of bare
// open62541 besides, and the value goes through its variable ns=1;s=Value.
#include "coap_loopback.hpp"

#ifdef BP_BENCH_OPCUA
#include <open62541/server.h>
#include <open62541/server_config_default.h>
#endif

#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <unordered_map>

namespace {

struct Request {
  coap_session_t* session;
  std::size_t token_size;
  std::uint8_t token[8];
};

mosquitto* broker = nullptr;
mosquitto_property* properties = nullptr;
std::unordered_map<int, Request> held;  // by packet identifier

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "forwarder: %s\n", what);
  std::exit(1);
}

int last_id = 0;  // of the last publication

void publish(const std::uint8_t* data, std::size_t size) {
  require(mosquitto_publish_v5(broker, &last_id, "bench/value", static_cast<int>(size), data, 1,
                               false, properties) == MOSQ_ERR_SUCCESS,
          "publish");
}

#ifdef BP_BENCH_OPCUA
UA_Server* plant = nullptr;

UA_NodeId value_id() { return UA_NODEID_STRING(1, const_cast<char*>("Value")); }

void serve_on(std::uint16_t port) {
  UA_ServerConfig config{};
  static UA_Logger silent{[](void*, UA_LogLevel, UA_LogCategory, const char*, va_list) {}, nullptr,
                          nullptr};
  config.logging = &silent;
  require(UA_ServerConfig_setMinimal(&config, port, nullptr) == UA_STATUSCODE_GOOD, "OPC UA");
  plant = UA_Server_newWithConfig(&config);
  UA_VariableAttributes attributes = UA_VariableAttributes_default;
  attributes.dataType = UA_TYPES[UA_TYPES_BYTESTRING].typeId;
  attributes.accessLevel = UA_ACCESSLEVELMASK_READ | UA_ACCESSLEVELMASK_WRITE;
  UA_ValueCallback callback{};
  callback.onWrite = [](UA_Server*, const UA_NodeId*, void*, const UA_NodeId*, void*,
                        const UA_NumericRange*, const UA_DataValue* value) {
    const auto& bytes = *static_cast<const UA_ByteString*>(value->value.data);
    publish(bytes.data, bytes.length);
  };
  require(UA_Server_addVariableNode(plant, value_id(), UA_NODEID_NUMERIC(0, UA_NS0ID_OBJECTSFOLDER),
                                    UA_NODEID_NUMERIC(0, UA_NS0ID_ORGANIZES),
                                    UA_QUALIFIEDNAME(1, const_cast<char*>("Value")),
                                    UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATAVARIABLETYPE), attributes,
                                    nullptr, nullptr) == UA_STATUSCODE_GOOD,
          "variable");
  require(
      UA_Server_setVariableNode_valueCallback(plant, value_id(), callback) == UA_STATUSCODE_GOOD &&
          UA_Server_run_startup(plant) == UA_STATUSCODE_GOOD,
      "the OPC UA port cannot be bound");
}

void forward(const std::uint8_t* data, std::size_t size) {
  if (plant == nullptr) return publish(data, size);
  UA_ByteString bytes{size, const_cast<UA_Byte*>(data)};
  UA_Variant value;
  UA_Variant_setScalar(&value, &bytes, &UA_TYPES[UA_TYPES_BYTESTRING]);
  require(UA_Server_writeValue(plant, value_id(), value) == UA_STATUSCODE_GOOD, "write");
}
void serve() {
  if (plant != nullptr) UA_Server_run_iterate(plant, false);
}
#else
void serve_on(std::uint16_t) { require(false, "it was built without OPC UA"); }
void forward(const std::uint8_t* data, std::size_t size) { publish(data, size); }
void serve() {}
#endif

// Leaves the response empty: libcoap acknowledges the datagram, and the answer is sent later.
void on_put(coap_resource_t*, coap_session_t* session, const coap_pdu_t* request,
            const coap_string_t*, coap_pdu_t*) {
  std::size_t size = 0;
  const std::uint8_t* data = nullptr;
  coap_get_data(request, &size, &data);
  forward(data, size);
  const coap_bin_const_t token = coap_pdu_get_token(request);
  require(token.length <= sizeof Request::token, "token");
  Request& entry = held[last_id];
  entry.session = coap_session_reference(session);
  entry.token_size = token.length;
  std::memcpy(entry.token, token.s, token.length);
}

void on_published(mosquitto*, void*, int id, int, const mosquitto_property*) {
  const auto found = held.find(id);
  require(found != held.end(), "PUBACK of nothing");
  const Request& entry = found->second;
  coap_pdu_t* const answer =
      coap_new_pdu(COAP_MESSAGE_CON, COAP_RESPONSE_CODE_CHANGED, entry.session);
  require(answer != nullptr, "no memory");
  coap_add_token(answer, entry.token_size, entry.token);
  coap_send(entry.session, answer);
  coap_session_release(entry.session);
  held.erase(found);
}

coap_context_t* listen_on(std::uint16_t port) {
  coap_startup();
  coap_set_log_level(LOG_EMERG);
  coap_context_t* const context = coap_new_context(nullptr);
  const coap_address_t address = backplane::benchmark::coap_loopback(port);
  require(context != nullptr && coap_new_endpoint(context, &address, COAP_PROTO_UDP) != nullptr,
          "the CoAP port cannot be bound");
  coap_resource_t* const resource = coap_resource_init(coap_make_str_const("value"), 0);
  coap_register_request_handler(resource, COAP_REQUEST_PUT, on_put);
  coap_add_resource(context, resource);
  return context;
}

void connect_to(std::uint16_t port) {
  mosquitto_lib_init();
  broker = mosquitto_new(nullptr, true, nullptr);
  mosquitto_int_option(broker, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  mosquitto_int_option(broker, MOSQ_OPT_TCP_NODELAY, 1);
  mosquitto_int_option(broker, MOSQ_OPT_SEND_MAXIMUM, 256);
  mosquitto_publish_v5_callback_set(broker, on_published);
  require(mosquitto_connect(broker, "127.0.0.1", port, 600) == MOSQ_ERR_SUCCESS, "no broker");
  mosquitto_property_add_string(&properties, MQTT_PROP_CONTENT_TYPE, "application/json");
}

}  // namespace

int main(int argc, char** argv) {
  require(argc == 3 || argc == 4, "usage: forwarder COAP_PORT MQTT_PORT [OPCUA_PORT]");
  if (argc == 4) serve_on(static_cast<std::uint16_t>(std::atoi(argv[3])));
  connect_to(static_cast<std::uint16_t>(std::atoi(argv[2])));
  coap_context_t* const context = listen_on(static_cast<std::uint16_t>(std::atoi(argv[1])));
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    pollfd sockets[2] = {{mosquitto_socket(broker), POLLIN, 0},
                         {coap_context_get_coap_fd(context), POLLIN, 0}};
    if (mosquitto_want_write(broker)) sockets[0].events |= POLLOUT;
    poll(sockets, 2, 1000);
    require(mosquitto_loop_misc(broker) == MOSQ_ERR_SUCCESS, "the broker has gone");
    if ((sockets[0].revents & POLLIN) != 0)
      require(mosquitto_loop_read(broker, 1) == MOSQ_ERR_SUCCESS, "the broker has gone");
    if ((sockets[1].revents & POLLIN) != 0) coap_io_process(context, COAP_IO_NO_WAIT);
    if (mosquitto_want_write(broker)) mosquitto_loop_write(broker, 1);
    serve();
  }
}
