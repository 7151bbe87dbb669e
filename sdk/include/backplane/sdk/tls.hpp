// SPDX-License-Identifier: Apache-2.0
// TLS and DTLS by OpenSSL 3: owners of its objects, what its errors mean, the material of a
// connection. For plugins that link it (OpenSSL::SSL); nothing else of the SDK needs it.
#pragma once

#include "buffer.hpp"
#include "unique_handle.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <cstring>
#include <memory>
#include <optional>

namespace backplane::tls {

namespace detail {
inline void free_chain(STACK_OF(X509) * chain) noexcept { sk_X509_pop_free(chain, X509_free); }
using Bio = UniqueHandle<BIO, BIO_free>;
inline Bio reader(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}
inline Bio reader(const Buffer& text) { return reader(text.text()); }
/// No terminal is asked for the password of a key: an encrypted one is refused.
inline int no_password(char*, int, int, void*) noexcept { return -1; }
}  // namespace detail

using Certificate = UniqueHandle<X509, X509_free>;
using Chain = UniqueHandle<STACK_OF(X509), detail::free_chain>;
using PrivateKey = UniqueHandle<EVP_PKEY, EVP_PKEY_free>;
using TrustStore = UniqueHandle<X509_STORE, X509_STORE_free>;

/// The first thing that the library complained of; its list of this thread is empty afterwards.
inline std::string library_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason != nullptr ? reason : "no reason given";
}

/// What a fatal alert (RFC 5246, 7.2.2) of the peer says: it does not take who we claim to be, it
/// takes it and refuses us, or something else.
inline bp_status status_of_alert(int alert) noexcept {
  switch (alert) {
    case SSL_AD_ACCESS_DENIED:
      return BP_PERMISSION_DENIED;
    case SSL_AD_HANDSHAKE_FAILURE:  // nothing in common: a certificate or a key is missing
    case SSL_AD_NO_CERTIFICATE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_DECRYPT_ERROR:
    case SSL_AD_UNKNOWN_PSK_IDENTITY:
    case SSL_AD_CERTIFICATE_REQUIRED:
      return BP_UNAUTHENTICATED;
    default:
      return BP_UNAVAILABLE;
  }
}

/// The peer's alert among what the library complained of on this thread; 0: there is none.
inline int received_alert(unsigned long error) noexcept {
  const int reason = ERR_GET_REASON(error);
  return ERR_GET_LIB(error) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET
             ? reason - SSL_AD_REASON_OFFSET
             : 0;
}

/// Why a handshake of `ssl` has failed, or its session has ended. Takes the library's complaints.
inline Status handshake_error(const SSL* ssl) {
  const long verified = SSL_get_verify_result(ssl);
  if (verified != X509_V_OK) {
    ERR_clear_error();
    return Status(BP_UNAUTHENTICATED, "the peer's certificate is refused: ",
                  std::string_view(X509_verify_cert_error_string(verified)))
        .with_native(static_cast<int32_t>(verified), "x509");
  }
  const int alert = received_alert(ERR_peek_error());
  const std::string reason = library_error();
  if (alert != 0) {
    return Status(status_of_alert(alert), "the peer refused us: ", reason)
        .with_native(alert, "alert");
  }
  return Status(BP_UNAVAILABLE, "the handshake failed: ", reason);
}

inline bool is_address(const std::string& name) noexcept {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

/// The peer's certificate must be for this name or address.
inline void require_name(X509_VERIFY_PARAM* check, const std::string& name) {
  X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int set = is_address(name) ? X509_VERIFY_PARAM_set1_ip_asc(check, name.c_str())
                                   : X509_VERIFY_PARAM_set1_host(check, name.c_str(), 0);
  if (set != 1) {
    throw Error(BP_INVALID_ARGUMENT, "'", name, "' is no name of a server");
  }
}

/// Bytes that are wiped.
class Secret {
 public:
  Secret() noexcept = default;
  /// Of a buffer with no other owner.
  explicit Secret(Buffer bytes) noexcept : bytes_(std::move(bytes)) {}
  /// Of hexadecimal digits; nothing: these are none.
  static std::optional<Secret> of_digits(std::string_view digits) {
    const auto nibble = [](char c) {
      return static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    };
    if (digits.empty() || digits.size() % 2 != 0 ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != digits.npos) {
      return std::nullopt;
    }
    Secret out;
    out.bytes_ = Buffer::make(digits.size() / 2);
    for (size_t i = 0; i < digits.size(); i += 2) {
      out.bytes_.data()[i / 2] =
          static_cast<std::byte>(nibble(digits[i]) << 4U | nibble(digits[i + 1]));
    }
    return out;
  }
  Secret(Secret&&) noexcept = default;
  Secret& operator=(Secret&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Secret() {
    if (bytes_) {
      explicit_bzero(bytes_.data(), bytes_.size());
    }
  }

  explicit operator bool() const noexcept { return static_cast<bool>(bytes_); }
  std::string_view text() const noexcept { return bytes_.text(); }
  /// For a callback of the library that wants a key: its size, or 0 when there is no room.
  unsigned copy_to(unsigned char* out, unsigned most) const noexcept {
    if (bytes_.size() > most) {
      return 0;
    }
    std::copy_n(reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size(), out);
    return static_cast<unsigned>(bytes_.size());
  }

 private:
  Buffer bytes_;
};

/// The authorities that the system trusts. Throws Error.
inline TrustStore system_authorities() {
  TrustStore out(X509_STORE_new());
  if (!out || X509_STORE_set_default_paths(out.get()) != 1) {
    throw Error(BP_INTERNAL, "the system's certificate authorities: ", library_error());
  }
  return out;
}

/// A credential's fields, parsed. What it does not have is empty.
struct Material {
  TrustStore authorities;   // those of `ca`
  Certificate certificate;  // our own
  Chain chain;              // what stands behind it, up to its authority
  PrivateKey key;
  std::string psk_identity;
  Secret psk;
};

}  // namespace backplane::tls
