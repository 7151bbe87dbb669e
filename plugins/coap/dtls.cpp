// SPDX-License-Identifier: Apache-2.0
#include "dtls.hpp"

#include "address.hpp"
#include "instance.hpp"

namespace backplane::coap {
namespace {

constexpr auto kReadIdentitiesEvery = std::chrono::seconds(1);
constexpr auto kLogRefusalsEvery = std::chrono::seconds(10);
constexpr size_t kMostTold = 1024;

SSL* ssl_of(const coap_session_t* session) noexcept {
  return static_cast<SSL*>(coap_session_get_tls(session, nullptr));
}

/// What both roles give the library: nobody is trusted.
coap_dtls_pki_t empty_setup(char* server_name) noexcept {
  coap_dtls_pki_t setup{};
  setup.version = COAP_DTLS_PKI_SETUP_VERSION;
  setup.verify_peer_cert = 1;
  setup.additional_tls_setup_call_back = DtlsServer::hook();
  setup.client_sni = server_name;
  setup.pki_key.key_type = COAP_PKI_KEY_PEM;
  return setup;
}

/// In place of the library's, which has its own idea of what may pass.
int as_verified(int verified, X509_STORE_CTX*) noexcept { return verified; }

void verify_by(SSL* ssl, X509_STORE* authorities) {
  SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, &as_verified);
  SSL_set1_verify_cert_store(ssl, authorities);
}

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

coap_session_t* session_of(const SSL* ssl) noexcept {
  return static_cast<coap_session_t*>(SSL_get_app_data(ssl));
}

}  // namespace

// ---- client ----

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
  static const uint8_t kPlaceholder[] = {0};  // the library wants a key to keep; ours is not kept
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

// ---- server ----

DtlsServer::DtlsServer(const Host& host, const std::string& credential,
                       const std::vector<std::string>& peers)
    : host_(host), own_(host, credential), refused_(host.counter("coap_handshakes_failed_total")) {
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
int DtlsServer::prepare(void* ssl, coap_dtls_pki_t*) noexcept {
  int done = 0;
  boundary(
      [&] {
        of(static_cast<SSL*>(ssl)).prepare(static_cast<SSL*>(ssl));
        done = 1;
      },
      [&](const Status& status) noexcept {
        of(static_cast<SSL*>(ssl))
            .host_.log()
            .error("no handshake is possible", {{"reason", status.message()}});
      });
  return done;
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
    SSL_set_verify(ssl, SSL_VERIFY_NONE, &as_verified);
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

/// A peer can cause any number of them.
void DtlsServer::refused(const coap_session_t* session) {
  refused_.add();
  const Status why = tls::handshake_error(ssl_of(session));
  const int64_t now = monotonic_ns();
  if (refusal_logged_ns_ != 0 &&
      now - refusal_logged_ns_ < std::chrono::nanoseconds(kLogRefusalsEvery).count()) {
    ++refusals_unlogged_;
    return;
  }
  refusal_logged_ns_ = now;
  host_.log().warning("a DTLS session was refused or has failed",
                      {{"peer", to_text(*coap_session_get_addr_remote(session))},
                       {"reason", why.message()},
                       {"not_logged_before", std::exchange(refusals_unlogged_, 0)}});
}

}  // namespace backplane::coap
