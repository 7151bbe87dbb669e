// SPDX-License-Identifier: Apache-2.0
#include "tls.hpp"

namespace backplane::mqtt {
namespace {

[[noreturn]] void refuse(std::string_view what) {
  throw Error(BP_INVALID_ARGUMENT, "TLS: ", what, ": ", tls::library_error());
}

}  // namespace

Tls::Tls(const Host& host, const Settings& settings)
    : settings_(settings), credential_(host, settings.credentials), peer_expiry_(host, "peer") {}

std::unique_ptr<TlsContext> Tls::context() {
  return std::make_unique<TlsContext>(*this, credential_.fetch(), settings_.server_name);
}

TlsContext& TlsContext::of(const SSL* ssl) noexcept {
  return *static_cast<TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
}

TlsContext::TlsContext(Tls& shared, std::shared_ptr<const tls::Material> material,
                       std::string server_name)
    : shared_(shared),
      material_(std::move(material)),
      server_name_(std::move(server_name)),
      context_(SSL_CTX_new(TLS_client_method())) {
  ERR_clear_error();
  if (!context_) {
    refuse("no context");
  }
  SSL_CTX_set_app_data(context_.get(), this);
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context_.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_info_callback(context_.get(), &TlsContext::on_progress);
  if (material_->psk) {
    share_key();
    return;
  }
  trust();
  show();
}

void TlsContext::trust() {
  SSL_CTX* const context = context_.get();
  if (material_->authorities) {
    SSL_CTX_set1_cert_store(context, material_->authorities.get());
  } else {
    SSL_CTX_set_cert_store(context, tls::system_authorities().release());
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, &TlsContext::on_verified);
  tls::require_name(SSL_CTX_get0_param(context), server_name_);
}

void TlsContext::show() {
  if (material_->certificate &&
      SSL_CTX_use_cert_and_key(context_.get(), material_->certificate.get(), material_->key.get(),
                               material_->chain.get(), 1) != 1) {
    refuse("our certificate cannot be used");
  }
}

void TlsContext::share_key() {
  SSL_CTX_set_psk_client_callback(context_.get(), &TlsContext::give_psk);
  // Only suites that prove the key: a certificate would be accepted unseen here.
  SSL_CTX_set_max_proto_version(context_.get(), TLS1_2_VERSION);
  if (SSL_CTX_set_cipher_list(context_.get(), "PSK:!aNULL:!eNULL:!kRSAPSK") != 1) {
    refuse("no cipher suite for pre-shared keys");
  }
}

/// The library frees the connection before it says that it failed.
int TlsContext::on_verified(int accepted, X509_STORE_CTX* chain) noexcept {
  const auto* const ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsContext& self = of(ssl);
  boundary(
      [&] {
        if (accepted != 1) {
          const int error = X509_STORE_CTX_get_error(chain);
          self.refusal_ = Status(BP_UNAUTHENTICATED, "the broker's certificate is refused: ",
                                 std::string_view(X509_verify_cert_error_string(error)))
                              .with_native(error, "x509");
        } else if (X509* const certificate = X509_STORE_CTX_get_current_cert(chain);
                   certificate != nullptr && X509_STORE_CTX_get_error_depth(chain) == 0) {
          self.shared_.peer_expiry_.watch(*certificate);
        }
      },
      [&](const Status& status) noexcept {
        accepted = 0;
        self.refusal_ = status;
      });
  return accepted;
}

/// The name for SNI is set when the handshake begins, since the library is given an address. An
/// alert of the broker may come after our side of the handshake is over (TLS 1.3).
void TlsContext::on_progress(const SSL* ssl, int where, int result) noexcept {
  TlsContext& self = of(ssl);
  if ((where & SSL_CB_HANDSHAKE_START) != 0) {
    self.set_used();
    if (!tls::is_address(self.server_name_)) {
      SSL_set_tlsext_host_name(const_cast<SSL*>(ssl), self.server_name_.c_str());
    }
  }
  constexpr int kFatal = SSL3_AL_FATAL << 8;
  if (where == SSL_CB_READ_ALERT && (result & kFatal) != 0 && self.refusal_.is_ok()) {
    boundary(
        [&] {
          const int alert = result & 0xff;
          // So the broker finds out that the other's key is a different one (TLS 1.2).
          const bool is_key =
              self.material_->psk && alert == SSL_AD_BAD_RECORD_MAC && SSL_in_init(ssl) == 1;
          self.refusal_ = Status(is_key ? BP_UNAUTHENTICATED : tls::status_of_alert(alert),
                                 "the broker refused us: ",
                                 is_key ? "it has another pre-shared key for our identity, " : "",
                                 std::string_view(SSL_alert_desc_string_long(result)))
                              .with_native(alert, "alert");
        },
        [&](const Status& status) noexcept { self.refusal_ = status; });
  }
}

unsigned TlsContext::give_psk(SSL* ssl, const char*, char* identity, unsigned max_identity,
                              unsigned char* psk, unsigned max_psk) noexcept {
  const tls::Material& material = *of(ssl).material_;
  if (material.psk_identity.size() + 1 > max_identity) {
    return 0;
  }
  std::memcpy(identity, material.psk_identity.c_str(), material.psk_identity.size() + 1);
  return material.psk.copy_to(psk, max_psk);
}

}  // namespace backplane::mqtt
