// SPDX-License-Identifier: Apache-2.0
// Policies, modes, users and certificates against a real server: what is accepted, and what is
// refused with which status.
#include "fixture.hpp"
#include "support/certificates.hpp"
#include <backplane/sdk/pki_store.hpp>

namespace backplane::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr auto kNode = "ns=1;s=Line1.Temperature";
constexpr auto kServerUri = "urn:test:server";

/// The opcua instance with more tables besides.
class SecuredSystem : public OpcuaSystem {
 public:
  explicit SecuredSystem(uint16_t port, const std::string& config, const std::string& more = {})
      : OpcuaSystem(port, config, "127.0.0.1", more) {}
};

/// Certificates of a server and of us, and a store that trusts the server.
class Secured : public testing::Test {
 protected:
  Secured() {
    certificates_.application("server", kServerUri);
    certificates_.application("own", "urn:test:own");
    certificates_.application("user", "urn:test:user");
    std::filesystem::create_directory(trusted_there());
    trust("server");
    trust_there("own");
  }

  std::filesystem::path trusted_there() const { return folder_.path() / "there"; }
  void trust(const std::string& name) const {
    folder_.write("pki/trusted/" + name + ".der", certificates_.der(name));
  }
  void trust_there(const std::string& name) const {
    folder_.write("there/" + name + ".der", certificates_.der(name));
  }
  std::vector<std::string> options(const std::vector<std::string>& more,
                                   const std::string& name = "server") const {
    std::vector<std::string> out = {"--certificate", certificates_.path(name + ".pem"),
                                    "--key",         certificates_.path(name + ".key"),
                                    "--uri",         kServerUri};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  /// With endpoints of one policy; it trusts whom trust_there() names.
  std::vector<std::string> one_policy(const std::vector<std::string>& more = {}) const {
    auto out = options({"--policy", "Basic256Sha256", "--trusted", trusted_there()});
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  std::string pki() const { return "pki = \"" + (folder_.path() / "pki").string() + "\"\n"; }
  std::string config(const std::string& more = {}) const {
    return pki() + "credentials = \"own\"\n" + more;
  }
  std::string credentials(const std::string& more = {}) const {
    return "[credentials.own]\n" + certificates_.own("own") + more;
  }
  pki::Store store() const { return pki::Store(folder_.path() / "pki"); }
  static Status failure(OpcuaSystem& system) { return system.open(kNode).read().get().status(); }

  Certificates certificates_;
  ScratchFolder folder_;
};

// ---- policies and modes ----

struct Channel {
  const char* policy;
  const char* mode;
};

class AChannel : public Secured, public testing::WithParamInterface<Channel> {};

TEST_P(AChannel, ReadsWritesAndWatches) {
  const auto [policy, mode] = GetParam();
  const OpcuaServer server(options({"--policy", policy, "--trusted", trusted_there()}));
  SecuredSystem system(
      server.port(),
      config(concat("security_mode = \"", mode, "\"\nsecurity_policy = \"", policy, "\"")),
      credentials());
  const Endpoint node = system.connected().open(kNode);
  EXPECT_THAT(system.info().detail, HasSubstr(concat(mode, " ", policy)));
  EXPECT_EQ(node.read<double>().value(), 20.5);
  const Told told;
  const auto watching = node.watch(told);
  ASSERT_TRUE(told.has(20.5));
  node.write(21.5).or_throw();
  EXPECT_TRUE(told.has(21.5));
}

INSTANTIATE_TEST_SUITE_P(
    OfOpcua, AChannel,
    testing::Values(Channel{"Basic128Rsa15", "sign"}, Channel{"Basic128Rsa15", "sign_and_encrypt"},
                    Channel{"Basic256", "sign"}, Channel{"Basic256", "sign_and_encrypt"},
                    Channel{"Basic256Sha256", "sign"},
                    Channel{"Basic256Sha256", "sign_and_encrypt"},
                    Channel{"Aes128_Sha256_RsaOaep", "sign"},
                    Channel{"Aes128_Sha256_RsaOaep", "sign_and_encrypt"},
                    Channel{"Aes256_Sha256_RsaPss", "sign"},
                    Channel{"Aes256_Sha256_RsaPss", "sign_and_encrypt"}),
    [](const auto& each) { return concat(each.param.policy, "_", each.param.mode); });

TEST_F(Secured, TheBestIsChosenWithoutAWord) {
  const OpcuaServer server(options({"--policy", "None", "--policy", "Basic256Sha256", "--policy",
                                    "Aes256_Sha256_RsaPss", "--policy", "Basic256"}));
  SecuredSystem system(server.port(), config(), credentials());
  system.connected();
  EXPECT_THAT(system.info().detail, HasSubstr("sign_and_encrypt Aes256_Sha256_RsaPss"));
}

TEST_F(Secured, NoneIsTakenWhereItIsSaid) {
  const OpcuaServer server(options({"--policy", "None", "--policy", "Basic256Sha256"}));
  SecuredSystem system(server.port(), "security_mode = \"none\"");
  system.connected();
  EXPECT_THAT(system.info().detail, HasSubstr("no security"));
  EXPECT_EQ(system.open(kNode).read<double>().value(), 20.5);
}

TEST_F(Secured, WhatTheServerDoesNotOfferIsNamedWithWhatItOffers) {
  const OpcuaServer server(options({"--policy", "Basic256Sha256"}));
  SecuredSystem system(server.port(), config("security_mode = \"none\""), credentials());
  const Status status = failure(system);
  EXPECT_EQ(status.code(), BP_FAILED_PRECONDITION);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("BadSecurityPolicyRejected"), HasSubstr("sign Basic256Sha256")));
}

// ---- the server's certificate ----

TEST_F(Secured, AnUnknownServerIsRefusedAndTrustedWithoutARestart) {
  std::filesystem::remove_all(folder_.path() / "pki");
  const OpcuaServer server(one_policy());
  SecuredSystem system(server.port(), config(), credentials());
  const Status status = failure(system);
  const std::string id = tls::thumbprint(certificates_.certificate("server"));
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED);
  EXPECT_EQ(status.domain(), "opcua");
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("BadCertificateUntrusted: the peer's certificate: it is not known"),
                    HasSubstr("backplane cert trust " + id.substr(0, 8))));
  EXPECT_EQ(system.info().state, BP_STATE_CONNECTING);
  EXPECT_EQ(store().rejected().items.at(0).peer, concat("opc.tcp://127.0.0.1:", server.port()));
  static_cast<void>(store().trust(id.substr(0, 8)));
  system.connected();
  EXPECT_EQ(system.open(kNode).read<double>().value(), 20.5);
}

struct BadServer {
  const char* name;
  const char* status;
  std::function<void(Certificates&)> make;
  const char* advice;
};

class ABadServer : public Secured, public testing::WithParamInterface<BadServer> {};

TEST_P(ABadServer, IsRefusedByTheNameOfWhatIsWrong) {
  const BadServer& bad = GetParam();
  bad.make(certificates_);
  if (std::string(bad.name) == "Revoked") {
    folder_.write("pki/trusted/ca.der", certificates_.der("ca"));
    std::filesystem::create_directory(folder_.path() / "pki" / "crl");
    std::filesystem::copy_file(certificates_.path("ca.crl"), folder_.path() / "pki/crl/ca.crl");
  } else {
    trust("bad");
  }
  const OpcuaServer server(options({"--policy", "Basic256Sha256"}, "bad"));
  SecuredSystem system(server.port(), config(), credentials());
  const Status status = failure(system);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(bad.status), HasSubstr(bad.advice)));
  ASSERT_EQ(store().rejected().items.size(), 1u);
  EXPECT_THAT(store().rejected().items[0].cause, HasSubstr(bad.status));
}

INSTANTIATE_TEST_SUITE_P(
    OfOpcua, ABadServer,
    testing::Values(BadServer{"Expired", "BadCertificateTimeInvalid",
                              [](Certificates& all) {
                                all.make("bad",
                                         {.issuer = "",
                                          .alt_names = concat("URI:", kServerUri, ",IP:127.0.0.1"),
                                          .begins = std::chrono::hours(-48),
                                          .ends = std::chrono::hours(-24),
                                          .rsa_bits = 2048});
                              },
                              "it expired at"},
                    BadServer{"WrongUri", "BadCertificateUriInvalid",
                              [](Certificates& all) { all.application("bad", "urn:test:other"); },
                              "it is for the application 'urn:test:other'"},
                    BadServer{"WrongHost", "BadCertificateHostNameInvalid",
                              [](Certificates& all) {
                                all.make("bad", {.issuer = "",
                                                 .alt_names = concat("URI:", kServerUri,
                                                                     ",DNS:plant.example"),
                                                 .rsa_bits = 2048});
                              },
                              "check_host_name = false"},
                    BadServer{"Revoked", "BadCertificateRevoked",
                              [](Certificates& all) {
                                all.application("bad", kServerUri, "ca");
                                all.revoke("ca", {"bad"});
                              },
                              "it was revoked by CN=ca"}),
    [](const auto& each) { return std::string(each.param.name); });

TEST_F(Secured, AHostNameThatIsNotCheckedMayBeAnother) {
  certificates_.make("bad", {.issuer = "",
                             .alt_names = concat("URI:", kServerUri, ",DNS:plant.example"),
                             .rsa_bits = 2048});
  trust("bad");
  const OpcuaServer server(options({"--policy", "Basic256Sha256"}, "bad"));
  SecuredSystem system(server.port(), config("check_host_name = false"), credentials());
  system.connected();
}

// ---- our own certificate ----

TEST_F(Secured, AServerThatDoesNotKnowUsIsNamedAndTakesUsOnceItDoes) {
  std::filesystem::remove(trusted_there() / "own.der");
  const OpcuaServer server(one_policy());
  SecuredSystem system(server.port(), config(), credentials());
  const Status status = failure(system);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("that of `credentials`"));
  trust_there("own");
  system.connected();
}

TEST_F(Secured, AnIdentityIsMadeAtFirstUseAndKept) {
  const OpcuaServer server(options({"--policy", "Basic256Sha256"}));
  std::string first;
  for (int start = 0; start < 2; ++start) {
    SecuredSystem system(server.port(), pki());
    system.connected();
    const auto identity = store().identity();
    ASSERT_TRUE(identity);
    const std::string text(identity->text());
    EXPECT_TRUE(first.empty() || first == text);
    first = text;
  }
}

TEST_F(Secured, NoIdentityIsMadeWhereNothingIsSecured) {
  const OpcuaServer server;
  SecuredSystem system(server.port(), pki());
  system.connected();
  EXPECT_FALSE(store().identity());
}

TEST_F(Secured, ARenewedCertificateIsUsedByTheNextSession) {
  OpcuaServer server(one_policy());
  SecuredSystem system(server.port(), config(), credentials());
  system.connected();
  certificates_.application("renewed", "urn:test:own");
  certificates_.replace("own", "renewed");
  std::filesystem::remove(trusted_there() / "own.der");
  trust_there("renewed");
  server.kill();
  ASSERT_TRUE(system.becomes(BP_STATE_CONNECTING));
  server.start();
  system.connected();
}

TEST_F(Secured, ABrokenCertificateOfOursIsNamed) {
  certificates_.make("own", {.issuer = "", .alt_names = "", .rsa_bits = 2048});
  const OpcuaServer server(one_policy());
  SecuredSystem system(server.port(), config(), credentials());
  const Status status = failure(system);
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("credential 'own'"), HasSubstr("URI")));
}

TEST_F(Secured, AFolderThatOthersCanWriteIsNamed) {
  const OpcuaServer server(one_policy());
  ScratchFolder::set_mode(folder_.path() / "pki" / "trusted", 0777);
  SecuredSystem system(server.port(), config(), credentials());
  EXPECT_THAT(std::string(failure(system).message()), HasSubstr("can be written by others"));
}

// ---- what a server says of itself ----

TEST_F(Secured, ItsEndpointsAreReadAlthoughNoSessionCanBeMade) {
  std::filesystem::remove_all(folder_.path() / "pki");
  const OpcuaServer server(one_policy());
  SecuredSystem system(server.port(), config(), credentials());
  const auto found = system.open("@Endpoints").read().get();
  ASSERT_TRUE(found) << found.status().message();
  std::vector<std::string> modes;
  for (const ValueView each : found->body().items()) {
    EXPECT_EQ(each.find("security_policy")->get<std::string>(), "Basic256Sha256");
    EXPECT_EQ(each.find("application_uri")->get<std::string>(), kServerUri);
    EXPECT_GT(each.find("certificate")->payload()->size(), 0u);
    EXPECT_GT(each.find("users")->size(), 0u);
    modes.push_back(each.find("security_mode")->get<std::string>().value());
  }
  EXPECT_THAT(modes, testing::UnorderedElementsAre("sign", "sign_and_encrypt"));
  EXPECT_NE(system.info().state, uint32_t{BP_STATE_UP});
}

TEST_F(Secured, TheServersThatItKnowsAreRead) {
  const OpcuaServer server(one_policy());
  SecuredSystem system(server.port(), config(), credentials());
  const auto found = system.open("/@Servers").read().get();
  ASSERT_TRUE(found) << found.status().message();
  ASSERT_GE(found->body().size(), 1u);
  EXPECT_EQ(found->body().at(0).find("application_uri")->get<std::string>(), kServerUri);
  EXPECT_EQ(found->body().at(0).find("type")->get<std::string>(), "server");
}

TEST(OpcuaInquiry, OfAServerThatIsNotThereFails) {
  OpcuaSystem system(free_port_base(), "connect_timeout_s = 1");
  EXPECT_EQ(system.open("@Endpoints").read().get().status().code(), BP_UNAVAILABLE);
  EXPECT_FALSE(system.open("@Endpoints").write(1).get().is_ok());
}

// ---- users ----

class AUser : public Secured {
 protected:
  std::vector<std::string> users(std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--no-anonymous", "--user", "operator:secret"});
    return options(more);
  }
  std::string as(const std::string& name, const std::string& password) const {
    return credentials(
        concat("[credentials.user]\nuser = \"", name, "\"\npassword = \"", password, "\"\n"));
  }
};

TEST_F(AUser, WithItsPasswordIsTakenOnASecuredChannel) {
  const OpcuaServer server(users({"--policy", "Basic256Sha256"}));
  for (const char* mode : {"sign", "sign_and_encrypt"}) {
    SecuredSystem system(server.port(),
                         config(concat("user = \"user\"\nsecurity_mode = \"", mode, "\"")),
                         as("operator", "secret"));
    system.connected();
    EXPECT_EQ(system.open(kNode).read<double>().value(), 20.5);
  }
}

TEST_F(AUser, WithAnotherPasswordIsRefused) {
  const OpcuaServer server(users({"--policy", "Basic256Sha256"}));
  SecuredSystem system(server.port(), config("user = \"user\""), as("operator", "guess"));
  const Status status = failure(system);
  EXPECT_EQ(status.code(), BP_PERMISSION_DENIED) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("BadUserAccessDenied"));
}

TEST_F(AUser, ThatIsAnonymousIsRefusedWhereOneIsNeeded) {
  const OpcuaServer server(users({"--policy", "Basic256Sha256"}));
  SecuredSystem system(server.port(), config(), credentials());
  const Status status = failure(system);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("BadIdentityTokenRejected"), HasSubstr("give one with user")));
}

TEST_F(AUser, SendsNoPasswordThatCanBeReadUnlessThatIsAllowed) {
  const OpcuaServer server(users({"--policy", "None", "--plain-password"}));
  {
    SecuredSystem system(server.port(), config("security_mode = \"none\"\nuser = \"user\""),
                         as("operator", "secret"));
    EXPECT_THAT(std::string(failure(system).message()), HasSubstr("plain_password = true"));
  }
  SecuredSystem system(server.port(),
                       config("security_mode = \"none\"\nuser = \"user\"\nplain_password = true"),
                       as("operator", "secret"));
  system.connected();
}

TEST_F(AUser, SendsAnEncryptedPasswordWithoutASecuredChannel) {
  const OpcuaServer server(users({"--policy", "None", "--policy", "Basic256Sha256"}));
  SecuredSystem system(server.port(), config("security_mode = \"none\"\nuser = \"user\""),
                       as("operator", "secret"));
  system.connected();
  EXPECT_EQ(system.open(kNode).read<double>().value(), 20.5);
}

TEST_F(AUser, WithACertificateIsTakenIfItIsTrusted) {
  trust_there("user");
  const OpcuaServer server(one_policy({"--no-anonymous"}));
  SecuredSystem system(server.port(), config("user = \"user\""),
                       credentials("[credentials.user]\n" + certificates_.own("user")));
  system.connected();
  EXPECT_EQ(system.open(kNode).read<double>().value(), 20.5);
}

TEST_F(AUser, WithAnUnknownCertificateIsRefused) {
  const OpcuaServer server(one_policy({"--no-anonymous"}));
  SecuredSystem system(server.port(), config("user = \"user\""),
                       credentials("[credentials.user]\n" + certificates_.own("user")));
  const Status status = failure(system);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("BadIdentityToken"));
}

TEST_F(AUser, WithNothingToProveItIsNamed) {
  const OpcuaServer server(one_policy());
  SecuredSystem system(
      server.port(), config("user = \"user\""),
      credentials("[credentials.user]\nca = \"@file:" + certificates_.path("ca.pem") + "\"\n"));
  EXPECT_THAT(std::string(failure(system).message()),
              HasSubstr("either user and password, or certificate and key"));
}

}  // namespace
}  // namespace backplane::test
