// SPDX-License-Identifier: Apache-2.0
// TLS with the broker: verification on, the host's name checked, keys from memory. There is no way
// to switch it off.
#pragma once

#include "handles.hpp"
#include "settings.hpp"
#include <backplane/sdk/tls_credential.hpp>

namespace backplane::mqtt {

class TlsContext;

/// What the connections of an instance share: the credential, read anew for each connection, and
/// the end of the broker's certificate. Loop thread.
class Tls {
 public:
  Tls(const Host& host, const Settings& settings);

  /// Settings for one connection, by the material of now. Throws Error.
  std::unique_ptr<TlsContext> context();

 private:
  friend TlsContext;
  const Settings& settings_;
  tls::Credential credential_;
  tls::ExpiryWatch peer_expiry_;
};

/// A client's TLS settings for one peer: TLS 1.2 at least. With a pre-shared key no certificate
/// counts; else the peer's must be trusted, and be for `server_name` (a name or an address).
class TlsContext {
 public:
  /// Throws Error (INVALID_ARGUMENT) for material that is none.
  TlsContext(Tls& shared, std::shared_ptr<const tls::Material> material, std::string server_name);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL_CTX* get() const noexcept { return context_.get(); }
  /// libmosquitto has taken a share of get(). It ends with us, but for keep_lent().
  void lend() noexcept { lent_.reset(context_.get()); }
  void keep_lent() noexcept { static_cast<void>(lent_.release()); }
  /// libmosquitto has begun to use get().
  bool is_used() const noexcept { return used_; }
  void set_used() noexcept { used_ = true; }
  /// Why we refused the broker, or the broker us; OK: neither has. Until forget_refusal().
  const Status& refusal() const noexcept { return refusal_; }
  void forget_refusal() noexcept { refusal_ = Status::ok(); }

 private:
  static TlsContext& of(const SSL* ssl) noexcept;
  static int on_verified(int accepted, X509_STORE_CTX* chain) noexcept;
  static void on_progress(const SSL* ssl, int where, int result) noexcept;
  static unsigned give_psk(SSL* ssl, const char* hint, char* identity, unsigned max_identity,
                           unsigned char* psk, unsigned max_psk) noexcept;

  void trust();
  void show();
  void share_key();

  Tls& shared_;
  const std::shared_ptr<const tls::Material> material_;
  const std::string server_name_;
  Status refusal_;
  bool used_ = false;
  SslContext context_;
  SslContext lent_;  // the same one
};

}  // namespace backplane::mqtt
