// SPDX-License-Identifier: Apache-2.0
#include "dtls_client.hpp"

#include "dtls_session.hpp"
#include "instance.hpp"

namespace backplane::coap {

DtlsClient::DtlsClient(const Host& host, std::string credential, std::string name)
    : credential_(host, std::move(credential)),
      name_(std::move(name)),
      peer_expiry_(host, "peer") {}

DtlsClient& DtlsClient::of(const SSL* ssl) noexcept {
  return Instance::of(session_of(ssl)).client->dtls();
}

/// ClientHello is made inside: what it says is known to the library by then.
Session DtlsClient::begin(coap_context_t* context, const coap_address_t& address) {
  char* const server_name = tls::is_address(name_) ? nullptr : name_.data();
  if (!material_->psk) {
    coap_dtls_pki_t setup = empty_setup(server_name);
    return Session(
        coap_new_client_session_pki(context, nullptr, &address, COAP_PROTO_DTLS, &setup));
  }
  static constexpr uint8_t kPlaceholder[] = {
      0};  // the library wants a key to keep; ours is not kept
  coap_dtls_cpsk_t setup{};
  setup.version = COAP_DTLS_CPSK_SETUP_VERSION;
  setup.client_sni = server_name;
  setup.psk_info.identity = {sizeof kPlaceholder, kPlaceholder};
  setup.psk_info.key = {sizeof kPlaceholder, kPlaceholder};
  return Session(coap_new_client_session_psk2(context, nullptr, &address, COAP_PROTO_DTLS, &setup));
}

Session DtlsClient::connect(coap_context_t* context, const coap_address_t& address) {
  material_ = credential_.fetch();
  Session session = begin(context, address);
  if (!session) {
    return session;
  }
  SSL* const ssl = ssl_of(session.get());
  SSL_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
  if (material_->psk) {
    SSL_set_psk_client_callback(ssl, &DtlsClient::give_psk);
    return session;
  }
  tls::TrustStore system;
  if (!material_->authorities) {
    system = tls::system_authorities();
  }
  verify_by(ssl, material_->authorities ? material_->authorities.get() : system.get());
  tls::require_name(SSL_get0_param(ssl), name_);
  show(ssl, *material_);
  return session;
}

bool DtlsClient::is_proven(const coap_session_t* session) {
  SSL* const ssl = ssl_of(session);
  if (material_->psk) {
    return is_psk(ssl);
  }
  X509* const certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) {
    return false;
  }
  peer_expiry_.watch(*certificate);
  return true;
}

Status DtlsClient::silence(const coap_session_t* session) {
  const SSL* const ssl = ssl_of(session);
  if (ssl == nullptr || SSL_get_state(ssl) != TLS_ST_CW_FINISHED) {
    return Status(BP_UNAVAILABLE, "the peer does not answer the DTLS handshake");
  }
  return Status(BP_UNAUTHENTICATED, is_psk(ssl)
                                        ? "the peer is silent since our pre-shared key was used: "
                                          "it has another one for our identity"
                                        : "the peer is silent since the keys were exchanged");
}

unsigned DtlsClient::give_psk(SSL* ssl, const char*, char* identity, unsigned max_identity,
                              unsigned char* psk, unsigned max_psk) noexcept {
  const tls::Material& material = *of(ssl).material_;
  if (material.psk_identity.size() + 1 > max_identity) {
    return 0;
  }
  std::memcpy(identity, material.psk_identity.c_str(), material.psk_identity.size() + 1);
  return material.psk.copy_to(psk, max_psk);
}

}  // namespace backplane::coap
