// SPDX-License-Identifier: Apache-2.0
// The baseline libcoap_raw as a client.
#include "coap_client.hpp"
#include "coap_raw.hpp"

namespace backplane::benchmark {
namespace {

class RawCoapClient final : public CoapClient {
 public:
  RawCoapClient(std::uint16_t port, std::uint16_t nstart) : context_(raw_coap_context()) {
    coap_set_app_data(context_.get(), this);
    coap_register_response_handler(context_.get(), [](coap_session_t* session, const coap_pdu_t*,
                                                      const coap_pdu_t* received, coap_mid_t) {
      of(session).on_response(received);
      return COAP_RESPONSE_OK;
    });
    coap_register_nack_handler(context_.get(),
                               [](coap_session_t* session, const coap_pdu_t*, coap_nack_reason_t,
                                  coap_mid_t) { of(session).fail("a request was not answered"); });
    const coap_address_t address = coap_loopback(port);
    session_.reset(coap_new_client_session(context_.get(), nullptr, &address, COAP_PROTO_UDP));
    if (!session_) throw std::runtime_error("libcoap gave no session");
    coap_session_set_nstart(session_.get(), nstart);
  }

  void observe() override {
    begin({"value", "", kCoapValue.size(), false}, 1, nullptr);
    take();
    observation_ = send(true);
    pump();
  }

  void run(const CoapWork& work, std::size_t operations, std::size_t outstanding,
           std::vector<std::int64_t>* latencies) override {
    begin(work, operations, latencies);
    for (std::size_t i = 0; i < outstanding && take(); ++i) send(false);
    pump();
  }

 private:
  static RawCoapClient& of(coap_session_t* session) {
    return *static_cast<RawCoapClient*>(coap_get_app_data(coap_session_get_context(session)));
  }
  static const std::uint8_t* bytes(const std::string& text) {
    return reinterpret_cast<const std::uint8_t*>(text.data());
  }

  void pump() {
    while (!is_over()) raw_coap_turn(context_.get(), 1000);
    check();
  }

  // Returns the token.
  std::string send(bool is_registration) {
    coap_session_t* const session = session_.get();
    const auto method = work_.payload.empty() ? COAP_REQUEST_CODE_GET : COAP_REQUEST_CODE_PUT;
    coap_pdu_t* const pdu = coap_new_pdu(COAP_MESSAGE_CON, method, session);
    std::uint8_t token[8];
    std::size_t size = sizeof token;
    coap_session_new_token(session, &size, token);
    coap_add_token(pdu, size, token);
    if (is_registration) add_coap_uint(pdu, COAP_OPTION_OBSERVE, COAP_OBSERVE_ESTABLISH);
    coap_add_option(pdu, COAP_OPTION_URI_PATH, work_.path.size(), bytes(work_.path));
    if (!work_.payload.empty()) {
      add_coap_uint(pdu, COAP_OPTION_CONTENT_FORMAT, COAP_MEDIATYPE_TEXT_PLAIN);
      coap_add_data(pdu, work_.payload.size(), bytes(work_.payload));
    }
    if (coap_send(session, pdu) == COAP_INVALID_MID) fail("a request could not be sent");
    return {reinterpret_cast<const char*>(token), size};
  }

  void on_response(const coap_pdu_t* received) {
    if (COAP_RESPONSE_CLASS(coap_pdu_get_code(received)) != 2) fail("a request was refused");
    std::size_t size = 0;
    std::size_t offset = 0;
    std::size_t total = 0;
    const std::uint8_t* data = nullptr;
    coap_get_data_large(received, &size, &data, &offset, &total);
    const coap_bin_const_t token = coap_pdu_get_token(received);
    const bool is_notification =
        observation_ == std::string_view(reinterpret_cast<const char*>(token.s), token.length);
    if (part(is_notification, size) && take()) send(false);
  }

  RawCoapContext context_;
  RawCoapSession session_;
  std::string observation_;
};

}  // namespace

std::shared_ptr<CoapClient> raw_coap_client(std::uint16_t port, std::uint16_t nstart) {
  return std::make_shared<RawCoapClient>(port, nstart);
}

}  // namespace backplane::benchmark
