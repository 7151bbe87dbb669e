// SPDX-License-Identifier: Apache-2.0
// DTLS 1.2 (RFC 6347; RFC 7252, section 9): what client and server set on OpenSSL's object of a
// session.
//
// Design notes.
// - libcoap 4.3.1 has one set of DTLS settings for all sessions of a context, adds authorities to a
//   store that it never empties, shows a certificate without its chain, and compares one name of
//   the peer's. So both roles give it the same empty settings, under which nobody is trusted, and
//   all that counts is set on OpenSSL's object of each session before the peer can have proven
//   anything: a server's in the library's hook inside ClientHello, a client's when its own
//   ClientHello is on its way.
// - Each handshake reads the credential anew. Nobody resumes an earlier session or negotiates
//   within one, so that what a session was proven by is what it goes on with.
// - With a wrong pre-shared key nobody can read the other's last message, and DTLS passes over what
//   cannot be read. So only the silence after the key exchange tells it.
#pragma once

#include "handles.hpp"
#include <backplane/sdk/tls.hpp>

namespace backplane::coap {

inline SSL* ssl_of(const coap_session_t* session) noexcept {
  return static_cast<SSL*>(coap_session_get_tls(session, nullptr));
}
inline coap_session_t* session_of(const SSL* ssl) noexcept {
  return static_cast<coap_session_t*>(SSL_get_app_data(ssl));
}

/// What the library gets from both roles: nobody is trusted, and the server's hook. `server_name`:
/// for SNI, or null.
coap_dtls_pki_t empty_setup(char* server_name) noexcept;

/// The peer must show a certificate of one of these authorities.
void verify_by(SSL* ssl, X509_STORE* authorities);
void verify_nobody(SSL* ssl) noexcept;
/// Our certificate, if we have one. Throws Error.
void show(SSL* ssl, const tls::Material& material);
/// Whether both sides have proven a pre-shared key, once the handshake is over.
bool is_psk(const SSL* ssl) noexcept;

}  // namespace backplane::coap
