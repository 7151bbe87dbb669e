// SPDX-License-Identifier: Apache-2.0
#include "identity.hpp"

#include "support/certificates.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace backplane::opcua {
namespace {

using test::Certificates;
using testing::Contains;
using testing::HasSubstr;

class OpcuaIdentity : public testing::Test {
 protected:
  static tls::Certificate certificate_of(const Identity& identity) {
    const unsigned char* der = identity.certificate.data();
    return tls::Certificate(
        d2i_X509(nullptr, &der, static_cast<long>(identity.certificate.size())));
  }
  void keep(const std::string& text) const { folder_.write("pki/own/identity.pem", text); }
  std::string text(const std::string& name) const {
    std::ifstream in(certificates_.path(name));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string refusal() const {
    try {
      static_cast<void>(kept_identity(store_));
    } catch (const Error& error) {
      return std::string(error.status().message());
    }
    return "accepted";
  }

  test::ScratchFolder folder_;
  const pki::Store store_{folder_.path() / "pki"};
  Certificates certificates_;
};

TEST_F(OpcuaIdentity, IsMadeOnceAndKept) {
  EXPECT_EQ(kept_identity(store_), nullptr);
  const auto made = kept_or_new_identity(store_, default_application_uri("plant 7"));
  EXPECT_THAT(made->application_uri, testing::MatchesRegex("urn:.+:backplane:plant-7"));
  const auto again = kept_or_new_identity(store_, "urn:another");
  EXPECT_EQ(again->certificate, made->certificate);
  EXPECT_EQ(again->key, made->key);
}

TEST_F(OpcuaIdentity, IsWhatTheStandardAsksFor) {
  const auto made = kept_or_new_identity(store_, "urn:plant");
  const tls::Certificate sut = certificate_of(*made);
  EXPECT_EQ(EVP_PKEY_get_bits(X509_get0_pubkey(sut.get())), 2048);
  EXPECT_EQ(X509_verify(sut.get(), X509_get0_pubkey(sut.get())), 1);
  EXPECT_EQ(tls::application_uri(*sut), made->application_uri);
  EXPECT_THAT(tls::host_names(*sut), Contains("127.0.0.1"));
  EXPECT_THAT(tls::host_names(*sut), Contains("::1"));
  const uint32_t usage = X509_get_key_usage(sut.get());
  EXPECT_EQ(usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION | KU_KEY_ENCIPHERMENT |
                     KU_DATA_ENCIPHERMENT),
            static_cast<uint32_t>(KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION | KU_KEY_ENCIPHERMENT |
                                  KU_DATA_ENCIPHERMENT));
  EXPECT_EQ(X509_check_ca(sut.get()), 0);
  EXPECT_EQ(X509_get_extended_key_usage(sut.get()), uint32_t{XKU_SSL_SERVER | XKU_SSL_CLIENT});
  EXPECT_GT(tls::not_after(*sut), std::time(nullptr) + 9L * 365 * tls::Expiry::kDay);
}

TEST_F(OpcuaIdentity, OfASystemThatLooksAtAnotherOneHasNoName) {
  EXPECT_THAT(default_application_uri("look://cloud"), testing::EndsWith(":backplane"));
}

TEST_F(OpcuaIdentity, MayBeReplacedByTheOperator) {
  certificates_.application("own", "urn:plant:own", "ca");
  keep(text("own.pem") + text("own.key"));
  EXPECT_EQ(kept_identity(store_)->application_uri, "urn:plant:own");
}

TEST_F(OpcuaIdentity, ThatIsOfNoUseIsRefusedByName) {
  certificates_.application("own", "urn:plant:own");
  certificates_.application("other", "urn:plant:other");
  certificates_.make("no_uri", {.issuer = "", .rsa_bits = 2048});
  certificates_.make("curve", {.issuer = "", .alt_names = "URI:urn:x"});
  const std::string own = text("own.pem");
  keep(own);
  EXPECT_THAT(refusal(), HasSubstr("pki/own/identity.pem: has no key in PEM"));
  keep(text("own.key") + own.substr(0, own.size() / 2));
  EXPECT_THAT(refusal(), HasSubstr("has no certificate in PEM"));
  keep("");
  EXPECT_THAT(refusal(), HasSubstr("has no key"));
  keep(own + text("other.key"));
  EXPECT_THAT(refusal(), HasSubstr("not that of the certificate"));
  keep(text("no_uri.pem") + text("no_uri.key"));
  EXPECT_THAT(refusal(), HasSubstr("subjectAltName = URI:"));
  keep(text("curve.pem") + text("curve.key"));
  EXPECT_THAT(refusal(), HasSubstr("no RSA key"));
}

TEST_F(OpcuaIdentity, OfAUserNeedsNoUri) {
  certificates_.make("user", {.issuer = "", .alt_names = "", .rsa_bits = 2048});
  const std::string key = text("user.key");
  const tls::detail::Bio pem = tls::detail::reader(key);
  const tls::PrivateKey parsed(PEM_read_bio_PrivateKey(pem.get(), nullptr, nullptr, nullptr));
  EXPECT_EQ(Identity::of("it", certificates_.certificate("user"), *parsed, false)->application_uri,
            "");
}

}  // namespace
}  // namespace backplane::opcua
