// SPDX-License-Identifier: Apache-2.0
#include "dtls_session.hpp"

#include "dtls_server.hpp"

namespace backplane::coap {
namespace {

/// In place of the library's, which has its own idea of what may pass.
int as_verified(int verified, X509_STORE_CTX*) noexcept { return verified; }

}  // namespace

coap_dtls_pki_t empty_setup(char* server_name) noexcept {
  coap_dtls_pki_t setup{};
  setup.version = COAP_DTLS_PKI_SETUP_VERSION;
  setup.verify_peer_cert = 1;
  setup.additional_tls_setup_call_back = DtlsServer::hook();
  setup.client_sni = server_name;
  setup.pki_key.key_type = COAP_PKI_KEY_PEM;
  return setup;
}

void verify_by(SSL* ssl, X509_STORE* authorities) {
  SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, &as_verified);
  SSL_set1_verify_cert_store(ssl, authorities);
}

void verify_nobody(SSL* ssl) noexcept { SSL_set_verify(ssl, SSL_VERIFY_NONE, &as_verified); }

void show(SSL* ssl, const tls::Material& material) {
  if (material.certificate &&
      SSL_use_cert_and_key(ssl, material.certificate.get(), material.key.get(),
                           material.chain.get(), 1) != 1) {
    throw Error(BP_INVALID_ARGUMENT, "our certificate cannot be used: ", tls::library_error());
  }
}

bool is_psk(const SSL* ssl) noexcept {
  const SSL_CIPHER* const cipher = SSL_get_current_cipher(ssl);
  const int exchange = cipher != nullptr ? SSL_CIPHER_get_kx_nid(cipher) : NID_undef;
  return exchange == NID_kx_psk || exchange == NID_kx_dhe_psk || exchange == NID_kx_ecdhe_psk ||
         exchange == NID_kx_rsa_psk;
}

}  // namespace backplane::coap
