// SPDX-License-Identifier: Apache-2.0
// What TLS needs: verification on, the host's name checked, keys from memory. There is no way to
// switch it off.
#pragma once

#include "handles.hpp"
#include <backplane/sdk/buffer.hpp>
#include <backplane/sdk/host.hpp>

#include <string>

namespace backplane::mqtt {

/// A credential's TLS fields; those that it does not have are empty.
struct TlsMaterial {
  Buffer ca;           // PEM: who is trusted; empty: the system's authorities
  Buffer certificate;  // PEM: the chain that we show
  Buffer key;          // PEM
  Buffer psk_identity;
  Buffer psk;  // hexadecimal digits

  /// Reads them anew. An unreadable one is an error, an absent one is not. `credential` may be
  /// empty.
  static Result<TlsMaterial> read(const Host& host, const std::string& credential);
};

/// A client's TLS settings for one peer: TLS 1.2 at least. With a pre-shared key no certificate
/// counts; else the peer's must be trusted, and be for `server_name` (a name or an address).
class TlsContext {
 public:
  /// Throws Error (INVALID_ARGUMENT) for material that is none.
  TlsContext(const TlsMaterial& material, std::string server_name);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL_CTX* get() const noexcept { return context_.get(); }
  /// Why the peer's certificate was refused; null: it was not.
  const char* refusal() const noexcept { return refusal_; }

 private:
  static TlsContext& of(const SSL* ssl) noexcept;
  static int note_refusal(int accepted, X509_STORE_CTX* chain) noexcept;
  static void set_server_name(const SSL* ssl, int where, int result) noexcept;
  static unsigned give_psk(SSL* ssl, const char* hint, char* identity, unsigned max_identity,
                           unsigned char* psk, unsigned max_psk) noexcept;

  void trust(const TlsMaterial& material);
  void show(const TlsMaterial& material);
  void share_key(const TlsMaterial& material);

  std::string server_name_;
  std::string psk_identity_;
  Buffer psk_;  // hexadecimal digits; wiped by its last owner
  const char* refusal_ = nullptr;
  SslContext context_;
};

}  // namespace backplane::mqtt
