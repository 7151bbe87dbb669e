// SPDX-License-Identifier: Apache-2.0
// The TLS material of a credential: read anew for each connection, so that renewed files are used
// without a restart; kept as it was when what replaces it is broken. For plugins that link OpenSSL
// 3; see tls.hpp.
#pragma once

#include "tls.hpp"
#include "tls_expiry.hpp"

#include <array>
#include <vector>

namespace backplane::tls {

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
    // The system's security level may refuse what is well-formed: now, not in each handshake.
    const UniqueHandle<SSL_CTX, SSL_CTX_free> trial(SSL_CTX_new(TLS_method()));
    if (!trial || SSL_CTX_use_cert_and_key(trial.get(), out.certificate.get(), out.key.get(),
                                           out.chain.get(), 1) != 1) {
      refuse(kCertificate, "it cannot be used");
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
