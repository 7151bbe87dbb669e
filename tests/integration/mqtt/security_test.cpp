// SPDX-License-Identifier: Apache-2.0
// TLS by certificate and by pre-shared key, users and passwords: what is accepted, and what is
// refused with which error.
#include "integration/mqtt/fixture.hpp"
#include "support/certificates.hpp"
#include "support/free_port.hpp"

#include <openssl/ssl.h>

#include <future>

namespace backplane::test {
namespace {

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

class Tls : public testing::Test {
 protected:
  std::string credentials(const std::string& ca) const {
    return "[credentials.tls]\nca = \"@file:" + certificates_.path(ca) + "\"\n";
  }
  std::string config(const std::string& name) const {
    return "credentials = \"tls\"\nserver_name = \"" + name + "\"";
  }

  /// Lines of the listener, with more of them.
  std::string listener(const std::string& more = {}) {
    certificates_.make("server");
    certificates_.make("client");
    return "cafile " + certificates_.path("ca.pem") + "\ncertfile " +
           certificates_.path("server.pem") + "\nkeyfile " + certificates_.path("server.key") +
           "\n" + more;
  }
  /// The file trust.pem, which credentials("trust.pem") trusts, becomes a copy of that one.
  void trust(const std::string& name) const {
    std::filesystem::copy_file(certificates_.path(name), certificates_.path("trust.pem"),
                               std::filesystem::copy_options::overwrite_existing);
  }

  Certificates certificates_;
  Broker broker_{{.config = {}, .listener_config = listener()}};
};

TEST_F(Tls, ConnectsWhenAuthorityAndNameAreRight) {
  const auto system =
      MqttSystem::connected(broker_.url("mqtts"), config("broker.test"), credentials("ca.pem"));
  const Endpoint topic = system->open("a");
  EXPECT_TRUE(topic.write("secret", {{BP_H_RETAIN, true}}).get().is_ok());
  EXPECT_EQ(topic.read<std::string>().value(), "secret");
}

TEST_F(Tls, CarriesLargeMessages) {
  const auto system =
      MqttSystem::connected(broker_.url("mqtts"), config("broker.test"), credentials("ca.pem"));
  const std::string large(500'000, 'x');
  Seen seen;
  const Endpoint topic = system->open("big");
  const Subscription subscription = watch(topic, seen);
  ASSERT_TRUE(eventually([&] { return broker_.count_in_log("big (QoS 1)") == 1; }));
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(topic.write(std::string_view(large)).within(kPatience).get().is_ok());
  }
  EXPECT_EQ(seen.wait_for(5)[4].body, large);
}

TEST_F(Tls, RefusesAnotherHostsCertificate) {
  MqttSystem system(broker_.url("mqtts"), config("elsewhere.test"), credentials("ca.pem"));
  const Status status = system.open("a").write(1).within(kPatience).get();
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_NE(status.message().find("ostname mismatch"), std::string_view::npos)
      << status.to_string();
  EXPECT_TRUE(system.becomes(BP_STATE_DOWN));
}

TEST_F(Tls, RefusesACertificateOfAnUnknownAuthority) {
  MqttSystem system(broker_.url("mqtts"), config("broker.test"), credentials("other_ca.pem"));
  const Status status = system.open("a").write(1).within(kPatience).get();
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_NE(status.message().find("certificate"), std::string_view::npos) << status.to_string();
}

TEST_F(Tls, DoesNotTrustTheSystemsAuthoritiesMoreThanTheyDeserve) {
  MqttSystem system(broker_.url("mqtts"), "server_name = \"broker.test\"");
  EXPECT_EQ(system.open("a").write(1).within(kPatience).get().code(), BP_UNAUTHENTICATED);
}

TEST_F(Tls, ComesBackAfterTheBrokerWasKilled) {
  const auto system =
      MqttSystem::connected(broker_.url("mqtts"), config("broker.test"), credentials("ca.pem"));
  broker_.kill();
  EXPECT_TRUE(system->becomes(BP_STATE_CONNECTING));
  broker_.start();
  EXPECT_TRUE(system->open("a").write("again").within(kPatience).get().is_ok());
}

TEST_F(Tls, IsNotSpokenToABrokerWithout) {
  const Broker plain;
  MqttSystem system(plain.url("mqtts"), config("broker.test"), credentials("ca.pem"));
  const Status status = system.open("a").write(1).within(1s).get();
  EXPECT_TRUE(status.is_error());
  EXPECT_NE(system.info().state, BP_STATE_UP);
}

TEST_F(Tls, RefusesACertificateThatHasExpired) {
  Certificates::Options over;
  over.ends = -60s;
  certificates_.make("server", over);
  broker_.kill();
  broker_.start();
  MqttSystem system(broker_.url("mqtts"), config("broker.test"), credentials("ca.pem"));
  const Status status = system.open("a").write(1).within(kPatience).get();
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_TRUE(has(std::string(status.message()), "expired")) << status.to_string();
}

TEST_F(Tls, ShowsItsCertificateWhereOneIsAskedFor) {
  for (const std::string version : {"tlsv1.2", "tlsv1.3"}) {
    const Broker strict{
        {.config = {},
         .listener_config = listener("require_certificate true\ntls_version " + version + "\n")}};
    const auto system = MqttSystem::connected(strict.url("mqtts"), config("broker.test"),
                                              credentials("ca.pem") + certificates_.own("client"));
    EXPECT_TRUE(system->open("a").write(1).get().is_ok());

    MqttSystem without(strict.url("mqtts"), config("broker.test"), credentials("ca.pem"));
    const Status status = without.open("a").write(1).within(kPatience).get();
    EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << version << ": " << status.to_string();
    EXPECT_TRUE(has(std::string(status.message()), "the broker refused us")) << status.to_string();
    EXPECT_TRUE(without.becomes(BP_STATE_DOWN));
  }
}

TEST_F(Tls, UsesRenewedFilesForTheNextConnectionOfASessionThatIsKept) {
  trust("ca.pem");
  const auto system =
      MqttSystem::connected(broker_.url("mqtts"), config("broker.test"), credentials("trust.pem"));
  Certificates::Options other;
  other.issuer = "other_ca";
  certificates_.make("server", other);
  trust("other_ca.pem");
  broker_.kill();
  broker_.start();
  EXPECT_TRUE(system->open("a").write("again").within(kPatience).get().is_ok());
}

TEST_F(Tls, GoesOnWithTheOldFilesWhenTheRenewedOnesAreBrokenAndNamesThem) {
  trust("ca.pem");
  const auto system =
      MqttSystem::connected(broker_.url("mqtts"), config("broker.test"), credentials("trust.pem"));
  certificates_.folder().write("trust.pem", "nonsense");
  broker_.kill();
  broker_.start();
  EXPECT_TRUE(system->open("a").write("again").within(kPatience).get().is_ok());
  EXPECT_TRUE(has(system->logged(), "is broken")) << system->logged();
  EXPECT_TRUE(has(system->logged(), certificates_.path("trust.pem"))) << system->logged();
}

TEST_F(Tls, WarnsOfItsOwnAndTheBrokersCertificateThatEndSoon) {
  Certificates::Options soon;
  soon.ends = std::chrono::hours(24 * 10);
  certificates_.make("server", soon);
  certificates_.make("client", soon);
  broker_.kill();
  broker_.start();
  const auto system = MqttSystem::connected(broker_.url("mqtts"), config("broker.test"),
                                            credentials("ca.pem") + certificates_.own("client"));
  EXPECT_TRUE(has(system->logged(), "our certificate ends")) << system->logged();
  EXPECT_TRUE(has(system->logged(), "the peer's certificate ends")) << system->logged();
  EXPECT_GT(system->metric("certificate_not_after_s"), 0);
}

/// Takes one client, and answers what it subscribes to in a single TLS record: SUBACK and a
/// message.
class OneRecordBroker {
 public:
  OneRecordBroker(const std::string& certificate, const std::string& key)
      : context_(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free) {
    SSL_CTX_use_certificate_file(context_.get(), certificate.c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context_.get(), key.c_str(), SSL_FILETYPE_PEM);
    served_ = std::async(std::launch::async, [this] { serve(); });
  }
  std::string url() const { return "mqtts://127.0.0.1:" + std::to_string(port_.port()); }

 private:
  void serve() {
    pollfd ready = {port_.descriptor(), POLLIN, 0};
    const timeval patience = {kPatience.count(), 0};
    if (poll(&ready, 1, static_cast<int>(kPatience.count() * 1000)) != 1) return;
    const int fd = accept(port_.descriptor(), nullptr, nullptr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context_.get()), &SSL_free);
    SSL_set_fd(tls.get(), fd);
    using namespace std::string_literals;
    if (SSL_accept(tls.get()) == 1 && receive(*tls)[0] == 0x10) {
      send(*tls, "\x20\x02\0\0"s);
      const std::string subscribe = receive(*tls);
      send(*tls, "\x90\x03"s + subscribe.substr(2, 2) + "\0\x30\x06\0\x01"s + "acde");
      receive(*tls);  // nothing more is said until the client goes
    }
    close(fd);
  }
  static std::string receive(SSL& tls) {
    char packet[1024] = {};
    const int n = SSL_read(&tls, packet, sizeof packet);
    return {packet, static_cast<size_t>(std::max(n, 4))};
  }
  static void send(SSL& tls, const std::string& bytes) {
    EXPECT_GT(SSL_write(&tls, bytes.data(), static_cast<int>(bytes.size())), 0);
  }

  const HeldPort port_{SOCK_STREAM, 0};
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::future<void> served_;
};

TEST_F(Tls, LeavesNothingUnreadOfARecordOfSeveralPackets) {
  const OneRecordBroker broker(certificates_.path("server.pem"), certificates_.path("server.key"));
  const auto system = MqttSystem::connected(broker.url(), config("broker.test") + "\nversion = 4",
                                            credentials("ca.pem"));
  Seen seen;
  const Endpoint topic = system->open("a");
  const Subscription subscription = watch(topic, seen);
  EXPECT_EQ(seen.wait_for(1).at(0).body, "cde");
}

TEST(TlsPreSharedKey, IsEnoughForBothSides) {
  ScratchFolder folder;
  const auto keys = folder.write("psk", "bridge:00112233445566778899aabbccddeeff\n");
  const Broker broker{
      {.config = {},
       .listener_config = "psk_file " + keys.string() + "\npsk_hint hint\ntls_version tlsv1.2\n"}};
  const std::string right =
      "[credentials.tls]\npsk_identity = \"bridge\"\npsk = \"00112233445566778899aabbccddeeff\"\n";
  const auto system = MqttSystem::connected(broker.url("mqtts"), "credentials = \"tls\"", right);
  EXPECT_TRUE(system->open("a").write(1).get().is_ok());
}

TEST(TlsPreSharedKey, ThatIsWrongOrOfNobodyIsSaidToBeSo) {
  ScratchFolder folder;
  const auto keys = folder.write("psk", "bridge:00112233445566778899aabbccddeeff\n");
  const Broker broker{
      {.config = {},
       .listener_config = "psk_file " + keys.string() + "\npsk_hint hint\ntls_version tlsv1.2\n"}};
  const std::string wrong = "[credentials.tls]\npsk_identity = \"bridge\"\npsk = \"ff\"\n";
  MqttSystem refused(broker.url("mqtts"), "credentials = \"tls\"\nclient_id = \"other\"", wrong);
  const Status status = refused.open("a").write(1).within(kPatience).get();
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_NE(status.message().find("pre-shared key"), std::string_view::npos) << status.to_string();
  EXPECT_TRUE(refused.becomes(BP_STATE_DOWN));

  const std::string stranger =
      "[credentials.tls]\npsk_identity = \"nobody\"\npsk = \"00112233445566778899aabbccddeeff\"\n";
  MqttSystem unknown(broker.url("mqtts"), "credentials = \"tls\"\nclient_id = \"third\"", stranger);
  EXPECT_EQ(unknown.open("a").write(1).within(kPatience).get().code(), BP_UNAUTHENTICATED);
}

class Password : public testing::TestWithParam<int> {
 protected:
  Password() {
    ChildProcess tool({"mosquitto_passwd", "-b", "-c", users_.string(), "alice", "wonder"});
    EXPECT_EQ(tool.wait(), 0) << tool.err();
    broker_.start();
  }
  std::string config() const {
    return "credentials = \"login\"\nversion = " + std::to_string(GetParam());
  }

  ScratchFolder folder_;
  std::filesystem::path users_ = folder_.path() / "users";
  Broker broker_{
      {.config = "allow_anonymous false\npassword_file " + users_.string(), .start = false}};
};
INSTANTIATE_TEST_SUITE_P(Mqtt, Password, testing::Values(4, 5), version_name);

TEST_P(Password, ThatIsRightIsAccepted) {
  const auto system = MqttSystem::connected(
      broker_.url(), config(), "[credentials.login]\nuser = \"alice\"\npassword = \"wonder\"\n");
  EXPECT_TRUE(system->open("a").write(1).get().is_ok());
}

TEST_P(Password, ThatIsWrongIsUnauthenticatedAndSaidSo) {
  MqttSystem system(broker_.url(), config(),
                    "[credentials.login]\nuser = \"alice\"\npassword = \"guess\"\n");

  const Status status = system.open("a").write(1).within(kPatience).get();

  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_EQ(status.domain(), "mqtt");
  EXPECT_NE(status.message().find("credential"), std::string_view::npos) << status.to_string();
  EXPECT_TRUE(system.becomes(BP_STATE_DOWN));
  EXPECT_EQ(system.info().detail.find("guess"), std::string::npos);
  Seen seen;
  const Endpoint topic = system.open("b");
  const Subscription subscription = watch(topic, seen);
  const auto outcome = subscription.wait_for(kPatience);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->code(), BP_UNAUTHENTICATED);
}

TEST_P(Password, ThatCannotBeReadYetIsNamedAndAwaited) {
  const std::string secret = folder_.path() / "secret";
  const std::string login =
      "[credentials.login]\nuser = \"alice\"\npassword = \"@file:" + secret + "\"\n";
  const MqttSystem system(broker_.url(), config(), login);
  EXPECT_TRUE(eventually([&] { return has(system.info().detail, secret); }))
      << system.info().detail;
  folder_.write("secret", "wonder");
  EXPECT_TRUE(system.becomes(BP_STATE_UP)) << system.info().detail;
}

TEST_P(Password, ThatCannotBeReadAnyMoreIsUsedOnAsItWas) {
  const std::string secret = folder_.write("secret", "wonder");
  const auto system = MqttSystem::connected(
      broker_.url(), config(),
      "[credentials.login]\nuser = \"alice\"\npassword = \"@file:" + secret + "\"\n");
  std::filesystem::remove(secret);
  broker_.kill();  // with the session that it had
  broker_.start();
  EXPECT_TRUE(system->open("a").write("again").within(kPatience).get().is_ok());
  EXPECT_TRUE(has(system->logged(), "renewed secrets are broken")) << system->logged();
  EXPECT_TRUE(has(system->logged(), secret)) << system->logged();
}

TEST(AccessControl, ThatDeniesAPublicationIsSaidSo) {
  ScratchFolder folder;
  const auto rules = folder.write("acl", "topic read #\ntopic write open/#\n");
  const Broker broker{{.config = "acl_file " + rules.string()}};
  const auto system = MqttSystem::connected(broker.url());

  EXPECT_TRUE(system->open("open/a").write(1).get().is_ok());
  const Status denied = system->open("closed/a").write(1).get();

  EXPECT_EQ(denied.code(), BP_PERMISSION_DENIED) << denied.to_string();
  EXPECT_EQ(denied.native(), 0x87);
  EXPECT_EQ(system->open("closed/a").write(1, {{BP_H_QOS, 2}}).get().code(), BP_PERMISSION_DENIED);
}

}  // namespace
}  // namespace backplane::test
