// SPDX-License-Identifier: Apache-2.0
// The coap plugin's server over DTLS against libcoap's client.
#include "coap_peers.hpp"
#include "support/certificates.hpp"

namespace backplane::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kSensor1 =
    "[credentials.s1]\npsk_identity = \"sensor-1\"\npsk = \"6b657931\"\n";  // key1

/// libcoap's client says on standard output why, and then this.
const auto kRefused = testing::HasSubstr("cannot send CoAP pdu");

class CoapDtlsServer : public testing::Test {
 protected:
  CoapDtlsServer() {
    certificates_.make("server");
    certificates_.make("client");
  }
  /// The instance `sensors`; `credential` are lines of its own, `more` of its configuration.
  static std::string manifest(std::string_view credential, std::string_view more = {},
                              std::string_view others = {}) {
    return concat(others, "[credentials.c]\n", credential,
                  "[instances.sensors]\nplugin = \"coap\"\nlisten = \"coaps://127.0.0.1:0\"\n"
                  "credentials = \"c\"\n",
                  "resources = [{ path = \"/t\", initial = 20.5 }]\n", more, "\n");
  }
  std::string own() const { return certificates_.own("server"); }
  std::string ca() const { return certificates_.line("ca", "ca.pem"); }

  /// What libcoap's client prints of GET /t.
  static Answered get(TestKernel& test, std::vector<std::string> how, std::string path = "/t") {
    how.insert(how.begin(), {"-B", "3"});
    how.push_back(concat("coaps://127.0.0.1:", static_cast<unsigned>(test.port("sensors")), path));
    return coap_client(how);
  }
  std::vector<std::string> trusting() const { return {"-R", certificates_.path("ca.pem")}; }
  std::vector<std::string> showing(const std::string& name) const {
    return {"-R", certificates_.path("ca.pem"),     "-c", certificates_.path(name + ".pem"),
            "-j", certificates_.path(name + ".key")};
  }
  static std::vector<std::string> by_key(const std::string& identity, const std::string& key) {
    return {"-u", identity, "-k", key};
  }

  Certificates certificates_;
};

/// Keeps what a served path is told of its peer.
class PeerSeen {
 public:
  explicit PeerSeen(TestKernel& test)
      : path_(test.open("sensors:/who", {{BP_H_CREATE, true}})),
        registration_(path_
                          .serve([this](ServedOp request) {
                            const std::lock_guard lock(mutex_);
                            user_ = request.peer_user();
                            has_certificate_ =
                                request.in().header<ValueView>(BP_H_PEER_CERTIFICATE).has_value();
                            return request.reply("ok");
                          })
                          .value()) {
    EXPECT_TRUE(test.open("sensors:/").browse().get().status().is_ok());  // the loop has been there
  }
  std::string user() {
    const std::lock_guard lock(mutex_);
    return user_;
  }
  bool has_certificate() {
    const std::lock_guard lock(mutex_);
    return has_certificate_;
  }

 private:
  std::mutex mutex_;
  std::string user_;
  bool has_certificate_ = false;
  const Endpoint path_;
  const Registration registration_;
};

TEST_F(CoapDtlsServer, AnswersAClientThatTrustsItsCertificate) {
  TestKernel test(manifest(own()));
  EXPECT_EQ(get(test, trusting()).out, "20.5");
  EXPECT_THAT(test.info("sensors").detail, HasSubstr("coaps://127.0.0.1:"));
  EXPECT_GT(test.metric("sensors", "certificate_not_after_s"), 0);
}

TEST_F(CoapDtlsServer, TakesAPutInBlocks) {
  TestKernel test(manifest(own()));
  const ScratchFile large("\"" + std::string(5'000, 'x') + "\"");
  std::vector<std::string> how = trusting();
  how.insert(how.end(), {"-m", "put", "-f", large.name()});
  get(test, how);
  EXPECT_EQ(text_of(test.open("sensors:/t").read().value().body()).size(), 5'002U);
}

TEST_F(CoapDtlsServer, NotifiesObservers) {
  TestKernel test(manifest(own()));
  ChildProcess observer(
      {"coap-client-openssl", "-R", certificates_.path("ca.pem"), "-s", "30", "-w",
       concat("coaps://127.0.0.1:", static_cast<unsigned>(test.port("sensors")), "/t")});
  ASSERT_TRUE(observer.wait_for_output("20.5"));
  test.open("sensors:/t").write(21.5).get().or_throw();
  EXPECT_TRUE(observer.wait_for_output("21.5"));
}

TEST_F(CoapDtlsServer, ShowsTheChainUpToTheAuthority) {
  certificates_.authority("middle", "ca");
  Certificates::Options below;
  below.issuer = "middle";
  certificates_.make("server", below);
  std::ofstream(certificates_.path("server.pem"), std::ios::app)
      << std::ifstream(certificates_.path("middle.pem")).rdbuf();
  TestKernel test(manifest(own()));
  EXPECT_EQ(get(test, trusting()).out, "20.5");
}

TEST_F(CoapDtlsServer, AsksForACertificateWhenItTrustsAnAuthority) {
  TestKernel test(manifest(own() + ca()));
  PeerSeen seen(test);
  EXPECT_EQ(get(test, showing("client"), "/who").out, "ok");
  EXPECT_EQ(seen.user(), "client");
  EXPECT_TRUE(seen.has_certificate());
}

TEST_F(CoapDtlsServer, RefusesAClientWithoutACertificate) {
  TestKernel test(manifest(own() + ca()));
  EXPECT_THAT(get(test, trusting()).out, kRefused);
  EXPECT_TRUE(
      eventually([&] { return test.metric("sensors", "coap_handshakes_failed_total") > 0; }));
  EXPECT_TRUE(test.logs("did not return a certificate")) << test.logged();
  EXPECT_EQ(test.metric("sensors", "coap_requests_total"), 0);
  EXPECT_EQ(test.metric("sensors", "coap_peers"), 0);
}

TEST_F(CoapDtlsServer, RefusesACertificateOfAnotherAuthority) {
  Certificates::Options foreign;
  foreign.issuer = "other_ca";
  certificates_.make("client", foreign);
  TestKernel test(manifest(own() + ca()));
  EXPECT_THAT(get(test, showing("client")).out, kRefused);
  EXPECT_TRUE(
      eventually([&] { return test.metric("sensors", "coap_handshakes_failed_total") > 0; }));
  EXPECT_TRUE(test.logs("certificate is refused")) << test.logged();
  EXPECT_EQ(test.metric("sensors", "coap_requests_total"), 0);
}

TEST_F(CoapDtlsServer, RefusesACertificateThatHasExpired) {
  Certificates::Options over;
  over.ends = -60s;
  certificates_.make("client", over);
  TestKernel test(manifest(own() + ca()));
  EXPECT_THAT(get(test, showing("client")).out, kRefused);
  EXPECT_TRUE(
      eventually([&] { return test.metric("sensors", "coap_handshakes_failed_total") > 0; }));
  EXPECT_TRUE(test.logs("expired")) << test.logged();
}

TEST_F(CoapDtlsServer, LetsInWhoHasAPreSharedKeyAndKnowsWhoItIs) {
  TestKernel test(
      manifest("psk_identity = \"own\"\npsk = \"6f776e\"\n", "peers = [\"s1\"]", kSensor1));
  PeerSeen seen(test);
  EXPECT_EQ(get(test, by_key("sensor-1", "key1"), "/who").out, "ok");
  EXPECT_EQ(seen.user(), "sensor-1");
  EXPECT_FALSE(seen.has_certificate());
  EXPECT_EQ(get(test, by_key("own", "own"), "/who").out, "ok");
  EXPECT_EQ(seen.user(), "own");
}

TEST_F(CoapDtlsServer, TakesCertificatesAndPreSharedKeysSideBySide) {
  TestKernel test(manifest(own(), "peers = [\"s1\"]", kSensor1));
  EXPECT_EQ(get(test, by_key("sensor-1", "key1")).out, "20.5");
  EXPECT_EQ(get(test, trusting()).out, "20.5");
}

TEST_F(CoapDtlsServer, RefusesAWrongPreSharedKeyAndSaysThatItMayBeOne) {
  TestKernel test(manifest(own(), "peers = [\"s1\"]\nmax_retransmit = 1", kSensor1));
  EXPECT_THAT(get(test, by_key("sensor-1", "guess")).out, kRefused);
  EXPECT_EQ(test.metric("sensors", "coap_requests_total"), 0);
  EXPECT_EQ(test.metric("sensors", "coap_peers"), 0);
  EXPECT_TRUE(
      eventually([&] { return test.metric("sensors", "coap_handshakes_failed_total") > 0; }));
  EXPECT_TRUE(test.logs("wrong pre-shared key")) << test.logged();
}

TEST_F(CoapDtlsServer, RefusesAnUnknownIdentityAndSaysSo) {
  TestKernel test(manifest(own(), "peers = [\"s1\"]", kSensor1));
  EXPECT_THAT(get(test, by_key("stranger", "key1")).out, kRefused);
  EXPECT_TRUE(
      eventually([&] { return test.metric("sensors", "coap_handshakes_failed_total") > 0; }));
  EXPECT_TRUE(test.logs("identity")) << test.logged();
  EXPECT_THAT(test.logged(), Not(HasSubstr("6b657931")));
}

TEST_F(CoapDtlsServer, CountsPlainDatagramsAndAnswersNone) {
  TestKernel test(manifest(own()));
  const RawPeer plain(test.port("sensors"));
  plain.put(7, "ab", "/t", std::string(20, '5'));
  plain.send_bytes(std::string("\x17\xfe\xfd", 3) + std::string(40, 'x'));  // of no session
  EXPECT_FALSE(plain.receive(300ms));
  EXPECT_TRUE(
      eventually([&] { return test.metric("sensors", "coap_datagrams_dropped_total") > 0; }));
  EXPECT_EQ(test.metric("sensors", "coap_requests_total"), 0);
  EXPECT_EQ(get(test, trusting()).out, "20.5");
}

TEST_F(CoapDtlsServer, ShowsARenewedCertificateInTheNextHandshake) {
  Certificates::Options foreign;
  foreign.issuer = "other_ca";
  certificates_.make("next", foreign);
  TestKernel test(manifest(own()));
  EXPECT_EQ(get(test, trusting()).out, "20.5");
  certificates_.replace("server", "next");
  EXPECT_THAT(get(test, trusting()).out, kRefused) << "the old one is not shown any more";
  EXPECT_EQ(get(test, {"-R", certificates_.path("other_ca.pem")}).out, "20.5");
}

TEST_F(CoapDtlsServer, ForgetsAnAuthorityThatIsNotTrustedAnyMore) {
  const auto trust = [this](const std::string& name) {
    std::filesystem::copy_file(certificates_.path(name), certificates_.path("trust.pem"),
                               std::filesystem::copy_options::overwrite_existing);
  };
  trust("ca.pem");
  TestKernel test(manifest(own() + certificates_.line("ca", "trust.pem")));
  EXPECT_EQ(get(test, showing("client")).out, "20.5");
  trust("other_ca.pem");
  EXPECT_THAT(get(test, showing("client")).out, kRefused);
}

TEST_F(CoapDtlsServer, GoesOnWithTheOldFilesWhenTheRenewedOnesAreBrokenAndNamesThem) {
  TestKernel test(manifest(own()));
  std::ofstream(certificates_.path("server.pem"), std::ios::trunc) << "nonsense";
  EXPECT_EQ(get(test, trusting()).out, "20.5");
  EXPECT_THAT(test.logged(),
              AllOf(HasSubstr("is broken"), HasSubstr(certificates_.path("server.pem"))));
  std::filesystem::remove(certificates_.path("server.pem"));
  EXPECT_EQ(get(test, trusting()).out, "20.5");
}

TEST_F(CoapDtlsServer, TakesARenewedPreSharedKeyAndANewIdentity) {
  certificates_.folder().write("identity", "sensor-1\n");
  certificates_.folder().write("psk", "6b657931\n");
  const std::string peer = "[credentials.s1]\n" + certificates_.line("psk_identity", "identity") +
                           certificates_.line("psk", "psk");
  TestKernel test(manifest(own(), "peers = [\"s1\"]", peer));
  EXPECT_EQ(get(test, by_key("sensor-1", "key1")).out, "20.5");
  certificates_.folder().write("psk", "6b657932\n");
  EXPECT_EQ(get(test, by_key("sensor-1", "key2")).out, "20.5");
  EXPECT_THAT(get(test, by_key("sensor-1", "key1")).out, kRefused);
  certificates_.folder().write("identity", "sensor-2\n");
  EXPECT_THAT(get(test, by_key("sensor-1", "key2")).out, kRefused);
  EXPECT_EQ(get(test, by_key("sensor-2", "key2")).out, "20.5");
}

TEST_F(CoapDtlsServer, WarnsOfItsOwnAndAPeersCertificateThatEndSoon) {
  Certificates::Options soon;
  soon.ends = std::chrono::hours(24 * 10);
  certificates_.make("server", soon);
  certificates_.make("client", soon);
  TestKernel test(manifest(own() + ca()));
  EXPECT_TRUE(test.logs("our certificate ends subject=server")) << test.logged();
  EXPECT_EQ(get(test, showing("client")).out, "20.5");
  EXPECT_TRUE(test.logs("a peer's certificate ends subject=client")) << test.logged();
}

TEST_F(CoapDtlsServer, DoesNotTakeAClientThatGoesForOneThatFailed) {
  TestKernel test(manifest(own()));
  EXPECT_EQ(get(test, trusting()).out, "20.5");
  EXPECT_TRUE(eventually([&] { return test.metric("sensors", "coap_peers") == 0; }));
  EXPECT_EQ(test.metric("sensors", "coap_handshakes_failed_total"), 0);
}

TEST_F(CoapDtlsServer, IsASecureClientAsWell) {
  TestKernel other(manifest(own(), "", kSensor1));  // accepts whoever trusts it
  TestKernel test(manifest(
      own() + ca(),
      concat("url = \"coaps://127.0.0.1:", static_cast<unsigned>(other.port("sensors")), "\"")));
  EXPECT_EQ(text_of(test.open("sensors:/.well-known/core").read().within(20s).value().body())
                .substr(0, 4),
            "</t>");
  EXPECT_EQ(test.info("sensors").state, BP_STATE_UP);
}

TEST_F(CoapDtlsServer, DoesNotStartWithoutAnythingToProveItselfBy) {
  TestKernel test;
  test.load(manifest(ca())).or_throw();
  const Status status = test.kernel.start();
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("certificate and key"));
}

}  // namespace
}  // namespace backplane::test
