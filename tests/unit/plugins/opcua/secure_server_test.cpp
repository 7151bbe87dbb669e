// SPDX-License-Identifier: Apache-2.0
#include "secure_server.hpp"

#include "support/certificates.hpp"
#include "support/fake_host.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <open62541/server_config_default.h>

namespace backplane::opcua {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class OpcuaServerSecurity : public testing::Test {
 protected:
  OpcuaServerSecurity() {
    certificates_.application("own", "urn:test:server");
    certificates_.application("renewed", "urn:test:server");
    config_.logging = &logger_;
    EXPECT_EQ(UA_ServerConfig_setBasics(&config_), UA_STATUSCODE_GOOD);
  }
  ~OpcuaServerSecurity() override { UA_ServerConfig_clean(&config_); }

  static SecuritySettings settings(std::string_view mode = {}, std::string_view policy = {}) {
    std::vector<Pair> pairs = {{"plain_password", false}, {"check_host_name", true}, {"pki", "/x"}};
    if (!mode.empty()) {
      pairs.emplace_back("security_mode", mode);
    }
    if (!policy.empty()) {
      pairs.emplace_back("security_policy", policy);
    }
    return SecuritySettings(
        Config(ValueView::map({static_cast<const bp_pair*>(pairs.data()), pairs.size()})));
  }
  std::shared_ptr<const Identity> identity(const std::string& name) const {
    std::ifstream in(certificates_.path(name + ".key"));
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const tls::detail::Bio pem = tls::detail::reader(text);
    const tls::PrivateKey key(PEM_read_bio_PrivateKey(pem.get(), nullptr, nullptr, nullptr));
    return Identity::of(name, certificates_.certificate(name), *key);
  }
  std::vector<std::string> endpoints() const {
    std::vector<std::string> out;
    for (size_t i = 0; i < config_.endpointsSize; ++i) {
      const Policy* const policy = policy_with_uri(view(config_.endpoints[i].securityPolicyUri));
      out.push_back(concat(mode_name(config_.endpoints[i].securityMode), " ",
                           policy != nullptr ? policy->name : "None"));
    }
    return out;
  }

  test::Certificates certificates_;
  test::ScratchFolder folder_;
  test::FakeHost fake_;
  Host host_{fake_.raw()};
  const Trust trust_{host_, pki::Store(folder_.path() / "pki"), {}};
  UA_Logger logger_{[](void*, UA_LogLevel, UA_LogCategory, const char*, va_list) {}, nullptr,
                    nullptr};
  UA_ServerConfig config_{};
};

TEST_F(OpcuaServerSecurity, OffersAllThatIsNotDeprecatedAndTellsItWithoutSecurity) {
  secure_server(config_, settings(), trust_, identity("own").get());
  EXPECT_THAT(endpoints(),
              ElementsAre("sign Aes256_Sha256_RsaPss", "sign_and_encrypt Aes256_Sha256_RsaPss",
                          "sign Aes128_Sha256_RsaOaep", "sign_and_encrypt Aes128_Sha256_RsaOaep",
                          "sign Basic256Sha256", "sign_and_encrypt Basic256Sha256"));
  EXPECT_TRUE(config_.securityPolicyNoneDiscoveryOnly);
  EXPECT_EQ(view(config_.applicationDescription.applicationUri), "urn:test:server");
}

TEST_F(OpcuaServerSecurity, OffersWhatIsAskedForAlone) {
  secure_server(config_, settings("sign", "Basic256"), trust_, identity("own").get());
  EXPECT_THAT(endpoints(), ElementsAre("sign Basic256"));
}

TEST_F(OpcuaServerSecurity, IsLeftOutWhereThatIsSaid) {
  secure_server(config_, settings("none"), trust_, nullptr);
  EXPECT_THAT(endpoints(), ElementsAre("none None"));
  EXPECT_FALSE(config_.securityPolicyNoneDiscoveryOnly);
  EXPECT_FALSE(config_.allowNonePolicyPassword);
}

TEST_F(OpcuaServerSecurity, EncryptsPasswordsAlsoWithoutSecuredChannels) {
  secure_server(config_, settings("none"), trust_, identity("own").get());
  EXPECT_THAT(endpoints(), ElementsAre("none None"));
  EXPECT_EQ(config_.securityPoliciesSize, 4u);
}

TEST_F(OpcuaServerSecurity, RefusesUnknownClientsAndKeepsThem) {
  secure_server(config_, settings(), trust_, identity("own").get());
  const std::string der = certificates_.der("renewed");
  const UA_ByteString shown = borrowed(der);
  EXPECT_EQ(config_.secureChannelPKI.verifyCertificate(&config_.secureChannelPKI, &shown),
            UA_STATUSCODE_BADCERTIFICATEUNTRUSTED);
  const std::string id = trust_.store().rejected().items.at(0).id;
  static_cast<void>(trust_.store().trust(id));
  EXPECT_EQ(config_.secureChannelPKI.verifyCertificate(&config_.secureChannelPKI, &shown),
            UA_STATUSCODE_GOOD);
}

TEST_F(OpcuaServerSecurity, HasARenewedCertificateFromTheNextHandshakeOn) {
  secure_server(config_, settings(), trust_, identity("own").get());
  UA_Server* const server = UA_Server_newWithConfig(&config_);
  ASSERT_NE(server, nullptr);
  const UA_ServerConfig& config = *UA_Server_getConfig(server);
  ASSERT_TRUE(view(config.securityPolicies[1].localCertificate) == certificates_.der("own"));
  renew_server(*server, *identity("renewed"));
  for (size_t i = 1; i < config.securityPoliciesSize; ++i) {
    EXPECT_TRUE(view(config.securityPolicies[i].localCertificate) == certificates_.der("renewed"));
  }
  UA_Server_delete(server);
}

TEST_F(OpcuaServerSecurity, KeepsItsCertificateWhereAPolicyDoesNotTakeTheRenewedOne) {
  secure_server(config_, settings(), trust_, identity("own").get());
  UA_Server* const server = UA_Server_newWithConfig(&config_);
  ASSERT_NE(server, nullptr);
  Identity broken;
  const std::string der = certificates_.der("renewed");
  broken.certificate.assign(der.begin(), der.end());
  broken.key = {'n', 'o', 'n', 'e'};
  EXPECT_THROW(renew_server(*server, broken), Error);
  const UA_ServerConfig& config = *UA_Server_getConfig(server);
  for (size_t i = 1; i < config.securityPoliciesSize; ++i) {
    EXPECT_TRUE(view(config.securityPolicies[i].localCertificate) == certificates_.der("own"));
  }
  renew_server(*server, *identity("renewed"));
  EXPECT_TRUE(view(config.securityPolicies[1].localCertificate) == certificates_.der("renewed"));
  UA_Server_delete(server);
}

TEST(OpcuaSecuritySettings, ThatContradictThemselvesAreRefused) {
  const Pair pairs[] = {{"plain_password", false},
                        {"check_host_name", true},
                        {"security_mode", "none"},
                        {"security_policy", "Basic256Sha256"}};
  const Config config(ValueView::map({static_cast<const bp_pair*>(pairs), std::size(pairs)}));
  try {
    const SecuritySettings sut(config);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(std::string(error.status().message()), HasSubstr("security_mode 'none'"));
  }
}

}  // namespace
}  // namespace backplane::opcua
