// SPDX-License-Identifier: Apache-2.0
#include "trust.hpp"

#include "support/certificates.hpp"
#include "support/fake_host.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace backplane::opcua {
namespace {

using std::chrono::hours;
using test::Certificates;
using testing::HasSubstr;

constexpr const char* kUri = "urn:test:peer";

class OpcuaTrust : public testing::Test {
 protected:
  OpcuaTrust() { certificates_.application("peer", kUri); }

  void place(const std::string& folder, const std::string& file) const {
    std::filesystem::create_directories(folder_.path() / "pki" / folder);
    std::filesystem::copy_file(certificates_.path(file), folder_.path() / "pki" / folder / file,
                               std::filesystem::copy_options::overwrite_existing);
  }
  Verdict check(const std::string& name, const Expected& expected = {}) const {
    return sut_.check(certificates_.der(name), expected);
  }
  static std::string_view name(const Verdict& verdict) { return UA_StatusCode_name(verdict.code); }
  std::string cause() const {
    const auto found = sut_.store().rejected();
    return found.items.size() == 1 ? found.items[0].cause : concat(found.items.size(), " of them");
  }

  Certificates certificates_;
  test::ScratchFolder folder_;
  test::FakeHost fake_;
  Host host_{fake_.raw()};
  const Trust sut_{host_, pki::Store(folder_.path() / "pki"), {}};
};

TEST_F(OpcuaTrust, KnowsNobodyAtFirstAndKeepsWhomItRefuses) {
  const Verdict verdict = check("peer", {.peer = "opc.tcp://plant"});
  EXPECT_EQ(name(verdict), "BadCertificateUntrusted");
  EXPECT_EQ(cause(), "BadCertificateUntrusted: it is not known");
  EXPECT_EQ(sut_.store().rejected().items.at(0).peer, "opc.tcp://plant");
  const Status status = sut_.status_of(verdict);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED);
  EXPECT_EQ(static_cast<UA_StatusCode>(status.native()), UA_STATUSCODE_BADCERTIFICATEUNTRUSTED);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(concat("backplane cert trust ", verdict.thumbprint.substr(0, 8), " --pki ",
                               sut_.store().folder().string())));
}

// The shell that the advice is typed into has another one.
TEST_F(OpcuaTrust, NamesAlsoTheFolderThatIsTheDefault) {
  ::setenv("STATE_DIRECTORY", folder_.path().c_str(), 1);
  const Trust sut(host_, pki::Store(pki::Store::default_folder()), {});
  const Status status = sut.status_of(sut.check(certificates_.der("peer"), {}));
  ::unsetenv("STATE_DIRECTORY");
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(concat(" --pki ", (folder_.path() / "pki").string())));
}

/// Of a server, which only its log can tell.
class OpcuaServersTrust : public OpcuaTrust {
 protected:
  void show(const std::string& name) {
    const std::string der = certificates_.der(name);
    const UA_ByteString shown = borrowed(der);
    EXPECT_NE(native_.verifyCertificate(&native_, &shown), UA_STATUSCODE_GOOD);
  }
  /// The fields of those that tell of a refused peer.
  std::vector<std::string> told() {
    std::vector<std::string> out;
    for (const auto& each : fake_.logs()) {
      if (each.text.starts_with("a peer is refused")) {
        out.push_back(each.fields);
      }
    }
    return out;
  }

  const Trust servers_{host_,
                       pki::Store(folder_.path() / "pki"),
                       {false, {}, [] { return std::string("192.0.2.7"); }}};
  UA_CertificateVerification native_ = servers_.native(nullptr);
};

TEST_F(OpcuaServersTrust, TellsOfNewsOnceASecondAtMostAndCountsTheRest) {
  certificates_.application("second", kUri);
  certificates_.application("third", kUri);
  show("peer");
  show("peer");    // no news
  show("second");  // too soon
  ASSERT_EQ(told().size(), 1u);
  EXPECT_THAT(told()[0],
              testing::AllOf(HasSubstr("BadCertificateUntrusted: it is not known"),
                             HasSubstr(tls::thumbprint(certificates_.certificate("peer"))),
                             HasSubstr("192.0.2.7"), HasSubstr("not_logged_before\"=0")));
  EXPECT_EQ(fake_.metric("opcua_certificates_refused_total"), 3);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  show("third");
  ASSERT_EQ(told().size(), 2u);
  EXPECT_THAT(told()[1], HasSubstr("not_logged_before\"=1"));
}

TEST_F(OpcuaServersTrust, TellsOfWhomItCannotKeep) {
  folder_.write("pki/rejected", "no folder");
  show("peer");
  ASSERT_EQ(told().size(), 1u);
  EXPECT_THAT(told()[0], HasSubstr(tls::thumbprint(certificates_.certificate("peer"))));
}

TEST_F(OpcuaTrust, BelievesAPeerFromTheMomentThatItIsTrusted) {
  ASSERT_FALSE(check("peer").is_good());
  static_cast<void>(sut_.store().trust(sut_.store().rejected().items.at(0).id));
  EXPECT_EQ(name(check("peer")), "Good");
  EXPECT_TRUE(sut_.store().rejected().items.empty());
}

TEST_F(OpcuaTrust, BelievesWhomATrustedAuthorityHasSigned) {
  certificates_.application("signed", kUri, "ca");
  EXPECT_EQ(name(check("signed")), "BadCertificateChainIncomplete");
  EXPECT_THAT(cause(), HasSubstr("the authority CN=ca is not known"));
  place("trusted", "ca.pem");
  EXPECT_EQ(name(check("signed")), "Good");
}

TEST_F(OpcuaTrust, FollowsAChainThatThePeerShowsOrThatIsKnown) {
  certificates_.authority("middle", "ca");
  certificates_.application("signed", kUri, "middle");
  place("trusted", "ca.pem");
  EXPECT_EQ(name(check("signed")), "BadCertificateChainIncomplete");
  EXPECT_EQ(name(sut_.check(certificates_.der("signed") + certificates_.der("middle"), {})),
            "Good");
  place("issuers", "middle.pem");
  EXPECT_EQ(name(check("signed")), "Good");
}

TEST_F(OpcuaTrust, DoesNotTrustAnAuthorityThatIsOnlyKnown) {
  certificates_.application("signed", kUri, "ca");
  place("issuers", "ca.pem");
  EXPECT_EQ(name(check("signed")), "BadCertificateUntrusted");
}

TEST_F(OpcuaTrust, LetsNoTrustedPeerMakeOthers) {
  certificates_.application("other", kUri, "peer");
  place("trusted", "peer.pem");
  EXPECT_EQ(name(check("other")), "BadCertificateIssuerUseNotAllowed");
}

TEST_F(OpcuaTrust, TakesTheAuthoritiesOfACredentialToo) {
  certificates_.application("signed", kUri, "ca");
  const auto material = std::make_shared<tls::Material>();
  material->authorities.reset(X509_STORE_new());
  X509_STORE_add_cert(material->authorities.get(), &certificates_.certificate("ca"));
  const Trust trust(host_, pki::Store(folder_.path() / "pki"), {false, [=] { return material; }});
  EXPECT_EQ(name(trust.check(certificates_.der("signed"), {})), "Good");
}

TEST_F(OpcuaTrust, RefusesWhatIsNotValidNow) {
  for (const auto& [file, begins, ends, what] :
       {std::tuple("late", hours(-48), hours(-24), "it expired at 20"),
        std::tuple("early", hours(24), hours(48), "not yet")}) {
    certificates_.make(file, {.issuer = "", .begins = begins, .ends = ends, .rsa_bits = 2048});
    place("trusted", std::string(file) + ".pem");
    const Verdict verdict = check(file);
    EXPECT_EQ(name(verdict), "BadCertificateTimeInvalid");
    EXPECT_THAT(verdict.reason, HasSubstr(what));
  }
  certificates_.make("old_ca", {.issuer = "", .ends = hours(-1) / 2, .is_authority = true});
  certificates_.application("signed", kUri, "old_ca");
  place("trusted", "old_ca.pem");
  EXPECT_EQ(name(check("signed")), "BadCertificateIssuerTimeInvalid");
}

TEST_F(OpcuaTrust, RefusesWhatIsRevoked) {
  certificates_.application("signed", kUri, "ca");
  certificates_.application("good", kUri, "ca");
  place("trusted", "ca.pem");
  place("trusted", "signed.pem");  // even so
  certificates_.revoke("ca", {"signed"});
  place("crl", "ca.crl");
  EXPECT_EQ(name(check("signed")), "BadCertificateRevoked");
  EXPECT_EQ(cause(), "BadCertificateRevoked: it was revoked by CN=ca");
  EXPECT_EQ(name(check("good")), "Good");
}

TEST_F(OpcuaTrust, RefusesAllOfAnAuthorityThatIsRevoked) {
  certificates_.authority("middle", "ca");
  certificates_.application("signed", kUri, "middle");
  place("trusted", "ca.pem");
  place("issuers", "middle.pem");
  certificates_.revoke("ca", {"middle"});
  place("crl", "ca.crl");
  EXPECT_EQ(name(check("signed")), "BadCertificateIssuerRevoked");
}

TEST_F(OpcuaTrust, RefusesAllWhomAListIsAboutThatCannotBeBelieved) {
  certificates_.application("signed", kUri, "ca");
  place("trusted", "ca.pem");
  certificates_.revoke("ca", {}, hours(-1));
  place("crl", "ca.crl");
  EXPECT_EQ(name(check("signed")), "BadCertificateRevocationUnknown") << "an old one";
  certificates_.revoke("ca", {});
  place("crl", "ca.crl");
  EXPECT_EQ(name(check("signed")), "Good");
  folder_.write("pki/crl/ca.crl", "-----BEGIN X509 CRL-----\nMIIB");
  EXPECT_EQ(name(check("signed")), "BadCertificateRevocationUnknown") << "a broken one";
  certificates_.make("false_ca", {.issuer = "", .is_authority = true});
}

TEST_F(OpcuaTrust, RefusesAnotherApplicationOrHost) {
  place("trusted", "peer.pem");
  EXPECT_EQ(name(check("peer", {.application_uri = kUri, .host_name = "127.0.0.1"})), "Good");
  EXPECT_EQ(name(check("peer", {.host_name = "localhost"})), "Good");
  EXPECT_EQ(name(check("peer", {.application_uri = "urn:test"})), "BadCertificateUriInvalid")
      << "a part of it is not enough";
  EXPECT_THAT(cause(), HasSubstr("for the application 'urn:test:peer'"));
  EXPECT_EQ(name(check("peer", {.host_name = "127.0.0.2"})), "BadCertificateHostNameInvalid");
  EXPECT_THAT(cause(), HasSubstr("it is for localhost, 127.0.0.1, not for 127.0.0.2"));
}

TEST_F(OpcuaTrust, RefusesWeakKeysAndSignaturesUnlessTheyAreAllowed) {
  certificates_.make("short", {.issuer = "", .rsa_bits = 1024});
  certificates_.make("sha1", {.issuer = "", .rsa_bits = 2048, .digest = EVP_sha1()});
  certificates_.make("curve", {.issuer = ""});
  const Trust lenient(host_, pki::Store(folder_.path() / "pki"), {true, {}});
  for (const char* file : {"short", "sha1", "curve"}) {
    place("trusted", std::string(file) + ".pem");
    EXPECT_EQ(name(check(file)), "BadCertificatePolicyCheckFailed") << file;
    EXPECT_EQ(lenient.check(certificates_.der(file), {}).is_good(), file != std::string("curve"));
  }
}

TEST_F(OpcuaTrust, RefusesWhatIsForAnotherUse) {
  certificates_.make("use", {.issuer = "", .rsa_bits = 2048, .key_usage = "keyEncipherment"});
  certificates_.make("authority", {.issuer = "",
                                   .is_authority = true,
                                   .rsa_bits = 2048,
                                   .key_usage = "keyCertSign,cRLSign,digitalSignature"});
  for (const char* file : {"use", "authority"}) {
    place("trusted", std::string(file) + ".pem");
    EXPECT_EQ(name(check(file)), "BadCertificateUseNotAllowed") << file;
  }
}

TEST_F(OpcuaTrust, RefusesBytesThatAreNoCertificate) {
  place("trusted", "peer.pem");
  const std::string der = certificates_.der("peer");
  EXPECT_EQ(name(sut_.check("", {})), "BadCertificateInvalid");
  EXPECT_EQ(name(sut_.check("noise", {})), "BadCertificateInvalid");
  for (size_t length = 1; length < der.size(); length += 37) {
    EXPECT_EQ(name(sut_.check(der.substr(0, length), {})), "BadCertificateInvalid") << length;
  }
  std::string changed = der;
  changed[changed.size() - 5] ^= 1;  // of the signature
  EXPECT_EQ(name(sut_.check(changed, {})), "BadCertificateUntrusted");
  EXPECT_EQ(name(sut_.check(der + "noise", {})), "Good") << "what is behind it counts for nothing";
}

TEST_F(OpcuaTrust, RefusesEverybodyWhenOthersCanWriteItsFolder) {
  place("trusted", "peer.pem");
  test::ScratchFolder::set_mode(folder_.path() / "pki" / "trusted", 0777);
  const Verdict verdict = check("peer");
  EXPECT_EQ(name(verdict), "BadCertificateUntrusted");
  EXPECT_THAT(verdict.reason, HasSubstr("chmod go-w"));
}

TEST_F(OpcuaTrust, WarnsOfABrokenFileOnce) {
  place("trusted", "peer.pem");
  folder_.write("pki/trusted/broken.pem", "noise");
  EXPECT_TRUE(check("peer").is_good());
  EXPECT_TRUE(check("peer").is_good());
  const auto logs = fake_.logs();
  ASSERT_EQ(logs.size(), 1u);
  EXPECT_THAT(logs[0].text, HasSubstr("trust store"));
}

TEST_F(OpcuaTrust, ServesTheLibrary) {
  const UA_CertificateVerification native = sut_.native(nullptr);
  const std::string der = certificates_.der("peer");
  UA_ByteString shown = borrowed(der);
  const UA_String uri = borrowed(kUri);
  const UA_String other = borrowed("urn:other");
  EXPECT_EQ(native.verifyCertificate(&native, &shown), UA_STATUSCODE_BADCERTIFICATEUNTRUSTED);
  place("trusted", "peer.pem");
  EXPECT_EQ(native.verifyCertificate(&native, &shown), UA_STATUSCODE_GOOD);
  EXPECT_EQ(native.verifyApplicationURI(&native, &shown, &uri), UA_STATUSCODE_GOOD);
  EXPECT_EQ(native.verifyApplicationURI(&native, &shown, &other),
            UA_STATUSCODE_BADCERTIFICATEURIINVALID);
  EXPECT_THAT(cause(), HasSubstr("BadCertificateUriInvalid"));
  NativeString subject;
  ASSERT_EQ(native.getSubjectName(subject.get(), &shown), UA_STATUSCODE_GOOD);
  EXPECT_EQ(view(*subject), "CN=peer");
  UA_DateTime end = 0;
  ASSERT_EQ(native.getExpirationDate(&end, &shown), UA_STATUSCODE_GOOD);
  EXPECT_GT(end, UA_DateTime_now());
}

}  // namespace
}  // namespace backplane::opcua
