// SPDX-License-Identifier: Apache-2.0
// The coap plugin's client over DTLS against libcoap's server and the plugin's own one.
#include "coap_peers.hpp"
#include "support/certificates.hpp"
#include "support/free_port.hpp"
#include "support/udp_relay.hpp"

#include <dlfcn.h>
#include <netdb.h>

/// In front of the system's: "two.test" has two addresses, and nobody listens at the first.
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* name,
                                                                  const char* service,
                                                                  const addrinfo* hints,
                                                                  addrinfo** out) {
  static const auto next =
      reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  const bool is_two = std::string_view(name) == "two.test" && !(hints->ai_flags & AI_NUMERICHOST);
  const int result = next(is_two ? "127.0.0.2" : name, service, hints, out);
  if (is_two && result == 0) {
    addrinfo* last = *out;
    while (last->ai_next != nullptr) {
      last = last->ai_next;
    }
    return next("127.0.0.1", service, hints, &last->ai_next);
  }
  return result;
}

namespace backplane::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// coap-server-openssl on loopback: plain on a port, DTLS on the next.
class SecureServer {
 public:
  explicit SecureServer(std::vector<std::string> args) : args_(std::move(args)) { start(); }
  void start() {
    std::vector<std::string> all{"coap-server-openssl", "-A", "127.0.0.1",          "-p",
                                 std::to_string(base_), "-d", std::to_string(kMany)};
    all.insert(all.end(), args_.begin(), args_.end());
    process_.emplace(all);
    if (!eventually([this] {
          const RawPeer peer(base_);
          peer.send(RawPeer::kCon, 1, 1, "t", RawPeer::uri("/example_data"), "");
          return peer.receive(50ms).has_value();
        })) {
      throw std::runtime_error("coap-server-openssl does not answer: " + process_->err());
    }
  }
  void kill() {
    process_->signal(SIGKILL);
    process_->wait();
  }
  uint16_t port() const { return static_cast<uint16_t>(base_ + 1); }

 private:
  static constexpr int kMany = 8;
  const std::vector<std::string> args_;
  const uint16_t base_ = free_port_base();
  std::optional<ChildProcess> process_;
};

std::string secure_url(uint16_t port, std::string_view host = "127.0.0.1") {
  return concat("coaps://", host, ":", static_cast<unsigned>(port));
}

/// The instance `peer` with the credential `c`.
std::string manifest(uint16_t port, std::string_view credential, std::string_view more = {},
                     std::string_view host = "127.0.0.1") {
  return concat("[credentials.c]\n", credential, "[instances.peer]\nplugin = \"coap\"\nurl = \"",
                secure_url(port, host), "\"\ncredentials = \"c\"\nconnect_timeout_s = 2\n", more,
                "\n");
}

constexpr std::string_view kKey = "psk_identity = \"me\"\npsk = \"73657372657431\"\n";  // sesret1

class CoapDtlsClient : public testing::Test {
 protected:
  CoapDtlsClient() {
    certificates_.make("server");
    certificates_.make("client");
  }
  std::vector<std::string> server_args(const std::string& name = "server") const {
    return {"-n", "-c", certificates_.path(name + ".pem"), "-j", certificates_.path(name + ".key")};
  }
  std::string ca(const std::string& name = "ca.pem") const {
    return certificates_.line("ca", name);
  }
  /// Of a read that must fail by the handshake.
  static Status refusal(TestKernel& test) {
    const Status status = test.open("peer:/example_data").read().within(20s).get().status();
    EXPECT_EQ(test.kernel.instances().size(), 1U);
    EXPECT_NE(test.info("peer").state, BP_STATE_UP);
    return status;
  }

  Certificates certificates_;
};

TEST_F(CoapDtlsClient, ReadsAndWritesAtAServerWhoseCertificateIsTrusted) {
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca()));
  const Endpoint data = test.open("peer:/example_data");
  data.write("secret").within(20s).or_throw();
  EXPECT_EQ(text_of(data.read().value().body()), "secret");
  EXPECT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_UP; }));
  EXPECT_GT(test.metric("peer", "certificate_not_after_s"), 0);
}

TEST_F(CoapDtlsClient, SendsAndReadsTenKilobytesInBlocks) {
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca()));
  const Endpoint data = test.open("peer:/example_data");
  const std::string large(10'000, 'x');
  data.write(large).within(20s).or_throw();
  EXPECT_EQ(text_of(data.read().value().body()), large);
}

TEST_F(CoapDtlsClient, Observes) {
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca()));
  const Endpoint data = test.open("peer:/example_data");
  data.write("one").within(20s).or_throw();
  Collector collector;
  const auto watch = data.watch([&](MessageView message) { collector.add(message); });
  ASSERT_TRUE(eventually([&] { return collector.count() >= 1; }));
  data.write("two").or_throw();
  EXPECT_TRUE(eventually([&] { return collector.count() >= 2; }));
  EXPECT_EQ(collector.texts().back(), "two");
}

TEST_F(CoapDtlsClient, ChecksTheNameOfTheUrl) {
  Certificates::Options named;
  named.alt_names = "DNS:first.test,DNS:localhost";
  certificates_.make("server", named);
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca(), {}, "localhost"));
  EXPECT_TRUE(test.open("peer:/example_data").read().within(20s).get().is_ok());
  TestKernel by_address(manifest(server.port(), ca()));
  const Status status = refusal(by_address);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("IP address mismatch"));
}

TEST_F(CoapDtlsClient, RefusesAnotherHostsCertificateAndIsDown) {
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca(), "server_name = \"elsewhere.test\""));
  const Status status = refusal(test);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("ostname mismatch"));
  EXPECT_EQ(test.info("peer").state, BP_STATE_DOWN);
}

TEST_F(CoapDtlsClient, RefusesACertificateOfAnUnknownAuthority) {
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca("other_ca.pem")));
  const Status status = refusal(test);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("certificate"));
}

TEST_F(CoapDtlsClient, RefusesACertificateThatHasExpired) {
  Certificates::Options over;
  over.ends = -60s;
  certificates_.make("server", over);
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca()));
  const Status status = refusal(test);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("expired"));
}

TEST_F(CoapDtlsClient, TrustsWhomTheSystemTrustsWhenItsCredentialNamesNoAuthority) {
  SecureServer server(server_args());
  TestKernel test("");
  const Status status =
      test.open(secure_url(server.port()) + "/example_data").read().within(20s).get().status();
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
}

TEST_F(CoapDtlsClient, ShowsItsCertificateWhereOneIsAskedFor) {
  std::vector<std::string> args = server_args();
  args[0] = "-R";  // whom it trusts, in place of -n: anybody
  args.insert(args.begin() + 1, certificates_.path("ca.pem"));
  SecureServer server(args);
  TestKernel test(manifest(server.port(), ca() + certificates_.own("client")));
  EXPECT_TRUE(test.open("peer:/example_data").read().within(20s).get().is_ok());

  TestKernel without(manifest(server.port(), ca()));
  const Status status = refusal(without);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("the peer refused us"));
}

TEST_F(CoapDtlsClient, ProvesItselfByAPreSharedKey) {
  SecureServer server({"-k", "sesret1", "-h", "hint"});
  TestKernel test(manifest(server.port(), kKey));
  const Endpoint data = test.open("peer:/example_data");
  data.write("secret").within(20s).or_throw();
  EXPECT_EQ(text_of(data.read().value().body()), "secret");
  EXPECT_EQ(test.info("peer").state, BP_STATE_UP);
}

TEST_F(CoapDtlsClient, SaysThatItsPreSharedKeyIsProbablyWrong) {
  SecureServer server({"-k", "another", "-h", "hint"});
  TestKernel test(manifest(server.port(), kKey));
  const Status status = refusal(test);
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.to_string();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("pre-shared key"), Not(HasSubstr("73657372657431"))));
  EXPECT_THAT(test.logged(), Not(HasSubstr("73657372657431")));
}

TEST_F(CoapDtlsClient, IsNotConnectedToAPortThatSpeaksNoDtls) {
  const RawPeer silent;
  TestKernel test(manifest(silent.port(), ca()));
  const Status status = refusal(test);
  EXPECT_EQ(status.code(), BP_UNAVAILABLE) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("does not answer the DTLS handshake"));
}

TEST_F(CoapDtlsClient, SendsItsPartOfAHandshakeAgainWhenTheAnswerIsLost) {
  std::vector<std::string> args = server_args();
  args.insert(args.end(), {"-l", "2"});  // after the datagram that says that the server is there
  SecureServer server(args);
  std::string patient = manifest(server.port(), ca());
  patient.replace(patient.find("connect_timeout_s = 2"), 21, "connect_timeout_s = 9");
  TestKernel test(patient);
  EXPECT_TRUE(test.open("peer:/example_data").read().within(20s).get().is_ok());
  EXPECT_EQ(test.info("peer").detail.find("failure"), std::string::npos) << "in the first try";
}

TEST_F(CoapDtlsClient, SaysAtOnceThatNobodyListens) {
  TestKernel test(manifest(free_port(), ca()));
  const Status status = refusal(test);
  EXPECT_EQ(status.code(), BP_UNAVAILABLE) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr("nobody listens"));
}

TEST_F(CoapDtlsClient, ComesBackAfterTheServerWasKilledAndItsWatchesWithIt) {
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca(), "ack_timeout_s = 1"));
  const Endpoint data = test.open("peer:/example_data");
  data.write("before").within(20s).or_throw();
  Collector collector;
  const auto watch = data.watch([&](MessageView message) { collector.add(message); });
  ASSERT_TRUE(eventually([&] { return collector.count() >= 1; }));
  server.kill();
  server.start();
  // It answers none of the old session's records, and the client finds out.
  data.write("after").within(40s).or_throw();
  EXPECT_TRUE(eventually([&] {
    const auto texts = collector.texts();
    return !texts.empty() && texts.back() == "after";
  }));
}

TEST_F(CoapDtlsClient, SendsWhatWaitsAgainInItsOrderWhenItsSessionIsLost) {
  TestKernel server(concat("[credentials.c]\n", kKey,
                           "[instances.server]\nplugin = \"coap\"\nlisten = "
                           "\"coaps://127.0.0.1:0\"\ncredentials = \"c\"\n"
                           "resources = [{ path = \"/a\" }]\n"));
  Collector arrived;
  const Endpoint resource = server.open("server:/a");
  const auto watch = resource.watch([&](MessageView message) { arrived.add(message); });
  UdpRelay relay(server.port("server"));
  std::atomic<int> written{0};
  TestKernel test(manifest(relay.port(), kKey, "nstart = 4\nack_timeout_s = 1"));
  const Endpoint data = test.open("peer:/a");
  data.write("0").within(20s).or_throw();
  relay.become({.loses = kBothWays});
  std::vector<std::string> expected{"0"};
  for (int number = 1; number <= 9; ++number) {
    expected.push_back(std::to_string(number));
    data.write(std::string_view(expected.back())).then([&](const Status& status) {
      written += status.is_ok() ? 1 : 100;
    });
  }
  relay.rebind();
  relay.become({});
  EXPECT_TRUE(eventually([&] { return written == 9; }, 40s)) << written;
  EXPECT_EQ(arrived.texts(), expected);
}

TEST_F(CoapDtlsClient, SendsOnceAndInItsOrderWhatComesWhileItsSessionBegins) {
  TestKernel server(concat("[credentials.c]\n", kKey,
                           "[instances.server]\nplugin = \"coap\"\nlisten = "
                           "\"coaps://127.0.0.1:0\"\ncredentials = \"c\"\n"
                           "resources = [{ path = \"/a\" }]\n"));
  Collector arrived;
  const Endpoint resource = server.open("server:/a");
  const auto watch = resource.watch([&](MessageView message) { arrived.add(message); });
  const std::string text = manifest(server.port("server"), kKey, "max_requests = 1000");
  std::vector<std::string> expected;
  for (int round = 0; round < 10; ++round) {
    TestKernel test(text);
    const Endpoint data = test.open("peer:/a");
    std::atomic<size_t> written{0};
    size_t begun = 0;
    while (written == 0 && begun < 500) {  // more, until the session is there
      expected.push_back(std::to_string(expected.size()));
      data.write(std::string_view(expected.back())).then([&](const Status& status) {
        written += status.is_ok() ? 1 : 1'000'000;
      });
      ++begun;
      std::this_thread::yield();
    }
    EXPECT_TRUE(eventually([&] { return written >= begun; }));
    EXPECT_EQ(written, begun);
  }
  EXPECT_TRUE(eventually([&] { return arrived.count() >= expected.size(); }));
  EXPECT_EQ(arrived.texts(), expected);
}

TEST_F(CoapDtlsClient, FindsItsWayBackToThePluginsOwnServerAmongSeveralAddresses) {
  Certificates::Options named;
  named.alt_names = "DNS:two.test";
  certificates_.make("server", named);
  const uint16_t port = free_port();
  const std::string server =
      concat("[credentials.s]\n", certificates_.own("server"),
             "[instances.sensors]\nplugin = \"coap\"\nlisten = \"", secure_url(port),
             "\"\ncredentials = \"s\"\n", "resources = [{ path = \"/t\", initial = 1 }]\n");
  std::optional<TestKernel> sensors(server);
  TestKernel test(manifest(port, ca(), {}, "two.test"));
  const Endpoint value = test.open("peer:/t");
  EXPECT_EQ(text_of(value.read().within(20s).value().body()), "1");
  sensors.reset();
  EXPECT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_CONNECTING; }));
  sensors.emplace(server);
  EXPECT_EQ(text_of(value.read().within(20s).value().body()), "1");
}

TEST_F(CoapDtlsClient, UsesRenewedFilesForTheNextHandshake) {
  SecureServer server(server_args());
  certificates_.folder().write("trust.pem", "");
  std::filesystem::copy_file(certificates_.path("other_ca.pem"), certificates_.path("trust.pem"),
                             std::filesystem::copy_options::overwrite_existing);
  TestKernel test(manifest(server.port(), ca("trust.pem")));
  EXPECT_EQ(refusal(test).code(), BP_UNAUTHENTICATED);
  std::filesystem::copy_file(certificates_.path("ca.pem"), certificates_.path("trust.pem"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_UP; }));
  EXPECT_TRUE(test.open("peer:/example_data").read().within(20s).get().is_ok());
}

TEST_F(CoapDtlsClient, SaysWhichFileOfItsCredentialIsBrokenAndIsDown) {
  certificates_.folder().write("trust.pem", "nonsense");
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca("trust.pem")));
  const Status status = refusal(test);
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT) << status.to_string();
  EXPECT_THAT(std::string(status.message()), HasSubstr(certificates_.path("trust.pem")));
  EXPECT_TRUE(eventually([&] { return test.info("peer").state == BP_STATE_DOWN; }));
  std::filesystem::remove(certificates_.path("trust.pem"));
  EXPECT_TRUE(eventually([&] {
    return test.info("peer").detail.find("cannot read") != std::string::npos;
  })) << "no file is not taken for no authority: "
      << test.info("peer").detail;
}

TEST_F(CoapDtlsClient, EndsAWatchThatItIsNotLetInFor) {
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca("other_ca.pem")));
  const Endpoint data = test.open("peer:/example_data");
  const auto watch = data.watch([](MessageView) {});
  // At once, where the handshake has failed already.
  const auto outcome = watch ? watch->wait_for(20s) : watch.status();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->code(), BP_UNAUTHENTICATED);
}

TEST_F(CoapDtlsClient, ForgetsWhatIsCancelledAndGoesOnInTheSameSession) {
  SecureServer server(server_args());
  TestKernel test(manifest(server.port(), ca()));
  const Endpoint slow = test.open("peer:/async?30");  // answered after so many seconds
  const Endpoint data = test.open("peer:/example_data");
  data.write("one").within(20s).or_throw();
  EXPECT_EQ(slow.read().within(100ms).get().status().code(), BP_DEADLINE_EXCEEDED);
  EXPECT_EQ(text_of(data.read().within(2s).value().body()), "one");
  EXPECT_EQ(test.info("peer").state, BP_STATE_UP);
}

TEST_F(CoapDtlsClient, RefusesACredentialThatWouldCountForNothing) {
  TestKernel test;
  const Status status = test.load(concat("[credentials.c]\n", kKey,
                                         "[instances.peer]\nplugin = \"coap\"\nurl = "
                                         "\"coap://127.0.0.1\"\ncredentials = \"c\"\n"));
  const Status started = status.is_ok() ? test.kernel.start() : status;
  EXPECT_EQ(started.code(), BP_INVALID_ARGUMENT) << started.to_string();
  EXPECT_THAT(std::string(started.message()), HasSubstr("no coaps: address"));
}

}  // namespace
}  // namespace backplane::test
