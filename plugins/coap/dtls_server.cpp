// SPDX-License-Identifier: Apache-2.0
#include "dtls_server.hpp"

#include "address.hpp"
#include "dtls_session.hpp"
#include "instance.hpp"

namespace backplane::coap {
namespace {

constexpr auto kReadIdentitiesEvery = std::chrono::seconds(1);
constexpr size_t kMostTold = 1024;

}  // namespace

DtlsServer::DtlsServer(const Host& host, const std::string& credential,
                       const std::vector<std::string>& peers)
    : host_(host), own_(host, credential), failures_(host.counter("coap_handshakes_failed_total")) {
  for (const std::string& peer : peers) {
    peers_.push_back(std::make_unique<tls::Credential>(host, peer));
  }
}

DtlsServer& DtlsServer::of(const SSL* ssl) noexcept {
  return Instance::of(session_of(ssl)).server->dtls();
}

coap_dtls_security_setup_t DtlsServer::hook() noexcept { return &DtlsServer::prepare; }

void DtlsServer::start(coap_context_t* context) {
  const auto material = own_.fetch();
  read_identities();
  if (!material->certificate && identities_.empty()) {
    throw Error(BP_INVALID_ARGUMENT,
                "configuration: 'listen' is coaps: and no credential has a certificate and key, or "
                "a psk_identity and psk");
  }
  const coap_dtls_pki_t setup = empty_setup(nullptr);
  if (coap_context_set_pki(context, &setup) != 1) {
    throw Error(BP_INTERNAL, "libcoap takes no DTLS settings");
  }
}

/// Zero ends the handshake.
int DtlsServer::prepare(void* of_library, coap_dtls_pki_t*) noexcept {
  auto* const ssl = static_cast<SSL*>(of_library);
  Status failed;
  boundary([&] { of(ssl).prepare(ssl); }, [&](const Status& status) noexcept { failed = status; });
  if (failed.is_error()) {
    boundary([&] { of(ssl).fail(session_of(ssl), failed.message()); },
             [](const Status&) noexcept {});
  }
  return failed.is_ok() ? 1 : 0;
}

void DtlsServer::prepare(SSL* ssl) {
  ERR_clear_error();  // of the library's own attempt, which has nothing to show
  const auto material = own_.fetch();
  SSL_CTX_set_session_cache_mode(SSL_get_SSL_CTX(ssl), SSL_SESS_CACHE_OFF);
  SSL_set_options(ssl,
                  SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // As the library's, whatever the system's default is: nobody stays anonymous.
  SSL_set_cipher_list(ssl, "TLSv1.2:!aNULL:!eNULL");
  show(ssl, *material);
  if (material->authorities) {
    verify_by(ssl, material->authorities.get());
  } else {
    verify_nobody(ssl);
  }
  if (!identities_.empty()) {
    SSL_set_psk_server_callback(ssl, &DtlsServer::give_psk);
  }
}

/// Which identity is whose. A broken credential keeps what it had.
void DtlsServer::read_identities() {
  identities_read_ns_ = monotonic_ns();
  std::map<std::string, tls::Credential*> found;
  const auto add = [&](tls::Credential& credential, const tls::Material& material) {
    if (!found.emplace(material.psk_identity, &credential).second) {
      host_.log().warning("two credentials have the same psk_identity; the first one counts",
                          {{"identity", material.psk_identity}, {"second", credential.name()}});
    }
  };
  if (const auto own = own_.fetch(); own->psk) {
    add(own_, *own);
  }
  for (const auto& peer : peers_) {
    const auto material = peer->fetch();
    if (!material->psk) {
      throw Error(BP_INVALID_ARGUMENT, "configuration: 'peers' names the credential '",
                  peer->name(), "', which has no psk_identity and psk");
    }
    add(*peer, *material);
  }
  identities_ = std::move(found);
}

/// Null: nobody's. The files of one credential are read, or of all when the identity is a new one,
/// which is done once a second at most.
std::shared_ptr<const tls::Material> DtlsServer::keys_of(const std::string& identity) {
  for (const bool is_again : {false, true}) {
    if (is_again) {
      if (monotonic_ns() - identities_read_ns_ <
          std::chrono::nanoseconds(kReadIdentitiesEvery).count()) {
        break;
      }
      read_identities();
    }
    if (const auto found = identities_.find(identity); found != identities_.end()) {
      auto material = found->second->fetch();
      if (material->psk && material->psk_identity == identity) {
        return material;
      }
    }
  }
  return nullptr;
}

unsigned DtlsServer::give_psk(SSL* ssl, const char* identity, unsigned char* psk,
                              unsigned max_psk) noexcept {
  unsigned size = 0;
  boundary(
      [&] {
        if (const auto material = of(ssl).keys_of(identity != nullptr ? identity : "")) {
          size = material->psk.copy_to(psk, max_psk);
        }
      },
      [](const Status&) noexcept {});
  return size;
}

Proof DtlsServer::proof(const coap_session_t* session) {
  Proof proof;
  SSL* const ssl = ssl_of(session);
  if (is_psk(ssl)) {
    const char* const identity = SSL_get_psk_identity(ssl);
    proof.user = identity != nullptr ? identity : "";
    return proof;
  }
  X509* const certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) {
    return proof;
  }
  proof.user = tls::common_name(*certificate);
  proof.certificate.resize(static_cast<size_t>(std::max(0, i2d_X509(certificate, nullptr))));
  auto* to = reinterpret_cast<unsigned char*>(proof.certificate.data());
  i2d_X509(certificate, &to);
  tell_expiry(*certificate);
  return proof;
}

/// Once a day for each of them.
void DtlsServer::tell_expiry(X509& certificate) {
  const int64_t now = std::time(nullptr);
  const auto expiry = tls::Expiry::of(certificate, now);
  if (expiry.level > BP_LOG_WARNING) {
    return;
  }
  if (told_.size() >= kMostTold) {
    told_.clear();
  }
  const std::string name = tls::common_name(certificate);
  int64_t& told = told_[name];
  if (now - told >= tls::Expiry::kDay) {
    told = now;
    host_.log().write(expiry.level, "a peer's certificate ends",
                      {{"subject", name}, {"reason", expiry.text}});
  }
}

void DtlsServer::refused(const coap_session_t* session) {
  fail(session, tls::handshake_error(ssl_of(session)).message());
}

/// What comes next is no failure of its own: an error of the library, the end of the session.
void DtlsServer::fail(const coap_session_t* session, std::string_view why) {
  if (std::exchange(failed_, session) != session) {
    tell_failure(session, why);
  }
}

void DtlsServer::ended(const coap_session_t* session, bool was_proven) {
  if (std::exchange(failed_, nullptr) != session && !was_proven) {
    tell_failure(session,
                 "the client has not finished the handshake; with a wrong pre-shared key neither "
                 "side can read the other");
  }
}

/// A peer can cause any number of them.
void DtlsServer::tell_failure(const coap_session_t* session, std::string_view why) {
  failures_.add();
  const auto left_out = failure_lines_.next(monotonic_ns());
  if (!left_out) {
    return;
  }
  host_.log().warning("a DTLS session was refused or has failed",
                      {{"peer", to_text(*coap_session_get_addr_remote(session))},
                       {"reason", why},
                       {"not_logged_before", *left_out}});
}

}  // namespace backplane::coap
