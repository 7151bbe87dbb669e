// SPDX-License-Identifier: Apache-2.0
#include "identity.hpp"

#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <unistd.h>

namespace backplane::opcua {
namespace {

constexpr unsigned kKeyBits = 2048;  // the most that all policies take
constexpr long kDay = 24L * 60 * 60;
constexpr long kValidDays = 3652;
constexpr size_t kLongestCommonName = 64;

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name[0] == '\0' ? "localhost" : name;
}

/// Only what needs no escaping in a URN, nor in OpenSSL's notation of extensions.
std::string plain(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const bool is_plain =
        (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '.' || c == '-';
    c = is_plain ? c : '-';
  }
  return out;
}

void extend(X509* certificate, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const UniqueHandle<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    throw Error(BP_INTERNAL, "no extension '", value, "': ", tls::library_error());
  }
}

template <class T, class Encode>
std::vector<unsigned char> der_of(T& object, Encode encode) {
  unsigned char* bytes = nullptr;
  const int size = encode(&object, &bytes);
  if (size <= 0) {
    throw Error(BP_INTERNAL, "no DER: ", tls::library_error());
  }
  std::vector<unsigned char> out(bytes, bytes + size);
  OPENSSL_clear_free(bytes, static_cast<size_t>(size));
  return out;
}

}  // namespace

std::shared_ptr<const Identity> Identity::of(std::string_view name, X509& certificate,
                                             EVP_PKEY& key, bool is_application) {
  const auto refuse = [&](std::string_view why) {
    throw Error(BP_INVALID_ARGUMENT, name, ": ", why);
  };
  if (EVP_PKEY_get_base_id(&key) != EVP_PKEY_RSA) {
    refuse("the key is no RSA key, and OPC UA's policies know no other");
  }
  if (X509_check_private_key(&certificate, &key) != 1) {
    refuse("the key is not that of the certificate");
  }
  auto out = std::make_shared<Identity>();
  out->source = name;
  out->application_uri = tls::application_uri(certificate);
  if (is_application && out->application_uri.empty()) {
    refuse(
        "the certificate has no URI among its alternative names, and OPC UA needs the "
        "application's: subjectAltName = URI:urn:HOST:NAME");
  }
  out->thumbprint = tls::thumbprint(certificate);
  out->certificate = der_of(certificate, i2d_X509);
  out->key = der_of(key, i2d_PrivateKey);
  return out;
}

std::string default_application_uri(std::string_view system) {
  const bool has_name = !system.empty() && system.find("://") == system.npos;
  return concat("urn:", plain(host_name()), ":backplane", has_name ? ":" : "",
                has_name ? plain(system) : std::string());
}

tls::Secret make_identity(std::string_view application_uri) {
  const tls::PrivateKey key(EVP_RSA_gen(kKeyBits));
  const tls::Certificate certificate(X509_new());
  X509* const x = certificate.get();
  if (!key || x == nullptr) {
    throw Error(BP_INTERNAL, "no key: ", tls::library_error());
  }
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1U | 1U);
  X509_gmtime_adj(X509_getm_notBefore(x), -kDay);  // clocks differ
  X509_gmtime_adj(X509_getm_notAfter(x), kValidDays * kDay);
  X509_NAME* const name = X509_get_subject_name(x);
  const std::string host = host_name();
  const std::string common = std::string(application_uri).substr(0, kLongestCommonName);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common.c_str()), -1, -1, 0);
  X509_set_issuer_name(x, name);
  X509_set_pubkey(x, key.get());
  extend(x, NID_basic_constraints, "critical,CA:FALSE");
  extend(x, NID_key_usage,
         "critical,digitalSignature,nonRepudiation,keyEncipherment,dataEncipherment,keyCertSign");
  extend(x, NID_ext_key_usage, "serverAuth,clientAuth");
  extend(x, NID_subject_key_identifier, "hash");
  extend(
      x, NID_subject_alt_name,
      concat("URI:", application_uri, ",DNS:", plain(host), ",DNS:localhost,IP:127.0.0.1,IP:::1"));
  if (X509_sign(x, key.get(), EVP_sha256()) == 0) {
    throw Error(BP_INTERNAL, "the certificate cannot be signed: ", tls::library_error());
  }
  const tls::detail::Bio out(BIO_new(BIO_s_secmem()));
  PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  PEM_write_bio_X509(out.get(), x);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  Buffer copy = Buffer::make(static_cast<size_t>(size));
  std::memcpy(copy.data(), text, copy.size());
  return tls::Secret(std::move(copy));
}

std::shared_ptr<const Identity> kept_identity(const pki::Store& store) {
  const std::optional<tls::Secret> content = store.identity();
  if (!content) {
    return nullptr;
  }
  const auto read = [&](auto parse) {
    const tls::detail::Bio text = tls::detail::reader(content->text());
    return parse(text.get());
  };
  const tls::PrivateKey key(read([](BIO* in) {
    return PEM_read_bio_PrivateKey(in, nullptr, &tls::detail::no_password, nullptr);
  }));
  const tls::Certificate certificate(
      read([](BIO* in) { return PEM_read_bio_X509(in, nullptr, nullptr, nullptr); }));
  const std::string file = store.identity_file().string();
  if (!key || !certificate) {
    throw Error(BP_INVALID_ARGUMENT, file, ": has no ", key ? "certificate" : "key",
                " in PEM: mend it, or move it away, and a new identity is made");
  }
  ERR_clear_error();
  return Identity::of(file, *certificate, *key);
}

std::shared_ptr<const Identity> kept_or_new_identity(const pki::Store& store,
                                                     std::string_view application_uri) {
  auto kept = kept_identity(store);
  if (!kept) {
    // Another process may be first: then it is that one.
    store.keep_identity(make_identity(application_uri).text());
    kept = kept_identity(store);
  }
  if (!kept) {
    throw Error(BP_ABORTED, store.identity_file().string(), ": was taken away");
  }
  return kept;
}

}  // namespace backplane::opcua
