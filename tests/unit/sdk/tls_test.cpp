// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/tls_credential.hpp"
#include "support/certificates.hpp"
#include "support/fake_host.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

namespace backplane::test {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using testing::HasSubstr;

/// A credential `c` of a host without a kernel.
class TlsCredential : public testing::Test {
 protected:
  TlsCredential() {
    certificates_.make("own");
    certificates_.make("next");
  }

  std::string file(const std::string& name) const {
    std::ifstream in(certificates_.path(name));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void set(const std::string& field, const std::string& content) {
    fake_.set_credential("c", field, content);
  }
  void show(const std::string& name) {
    set("certificate", file(name + ".pem"));
    set("key", file(name + ".key"));
  }
  std::string refusal() {
    try {
      static_cast<void>(sut_.fetch());
    } catch (const Error& error) {
      EXPECT_EQ(error.status().code(), BP_INVALID_ARGUMENT);
      return std::string(error.status().message());
    }
    return "accepted";
  }
  size_t logs(std::string_view text) {
    size_t n = 0;
    for (const auto& record : fake_.logs()) {
      n += record.text.find(text) != std::string::npos ? 1U : 0U;
    }
    return n;
  }

  Certificates certificates_;
  FakeHost fake_;
  Host host_{fake_.raw()};
  tls::Credential sut_{host_, "c"};
};

TEST_F(TlsCredential, IsEmptyWithoutFields) {
  const auto material = sut_.fetch();
  EXPECT_FALSE(material->authorities);
  EXPECT_FALSE(material->certificate);
  EXPECT_FALSE(material->psk);
}

TEST_F(TlsCredential, HasTheChainBehindItsCertificate) {
  show("own");
  set("certificate", file("own.pem") + file("ca.pem"));
  const auto material = sut_.fetch();
  EXPECT_EQ(X509_cmp(material->certificate.get(), &certificates_.certificate("own")), 0);
  ASSERT_EQ(sk_X509_num(material->chain.get()), 1);
  EXPECT_EQ(X509_cmp(sk_X509_value(material->chain.get(), 0), &certificates_.certificate("ca")), 0);
}

TEST_F(TlsCredential, ReadsAPreSharedKeyOfHexadecimalDigits) {
  set("psk_identity", "sensor-1");
  set("psk", "00ffA1");
  unsigned char key[8] = {};
  const auto material = sut_.fetch();
  ASSERT_EQ(material->psk.copy_to(key, sizeof key), 3U);
  EXPECT_EQ(key[0], 0);
  EXPECT_EQ(key[1], 0xff);
  EXPECT_EQ(key[2], 0xa1);
  EXPECT_EQ(material->psk.copy_to(key, 2), 0U) << "no part of a key";
}

TEST_F(TlsCredential, IsThatOfTheLastFetchAsLongAsNothingChanges) {
  show("own");
  const auto before = sut_.fetch();
  EXPECT_EQ(sut_.fetch(), before);
}

TEST_F(TlsCredential, IsRenewed) {
  show("own");
  const auto before = sut_.fetch();
  show("next");
  const auto after = sut_.fetch();
  EXPECT_EQ(X509_cmp(after->certificate.get(), &certificates_.certificate("next")), 0);
  EXPECT_EQ(X509_cmp(before->certificate.get(), &certificates_.certificate("own")), 0);
}

TEST_F(TlsCredential, StaysWhatItWasWhenTheRenewedOneIsBroken) {
  show("own");
  const auto before = sut_.fetch();
  set("certificate", file("next.pem"));  // and still the old key
  EXPECT_EQ(sut_.fetch(), before);
  EXPECT_EQ(sut_.fetch(), before);
  EXPECT_EQ(logs("is broken"), 1U) << "said once";
  set("key", file("next.key"));
  EXPECT_NE(sut_.fetch(), before);
}

TEST_F(TlsCredential, IsBrokenWhenTheSystemsSecurityLevelRefusesItsCertificate) {
  Certificates::Options weak;
  weak.rsa_bits = 512;
  certificates_.make("weak", weak);
  show("weak");
  EXPECT_THAT(refusal(), HasSubstr("field 'certificate' (/fake/certificate): it cannot be used"));
  show("own");
  const auto before = sut_.fetch();
  show("weak");
  EXPECT_EQ(sut_.fetch(), before);
  EXPECT_EQ(logs("is broken"), 1U);
}

TEST_F(TlsCredential, SaysWhatIsWrongWithIt) {
  set("ca", "nonsense");
  EXPECT_THAT(refusal(), HasSubstr("field 'ca' (/fake/ca)"));
  set("ca", file("ca.pem") + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_THAT(refusal(), HasSubstr("field 'ca'"));
  set("ca", file("ca.pem"));
  set("certificate", file("own.pem"));
  EXPECT_THAT(refusal(), HasSubstr("there is no key"));
  set("key", file("next.key"));
  EXPECT_THAT(refusal(), HasSubstr("not that of the certificate"));
  set("key", "nonsense");
  EXPECT_THAT(refusal(), HasSubstr("field 'key'"));
  show("own");
  set("psk", "00ff");
  EXPECT_THAT(refusal(), HasSubstr("there is no psk_identity"));
  set("psk_identity", "me");
  set("psk", "12345");
  EXPECT_THAT(refusal(), HasSubstr("hexadecimal"));
  EXPECT_THAT(refusal(), testing::Not(HasSubstr("12345"))) << "a secret is never shown";
}

TEST_F(TlsCredential, AsksNobodyForThePasswordOfAKey) {
  set("certificate", file("own.pem"));
  const UniqueHandle<BIO, BIO_free> in(BIO_new_file(certificates_.path("own.key").c_str(), "r"));
  const tls::PrivateKey key(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr));
  const UniqueHandle<BIO, BIO_free> out(BIO_new(BIO_s_mem()));
  unsigned char password[] = "p";
  ASSERT_EQ(PEM_write_bio_PrivateKey(out.get(), key.get(), EVP_aes_128_cbc(), password, 1, nullptr,
                                     nullptr),
            1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  set("key", std::string(text, static_cast<size_t>(size)));
  EXPECT_THAT(refusal(), HasSubstr("field 'key'"));
}

TEST(TlsAlert, TellsWhoWasRefusedFromWhatFailed) {
  EXPECT_EQ(tls::status_of_alert(SSL_AD_UNKNOWN_CA), BP_UNAUTHENTICATED);
  EXPECT_EQ(tls::status_of_alert(SSL_AD_UNKNOWN_PSK_IDENTITY), BP_UNAUTHENTICATED);
  EXPECT_EQ(tls::status_of_alert(SSL_AD_HANDSHAKE_FAILURE), BP_UNAUTHENTICATED);
  EXPECT_EQ(tls::status_of_alert(SSL_AD_ACCESS_DENIED), BP_PERMISSION_DENIED);
  EXPECT_EQ(tls::status_of_alert(SSL_AD_INTERNAL_ERROR), BP_UNAVAILABLE);
}

TEST(TlsName, OfACertificateIsItsCommonName) {
  Certificates certificates;
  certificates.make("sensor-7");
  EXPECT_EQ(tls::common_name(certificates.certificate("sensor-7")), "sensor-7");
}

/// With a clock that moves with the loop's.
class TlsExpiry : public testing::Test {
 protected:
  TlsExpiry() { watch(std::chrono::days(40)); }

  void watch(seconds ends) {
    Certificates::Options options;
    options.ends = ends;
    certificates_.make("it", options);
    sut_.watch(certificates_.certificate("it"));
  }
  void pass(std::chrono::days time) {
    for (int i = 0; i < time.count() * 24; ++i) {
      now_ += 3600;
      fake_.loop.advance(hours(1));
    }
  }
  size_t said(uint32_t level) {
    size_t n = 0;
    for (const auto& record : fake_.logs()) {
      n += record.level == level ? 1U : 0U;
    }
    return n;
  }

  Certificates certificates_;
  FakeHost fake_;
  Host host_{fake_.raw()};
  int64_t now_ = std::time(nullptr);
  int refreshed_ = 0;
  tls::ExpiryWatch sut_{
      host_,
      "own",
      [this] { ++refreshed_; },
      {.wall = [this] { return now_; }, .monotonic = [this] { return fake_.loop.now(); }}};
};

TEST_F(TlsExpiry, IsAGauge) {
  EXPECT_NEAR(static_cast<double>(fake_.metric("certificate_not_after_s{certificate=own}")),
              static_cast<double>(now_ + 40 * int64_t{86400}), 60);
}

TEST_F(TlsExpiry, IsSaidEachDayFromThirtyDaysBefore) {
  EXPECT_EQ(said(BP_LOG_WARNING), 0U);
  pass(std::chrono::days(9));
  EXPECT_EQ(said(BP_LOG_WARNING), 0U);
  pass(std::chrono::days(2));
  EXPECT_EQ(said(BP_LOG_WARNING), 1U);
  pass(std::chrono::days(3));
  EXPECT_EQ(said(BP_LOG_WARNING), 4U);
  EXPECT_GT(refreshed_, 0);
}

TEST_F(TlsExpiry, IsAnErrorOnceItIsOver) {
  watch(std::chrono::days(1));
  EXPECT_EQ(said(BP_LOG_WARNING), 1U) << "at once";
  EXPECT_EQ(said(BP_LOG_ERROR), 0U);
  pass(std::chrono::days(2));
  EXPECT_GE(said(BP_LOG_ERROR), 1U);
}

TEST_F(TlsExpiry, IsNotSaidAgainOfTheSameCertificate) {
  watch(std::chrono::days(1));
  sut_.watch(certificates_.certificate("it"));
  EXPECT_EQ(said(BP_LOG_WARNING), 1U);
}

}  // namespace
}  // namespace backplane::test
