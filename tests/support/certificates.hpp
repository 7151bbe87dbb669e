// SPDX-License-Identifier: Apache-2.0
// Certificate authorities, certificates and keys as PEM files in a folder of the test. Link
// OpenSSL::SSL.
#pragma once

#include "support/scratch_folder.hpp"
#include <backplane/sdk/unique_handle.hpp>

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <unistd.h>
#include <vector>

namespace backplane::test {

class Certificates {
 public:
  struct Options {
    std::string issuer = "ca";                               // empty: signed by itself
    std::string alt_names = "DNS:broker.test,IP:127.0.0.1";  // empty: none
    std::chrono::seconds begins = std::chrono::hours(-1);    // from now
    std::chrono::seconds ends = std::chrono::hours(24 * 365);
    bool is_authority = false;
    size_t rsa_bits = 0;         // 0: a key of the curve P-256
    std::string key_usage = {};  // empty: not said
    const EVP_MD* digest = EVP_sha256();
  };

  /// The authorities "ca" and "other_ca".
  Certificates() {
    authority("ca");
    authority("other_ca");
  }

  /// NAME.pem and NAME.key, with the common name NAME; replaces files that are there.
  void make(const std::string& name, const Options& options) {
    auto& own = pairs_[name];
    own.key = options.rsa_bits > 0 ? rsa_key(options.rsa_bits) : Key(EVP_EC_gen("P-256"));
    own.certificate.reset(X509_new());
    X509* const x = own.certificate.get();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(x), static_cast<long>(options.begins.count()));
    X509_gmtime_adj(X509_getm_notAfter(x), static_cast<long>(options.ends.count()));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_pubkey(x, own.key.get());
    const Pair& issuer = options.issuer.empty() ? own : pairs_.at(options.issuer);
    X509_set_issuer_name(x, X509_get_subject_name(issuer.certificate.get()));
    if (options.is_authority) {
      extend(x, NID_basic_constraints, "critical,CA:TRUE");
    } else if (!options.alt_names.empty()) {
      extend(x, NID_subject_alt_name, options.alt_names);
    }
    if (!options.key_usage.empty()) {
      extend(x, NID_key_usage, options.key_usage);
    }
    if (X509_sign(x, issuer.key.get(), options.digest) == 0) {
      throw std::runtime_error("no certificate for " + name);
    }
    folder_.write(name + ".pem", pem([x](BIO* to) { PEM_write_bio_X509(to, x); }));
    folder_.write(name + ".key", pem([&own](BIO* to) {
                    PEM_write_bio_PrivateKey(to, own.key.get(), nullptr, nullptr, 0, nullptr,
                                             nullptr);
                  }));
  }
  void make(const std::string& name) { make(name, Options()); }
  /// An application of OPC UA, signed by itself or an authority.
  void application(const std::string& name, const std::string& uri,
                   const std::string& issuer = {}) {
    Options options;
    options.issuer = issuer;
    options.alt_names = "URI:" + uri + ",DNS:localhost,IP:127.0.0.1";
    options.rsa_bits = 2048;
    // Part 6, 6.2.2.
    options.key_usage = "critical,digitalSignature,nonRepudiation,keyEncipherment,dataEncipherment";
    make(name, options);
  }
  /// AUTHORITY.crl: of whom it says that they are revoked; it is valid until then.
  void revoke(const std::string& authority, const std::vector<std::string>& names,
              std::chrono::seconds ends = std::chrono::hours(24)) {
    const Pair& issuer = pairs_.at(authority);
    const UniqueHandle<X509_CRL, X509_CRL_free> list(X509_CRL_new());
    const UniqueHandle<ASN1_TIME, ASN1_TIME_free> begin(
        X509_gmtime_adj(nullptr, std::min<long>(-3600, static_cast<long>(ends.count()) - 3600)));
    const UniqueHandle<ASN1_TIME, ASN1_TIME_free> end(
        X509_gmtime_adj(nullptr, static_cast<long>(ends.count())));
    X509_CRL_set_version(list.get(), 1);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(issuer.certificate.get()));
    X509_CRL_set1_lastUpdate(list.get(), begin.get());
    X509_CRL_set1_nextUpdate(list.get(), end.get());
    for (const std::string& name : names) {
      X509_REVOKED* const entry = X509_REVOKED_new();
      X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(&certificate(name)));
      X509_REVOKED_set_revocationDate(entry, begin.get());
      X509_CRL_add0_revoked(list.get(), entry);
    }
    X509_CRL_sort(list.get());
    X509_CRL_sign(list.get(), issuer.key.get(), EVP_sha256());
    folder_.write(authority + ".crl",
                  pem([&](BIO* to) { PEM_write_bio_X509_CRL(to, list.get()); }));
  }
  std::string der(const std::string& name) const {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(&certificate(name), &bytes);
    std::string out(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    OPENSSL_free(bytes);
    return out;
  }
  void authority(const std::string& name, const std::string& issuer = {}) {
    Options options;
    options.issuer = issuer;
    options.is_authority = true;
    make(name, options);
  }

  /// Of the files of one name: those of another.
  void replace(const std::string& name, const std::string& by) const {
    for (const char* const end : {".pem", ".key"}) {
      std::filesystem::copy_file(path(by + end), path(name + end),
                                 std::filesystem::copy_options::overwrite_existing);
    }
  }
  const ScratchFolder& folder() const { return folder_; }
  X509& certificate(const std::string& name) const { return *pairs_.at(name).certificate; }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  /// A line of a credential: KEY = "@file:PATH".
  std::string line(const std::string& key, const std::string& file) const {
    return key + " = \"@file:" + path(file) + "\"\n";
  }
  /// Lines of a credential with NAME's certificate and key.
  std::string own(const std::string& name) const {
    return line("certificate", name + ".pem") + line("key", name + ".key");
  }

 private:
  using Key = UniqueHandle<EVP_PKEY, EVP_PKEY_free>;
  using Bio = UniqueHandle<BIO, BIO_free_all>;
  struct Pair {
    UniqueHandle<X509, X509_free> certificate;
    Key key;
  };

  /// That of an earlier process, if it has kept one.
  static Key kept_rsa_key(size_t bits, [[maybe_unused]] size_t number) {
#ifdef BP_TEST_BUILD_DIR
    namespace fs = std::filesystem;
    const fs::path folder = BP_TEST_BUILD_DIR "/tests/keys";
    const fs::path file =
        folder / ("rsa-" + std::to_string(bits) + "-" + std::to_string(number) + ".pem");
    if (const Bio in(BIO_new_file(file.c_str(), "r")); in) {
      if (Key kept(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr)); kept) {
        return kept;
      }
    }
    Key made(EVP_RSA_gen(bits));
    fs::create_directories(folder);
    const fs::path draft = file.string() + "." + std::to_string(getpid());
    {
      const Bio out(BIO_new_file(draft.c_str(), "w"));
      PEM_write_bio_PrivateKey(out.get(), made.get(), nullptr, nullptr, 0, nullptr, nullptr);
    }
    fs::rename(draft, file);  // another test may read it now
    return made;
#else
    return Key(EVP_RSA_gen(bits));
#endif
  }

  /// They take long to make: other objects, and other processes, have the same ones.
  Key rsa_key(size_t bits) {
    static std::map<size_t, std::vector<Key>> made;
    auto& keys = made[bits];
    size_t& taken = rsa_keys_[bits];
    if (taken == keys.size()) {
      keys.push_back(kept_rsa_key(bits, taken));
    }
    EVP_PKEY* const key = keys.at(taken++).get();
    EVP_PKEY_up_ref(key);
    return Key(key);
  }

  static void extend(X509* x, int what, const std::string& value) {
    const UniqueHandle<X509_EXTENSION, X509_EXTENSION_free> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str()));
    if (!extension || X509_add_ext(x, extension.get(), -1) != 1) {
      throw std::runtime_error("no extension " + value);
    }
  }
  template <class Write>
  static std::string pem(const Write& write) {
    const UniqueHandle<BIO, BIO_free> to(BIO_new(BIO_s_mem()));
    write(to.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(to.get(), &text);
    return {text, static_cast<size_t>(size)};
  }

  const ScratchFolder folder_;
  std::map<std::string, Pair> pairs_;
  std::map<size_t, size_t> rsa_keys_;  // taken, by their bits
  long serial_ = 0;
};

}  // namespace backplane::test
