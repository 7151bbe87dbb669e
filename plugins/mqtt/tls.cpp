// SPDX-License-Identifier: Apache-2.0
#include "tls.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <cstring>

namespace backplane::mqtt {
namespace {

using Bio = UniqueHandle<BIO, BIO_free>;
using Certificate = UniqueHandle<X509, X509_free>;
using PrivateKey = UniqueHandle<EVP_PKEY, EVP_PKEY_free>;

std::string reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return code == 0 ? "unknown" : text;
}

[[noreturn]] void refuse(std::string_view what) {
  throw Error(BP_INVALID_ARGUMENT, "TLS: ", what, ": ", reason());
}

Bio reader(const Buffer& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

bool is_address(const std::string& name) noexcept {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

}  // namespace

Result<TlsMaterial> TlsMaterial::read(const Host& host, const std::string& credential) {
  TlsMaterial out;
  if (credential.empty()) {
    return out;
  }
  const std::pair<const char*, Buffer*> fields[] = {{"ca", &out.ca},
                                                    {"certificate", &out.certificate},
                                                    {"key", &out.key},
                                                    {"psk_identity", &out.psk_identity},
                                                    {"psk", &out.psk}};
  for (const auto& [name, buffer] : fields) {
    auto value = host.credential(credential, name);
    if (value) {
      *buffer = *std::move(value);
    } else if (value.status().code() != BP_NOT_FOUND) {
      return value.status();
    }
  }
  return out;
}

TlsContext& TlsContext::of(const SSL* ssl) noexcept {
  return *static_cast<TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
}

TlsContext::TlsContext(const TlsMaterial& material, std::string server_name)
    : server_name_(std::move(server_name)), context_(SSL_CTX_new(TLS_client_method())) {
  ERR_clear_error();
  if (!context_) {
    refuse("no context");
  }
  SSL_CTX_set_app_data(context_.get(), this);
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context_.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // The library is given an address; the name for SNI is set when the handshake begins.
  SSL_CTX_set_info_callback(context_.get(), &TlsContext::set_server_name);
  if (material.psk) {
    share_key(material);
    return;
  }
  trust(material);
  show(material);
}

void TlsContext::trust(const TlsMaterial& material) {
  SSL_CTX* const context = context_.get();
  if (material.ca) {
    const Bio text = reader(material.ca);
    size_t n = 0;
    while (const Certificate one{PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)}) {
      n += X509_STORE_add_cert(SSL_CTX_get_cert_store(context), one.get()) == 1 ? 1u : 0u;
    }
    if (n == 0) {
      refuse("the credential's ca holds no certificate in PEM");
    }
    ERR_clear_error();  // the end of the text is reported as an error
  } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
    refuse("the system's certificate authorities");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, &TlsContext::note_refusal);
  X509_VERIFY_PARAM* const check = SSL_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int set = is_address(server_name_)
                      ? X509_VERIFY_PARAM_set1_ip_asc(check, server_name_.c_str())
                      : X509_VERIFY_PARAM_set1_host(check, server_name_.c_str(), 0);
  if (set != 1) {
    refuse(concat("'", server_name_, "' is no name of a server"));
  }
}

void TlsContext::show(const TlsMaterial& material) {
  if (!material.certificate && !material.key) {
    return;
  }
  if (!material.certificate || !material.key) {
    throw Error(BP_INVALID_ARGUMENT, "TLS: the credential has a ",
                material.key ? "key" : "certificate", " and no ",
                material.key ? "certificate" : "key");
  }
  SSL_CTX* const context = context_.get();
  const Bio chain = reader(material.certificate);
  const Certificate own(PEM_read_bio_X509_AUX(chain.get(), nullptr, nullptr, nullptr));
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1) {
    refuse("the credential's certificate is none in PEM");
  }
  while (X509* const next = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_add0_chain_cert(context, next);
  }
  ERR_clear_error();
  const Bio key_text = reader(material.key);
  const PrivateKey key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    refuse("the credential's key is none in PEM, or not that of its certificate");
  }
}

void TlsContext::share_key(const TlsMaterial& material) {
  if (!material.psk_identity) {
    throw Error(BP_INVALID_ARGUMENT, "TLS: the credential has a psk and no psk_identity");
  }
  psk_identity_ = material.psk_identity.text();
  psk_ = material.psk;
  std::string_view digits = psk_.text();
  if (digits.empty() || digits.size() % 2 != 0 ||
      digits.find_first_not_of("0123456789abcdefABCDEF") != digits.npos) {
    throw Error(BP_INVALID_ARGUMENT,
                "TLS: the credential's psk is no even number of hexadecimal digits");
  }
  SSL_CTX_set_psk_client_callback(context_.get(), &TlsContext::give_psk);
  // Only suites that prove the key: a certificate would be accepted unseen here.
  SSL_CTX_set_max_proto_version(context_.get(), TLS1_2_VERSION);
  if (SSL_CTX_set_cipher_list(context_.get(), "PSK:!aNULL:!eNULL:!RSAPSK:!SRP") != 1) {
    refuse("no cipher suite for pre-shared keys");
  }
}

/// The library frees the connection before it says that it failed.
int TlsContext::note_refusal(int accepted, X509_STORE_CTX* chain) noexcept {
  if (accepted != 1) {
    const auto* const ssl = static_cast<const SSL*>(
        X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
    of(ssl).refusal_ = X509_verify_cert_error_string(X509_STORE_CTX_get_error(chain));
  }
  return accepted;
}

void TlsContext::set_server_name(const SSL* ssl, int where, int) noexcept {
  const TlsContext& self = of(ssl);
  if ((where & SSL_CB_HANDSHAKE_START) != 0 && !is_address(self.server_name_)) {
    SSL_set_tlsext_host_name(const_cast<SSL*>(ssl), self.server_name_.c_str());
  }
}

unsigned TlsContext::give_psk(SSL* ssl, const char*, char* identity, unsigned max_identity,
                              unsigned char* psk, unsigned max_psk) noexcept {
  const TlsContext& self = of(ssl);
  const std::string_view digits = self.psk_.text();
  if (self.psk_identity_.size() + 1 > max_identity || digits.size() / 2 > max_psk) {
    return 0;
  }
  std::memcpy(identity, self.psk_identity_.c_str(), self.psk_identity_.size() + 1);
  const auto nibble = [](char c) {
    return static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  };
  for (size_t i = 0; i < digits.size(); i += 2) {
    psk[i / 2] = static_cast<unsigned char>(nibble(digits[i]) << 4u | nibble(digits[i + 1]));
  }
  return static_cast<unsigned>(digits.size() / 2);
}

}  // namespace backplane::mqtt
