// SPDX-License-Identifier: Apache-2.0
// What a client's sessions with DTLS are proven by. Loop thread only, but for the constructor.
// Design notes: dtls_session.hpp.
#pragma once

#include "handles.hpp"
#include <backplane/sdk/tls_credential.hpp>

namespace backplane::coap {

class DtlsClient {
 public:
  /// `name`: that the peer's certificate must have, a host name or an address.
  DtlsClient(const Host& host, std::string credential, std::string name);

  /// Begins a handshake. Throws Error.
  Session connect(coap_context_t* context, const coap_address_t& address);
  /// The handshake is over: whether the peer has proven to be the one that we want.
  bool is_proven(const coap_session_t* session);
  /// Why nothing has come for too long. During the handshake.
  static Status silence(const coap_session_t* session);

 private:
  static DtlsClient& of(const SSL* ssl) noexcept;
  static unsigned give_psk(SSL* ssl, const char* hint, char* identity, unsigned max_identity,
                           unsigned char* psk, unsigned max_psk) noexcept;
  Session begin(coap_context_t* context, const coap_address_t& address);

  tls::Credential credential_;
  std::string name_;
  tls::ExpiryWatch peer_expiry_;
  std::shared_ptr<const tls::Material> material_;  // of the session
};

}  // namespace backplane::coap
