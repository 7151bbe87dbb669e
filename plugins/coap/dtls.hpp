// SPDX-License-Identifier: Apache-2.0
// DTLS 1.2 (RFC 6347, RFC 7252 section 9) of an instance: what its sessions are proven by. Loop
// thread only, but for the constructors.
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
#include "proof.hpp"
#include <backplane/sdk/tls.hpp>

#include <map>

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

class DtlsServer {
 public:
  /// `peers`: the credentials whose pre-shared keys let a client in, besides our own.
  DtlsServer(const Host& host, const std::string& credential,
             const std::vector<std::string>& peers);

  /// From now on the context can have a DTLS endpoint. Throws Error when there is nothing that a
  /// handshake could succeed by.
  void start(coap_context_t* context);
  /// Of a session whose handshake is over.
  Proof proof(const coap_session_t* session);
  /// A handshake has failed, or a session has ended by an error.
  void refused(const coap_session_t* session);
  /// What the library calls inside ClientHello. Whoever gives the context settings gives it this.
  static coap_dtls_security_setup_t hook() noexcept;

 private:
  static DtlsServer& of(const SSL* ssl) noexcept;
  static int prepare(void* ssl, coap_dtls_pki_t* setup) noexcept;
  static unsigned give_psk(SSL* ssl, const char* identity, unsigned char* psk,
                           unsigned max_psk) noexcept;
  void prepare(SSL* ssl);
  void read_identities();
  std::shared_ptr<const tls::Material> keys_of(const std::string& identity);
  void tell_expiry(X509& certificate);

  const Host& host_;
  tls::Credential own_;
  std::vector<std::unique_ptr<tls::Credential>> peers_;
  std::map<std::string, tls::Credential*> identities_;
  int64_t identities_read_ns_ = 0;
  std::map<std::string, int64_t> told_;  // peers whose certificate ends soon, and when it was said
  int64_t refusal_logged_ns_ = 0;
  uint64_t refusals_unlogged_ = 0;
  const Counter refused_;
};

}  // namespace backplane::coap
