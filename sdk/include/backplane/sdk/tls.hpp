// SPDX-License-Identifier: Apache-2.0
// What TLS and DTLS need of a credential: read anew for each connection, so that renewed files are
// used without a restart; kept as it was when what replaces it is broken. For plugins that link
// OpenSSL 3 (OpenSSL::SSL); nothing else of the SDK needs it.
#pragma once

#include "tls_expiry.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <array>
#include <memory>
#include <strings.h>
#include <vector>

namespace backplane::tls {

namespace detail {
inline void free_chain(STACK_OF(X509) * chain) noexcept { sk_X509_pop_free(chain, X509_free); }
using Bio = UniqueHandle<BIO, BIO_free>;
inline Bio reader(const Buffer& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}
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

/// A credential, or none: then the system's authorities are trusted, and nothing is shown. One
/// thread at a time.
class Credential {
 public:
  /// `name` may be empty. `host` outlives it.
  Credential(const Host& host, std::string name)
      : host_(host), name_(std::move(name)), expiry_(host, "own", [this] { look_again(); }) {}
  Credential(const Credential&) = delete;
  Credential& operator=(const Credential&) = delete;

  const std::string& name() const noexcept { return name_; }

  /// What its fields say now. If that is broken: what they said before, and a warning that names
  /// the file; if nothing good was there before, Error. Reads small files.
  std::shared_ptr<const Material> fetch() {
    Fields fields;
    Status status = read(fields);
    if (status.is_ok() && material_ && fields == fields_) {
      complaint_.clear();
      return material_;
    }
    std::shared_ptr<const Material> renewed;
    if (status.is_ok()) {
      boundary([&] { renewed = parse(fields); }, [&](const Status& failed) { status = failed; });
    }
    if (!renewed) {
      return keep(status);
    }
    if (material_) {
      host_.log().info("renewed TLS material is used", {{"credential", name_}});
    }
    material_ = std::move(renewed);
    fields_ = std::move(fields);
    complaint_.clear();
    if (material_->certificate) {
      expiry_.watch(*material_->certificate);
    }
    return material_;
  }

 private:
  static constexpr std::array<const char*, 5> kNames{"ca", "certificate", "key", "psk_identity",
                                                     "psk"};
  enum { kCa, kCertificate, kKey, kIdentity, kPsk };
  struct Fields : std::array<Buffer, kNames.size()> {
    friend bool operator==(const Fields& a, const Fields& b) noexcept {
      return std::equal(a.begin(), a.end(), b.begin(), [](const Buffer& x, const Buffer& y) {
        return static_cast<bool>(x) == static_cast<bool>(y) && x.text() == y.text();
      });
    }
  };

  Status read(Fields& out) const {
    for (size_t i = 0; i < kNames.size() && !name_.empty(); ++i) {
      auto value = host_.credential(name_, kNames[i]);
      if (value) {
        out[i] = *std::move(value);
      } else if (value.status().code() != BP_NOT_FOUND) {
        return value.status();
      }
    }
    return Status::ok();
  }

  [[noreturn]] void refuse(size_t field, std::string_view what) const {
    const std::string reason = ERR_peek_error() == 0 ? "" : ": " + library_error();
    std::string where;
    const auto path = host_.credential(name_, kNames.at(field), BP_CREDENTIAL_AS_FILE);
    if (path && !path->text().starts_with("/proc/")) {  // else its text, or a variable
      where = concat(" (", path->text(), ")");
    }
    throw Error(BP_INVALID_ARGUMENT, "credential '", name_, "', field '", kNames.at(field), "'",
                where, ": ", what, reason);
  }

  std::shared_ptr<const Material> keep(const Status& why) {
    if (!material_) {
      throw Error(why);
    }
    if (complaint_ != why.message()) {
      complaint_ = why.message();
      host_.log().warning("renewed TLS material is broken; the old one is used on",
                          {{"credential", name_}, {"reason", complaint_}});
    }
    return material_;
  }

  std::shared_ptr<const Material> parse(const Fields& fields) const {
    ERR_clear_error();
    auto out = std::make_shared<Material>();
    trust(*out, fields[kCa]);
    show(*out, fields);
    if (fields[kPsk] && !fields[kIdentity]) {
      refuse(kPsk, "there is no psk_identity");
    }
    if (fields[kIdentity] && !fields[kPsk]) {
      refuse(kIdentity, "there is no psk");
    }
    if (fields[kPsk]) {
      auto secret = Secret::of_digits(fields[kPsk].text());
      if (!secret) {
        refuse(kPsk, "it is no even number of hexadecimal digits");
      }
      out->psk = *std::move(secret);
      out->psk_identity = fields[kIdentity].text();
      if (out->psk_identity.find('\0') != std::string::npos ||
          out->psk_identity.size() > PSK_MAX_IDENTITY_LEN || out->psk_identity.empty()) {
        refuse(kIdentity, concat("it has 1 to ", PSK_MAX_IDENTITY_LEN, " bytes, none of them 0"));
      }
    }
    return out;
  }

  void trust(Material& out, const Buffer& ca) const {
    if (!ca) {
      return;
    }
    out.authorities.reset(X509_STORE_new());
    const detail::Bio text = detail::reader(ca);
    size_t n = 0;
    while (const Certificate one{PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)}) {
      n += X509_STORE_add_cert(out.authorities.get(), one.get()) == 1 ? 1U : 0U;
    }
    if (n == 0 || !is_at_end()) {
      refuse(kCa, "it is no list of certificates in PEM");
    }
    ERR_clear_error();
  }

  /// The end of a text is reported as an error like any other.
  static bool is_at_end() noexcept {
    return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  }

  void show(Material& out, const Fields& fields) const {
    if (!fields[kCertificate] && !fields[kKey]) {
      return;
    }
    if (!fields[kCertificate] || !fields[kKey]) {
      refuse(fields[kKey] ? kKey : kCertificate,
             fields[kKey] ? "there is no certificate" : "there is no key");
    }
    const detail::Bio text = detail::reader(fields[kCertificate]);
    out.certificate.reset(PEM_read_bio_X509_AUX(text.get(), nullptr, nullptr, nullptr));
    if (!out.certificate) {
      refuse(kCertificate, "it is none in PEM");
    }
    out.chain.reset(sk_X509_new_null());
    while (X509* const next = PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)) {
      sk_X509_push(out.chain.get(), next);
    }
    if (!is_at_end()) {
      refuse(kCertificate, "what stands behind the first one is none in PEM");
    }
    ERR_clear_error();
    const detail::Bio key = detail::reader(fields[kKey]);
    out.key.reset(PEM_read_bio_PrivateKey(key.get(), nullptr, &detail::no_password, nullptr));
    if (!out.key) {
      refuse(kKey, "it is none in PEM");
    }
    if (X509_check_private_key(out.certificate.get(), out.key.get()) != 1) {
      refuse(kKey, "it is not that of the certificate");
    }
  }

  /// Before it is said that a certificate ends, whether a new one is there.
  void look_again() {
    boundary([&] { static_cast<void>(fetch()); }, [](const Status&) noexcept {});
  }

  const Host& host_;
  const std::string name_;
  Fields fields_;
  std::shared_ptr<const Material> material_;
  std::string complaint_;
  ExpiryWatch expiry_;  // the last member: its timer uses all else
};

}  // namespace backplane::tls
