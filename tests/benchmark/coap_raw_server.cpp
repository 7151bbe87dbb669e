// SPDX-License-Identifier: Apache-2.0
// backplane-bench-coap-server PORT: the baseline libcoap_raw as a server, with the resources of
// coap_benchmark.cpp.
#include "coap_client.hpp"
#include "coap_raw.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace backplane::benchmark {
namespace {

struct Value {
  std::string body;
  std::uint64_t version = 1;
};

Value& value_of(coap_resource_t* resource) {
  return *static_cast<Value*>(coap_resource_get_userdata(resource));
}
const std::uint8_t* bytes(const std::string& text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

void get(coap_resource_t* resource, coap_session_t*, const coap_pdu_t*, const coap_string_t*,
         coap_pdu_t* response) {
  const Value& value = value_of(resource);
  std::uint8_t etag[sizeof value.version];
  std::memcpy(etag, &value.version, sizeof etag);
  coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
  coap_add_option(response, COAP_OPTION_ETAG, sizeof etag, etag);
  add_coap_uint(response, COAP_OPTION_CONTENT_FORMAT, COAP_MEDIATYPE_TEXT_PLAIN);
  coap_add_data(response, value.body.size(), bytes(value.body));
}

void get_large(coap_resource_t* resource, coap_session_t* session, const coap_pdu_t* request,
               const coap_string_t* query, coap_pdu_t* response) {
  const Value& value = value_of(resource);
  coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
  coap_add_data_large_response(resource, session, request, response, query,
                               COAP_MEDIATYPE_TEXT_PLAIN, -1, value.version, value.body.size(),
                               bytes(value.body), nullptr, nullptr);
}

void put(coap_resource_t* resource, coap_session_t*, const coap_pdu_t* request,
         const coap_string_t*, coap_pdu_t* response) {
  Value& value = value_of(resource);
  std::size_t size = 0;
  const std::uint8_t* data = nullptr;
  coap_get_data(request, &size, &data);
  value.body.assign(reinterpret_cast<const char*>(data), size);
  ++value.version;
  coap_resource_notify_observers(resource, nullptr);
  coap_pdu_set_code(response, COAP_RESPONSE_CODE_CHANGED);
}

void add(coap_context_t* context, const char* path, Value& value, coap_method_handler_t on_get) {
  coap_resource_t* const resource =
      coap_resource_init(coap_make_str_const(path), COAP_RESOURCE_FLAGS_NOTIFY_CON);
  coap_resource_set_userdata(resource, &value);
  coap_resource_set_get_observable(resource, 1);
  coap_register_request_handler(resource, COAP_REQUEST_GET, on_get);
  coap_register_request_handler(resource, COAP_REQUEST_PUT, put);
  coap_add_resource(context, resource);
}

int serve(std::uint16_t port) {
  const RawCoapContext context = raw_coap_context();
  const coap_address_t address = coap_loopback(port);
  if (coap_new_endpoint(context.get(), &address, COAP_PROTO_UDP) == nullptr) {
    std::fprintf(stderr, "backplane-bench-coap-server: the port cannot be bound\n");
    return 1;
  }
  Value value{std::string(kCoapValue)};
  Value large{std::string(kCoapLarge, 'x')};
  add(context.get(), "value", value, get);
  add(context.get(), "large", large, get_large);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) raw_coap_turn(context.get(), -1);
}

}  // namespace
}  // namespace backplane::benchmark

int main(int argc, char** argv) {
  return backplane::benchmark::serve(static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0));
}
