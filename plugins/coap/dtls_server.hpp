// SPDX-License-Identifier: Apache-2.0
// What a server's sessions with DTLS are proven by, and who their clients are. Loop thread only,
// but for the constructor. Design notes: dtls_session.hpp.
#pragma once

#include "handles.hpp"
#include "proof.hpp"
#include <backplane/sdk/line_limit.hpp>
#include <backplane/sdk/tls_credential.hpp>

#include <map>

namespace backplane::coap {

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
  /// A handshake has failed, or a session by an error; ended() follows.
  void refused(const coap_session_t* session);
  void ended(const coap_session_t* session, bool was_proven);
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
  void fail(const coap_session_t* session, std::string_view why);
  void tell_failure(const coap_session_t* session, std::string_view why);

  const Host& host_;
  tls::Credential own_;
  std::vector<std::unique_ptr<tls::Credential>> peers_;
  std::map<std::string, tls::Credential*> identities_;
  int64_t identities_read_ns_ = 0;
  std::map<std::string, int64_t> told_;  // peers whose certificate ends soon, and when it was said
  const coap_session_t* failed_ = nullptr;
  LineLimit failure_lines_{std::chrono::seconds(10)};
  const Counter failures_;
};

}  // namespace backplane::coap
