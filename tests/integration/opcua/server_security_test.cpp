// SPDX-License-Identifier: Apache-2.0
// A secured server: whom it lets in, who its users are, and what each of them may do.
#include "server_fixture.hpp"
#include "support/certificates.hpp"
#include <backplane/sdk/pki_store.hpp>

namespace backplane::test {
namespace {

using testing::HasSubstr;

constexpr std::string_view kUri = "urn:test:server";
constexpr auto kCount = "ns=1;s=Line1.Count";
constexpr auto kSetpoint = "ns=1;s=Line1.Setpoint";
constexpr auto kReset = "ns=1;s=Line1.Reset";

constexpr std::string_view kOpenNodes =
    "nodes = [{ id = \"ns=1;s=Line1.Count\", type = \"Int32\", initial = 7 }]\n";

constexpr std::string_view kNodes = R"(
nodes = [
  { id = "ns=1;s=Line1.Count", type = "Int32", initial = 7 },
  { id = "ns=1;s=Line1.Setpoint", type = "Double", access = "read_write", initial = 20.5, writers = ["Operator"] },
  { id = "ns=1;s=Line1.Recipe", type = "String", initial = "secret", readers = ["Operator"], history = 3 },
]
methods = [{ id = "ns=1;s=Line1.Reset", callers = ["Operator"] }]
)";

constexpr std::string_view kUsers = R"(
users = [
  { credentials = "operator", roles = ["Operator"] },
  { credentials = "guest" },
  { credentials = "badge", roles = ["Operator"] },
]
)";

/// A server `main`, which trusts the application that `client` is of. Each user has his own client.
class ASecuredOpcuaServer : public testing::Test {
 protected:
  ASecuredOpcuaServer() {
    certificates_.application("server", std::string(kUri));
    certificates_.application("client", "urn:test:client");
    certificates_.application("badge", "urn:test:badge");
    folder_.write("client/trusted/server.der", certificates_.der("server"));
    trust_client();
  }

  void trust_client() const {
    folder_.write("server/trusted/client.der", certificates_.der("client"));
  }
  std::string pki(const std::string& whose) const {
    return concat("pki = \"", (folder_.path() / whose).string(), "\"\n");
  }
  std::string url() const { return concat("opc.tcp://127.0.0.1:", port_); }
  std::string server(std::string_view more = {}) const {
    return concat("[instances.main]\nplugin = \"opcua\"\nlisten = \"", url(), "\"\n", pki("server"),
                  "credentials = \"server\"\n", more, "\n");
  }
  std::string client(const std::string& name, std::string_view more = {}) const {
    return concat("[instances.", name, "]\nplugin = \"opcua\"\nurl = \"", url(), "\"\n",
                  pki("client"), "credentials = \"client\"\npublishing_s = 0.01\n", more, "\n");
  }
  std::string credentials() const {
    return concat("[credentials.server]\n", certificates_.own("server"), "[credentials.client]\n",
                  certificates_.own("client"), "[credentials.badge]\n", certificates_.own("badge"),
                  "[credentials.operator]\nuser = \"op\"\npassword = \"secret\"\n",
                  "[credentials.guest]\nuser = \"guest\"\npassword = \"welcome\"\n",
                  "[credentials.stranger]\nuser = \"hunter2\"\npassword = \"secret\"\n",
                  "[credentials.thief]\nuser = \"op\"\npassword = \"secreT\"\n");
  }
  void start(std::string_view instances) {
    kernel_
        .load_text(
            "test.toml", concat(instances, credentials()),
            [](const Diagnostic& found) { ADD_FAILURE() << found.line << ": " << found.message; })
        .or_throw();
    kernel_.start().or_throw();
  }
  bool comes_up(std::string_view name) {
    return eventually([&] { return info(name).state == BP_STATE_UP; }, kPatience);
  }
  InstanceInfo info(std::string_view name) const { return info_of(kernel_, name); }
  int64_t metric(std::string_view name) const { return metric_of(kernel_, "main", name); }
  /// One that makes its identity by itself.
  std::string server_without_credentials(std::string_view more) const {
    std::string text = server(more);
    const std::string_view own = "credentials = \"server\"\n";
    text.erase(text.find(own), own.size());
    return text;
  }
  /// What a client reads that comes now, and trusts whom that folder has.
  int another_client_reads(const std::string& whose = "client") const {
    Kernel other = opcua_kernel();
    other
        .load_text("other.toml",
                   concat("[instances.other]\nplugin = \"opcua\"\nurl = \"", url(), "\"\n",
                          pki(whose), "credentials = \"client\"\n", credentials()))
        .or_throw();
    other.start().or_throw();
    return other.open(std::string("other:") + kCount).value().read<int>().value();
  }
  Endpoint open(const std::string& who, const std::string& node) {
    return kernel_.open(who + ":" + node).value();
  }

  const uint16_t port_ = free_port_base();
  Certificates certificates_;
  ScratchFolder folder_;
  Lines lines_;
  Kernel kernel_ = opcua_kernel(&lines_);
};

TEST_F(ASecuredOpcuaServer, IsSignedAndEncryptedUnlessSaidOtherwise) {
  start(server(kOpenNodes) + client("plant"));
  ASSERT_TRUE(comes_up("plant")) << info("plant").detail;
  EXPECT_THAT(info("plant").detail, HasSubstr("sign_and_encrypt"));
  EXPECT_EQ(open("plant", kCount).read<int>().value(), 7);
}

TEST_F(ASecuredOpcuaServer, ShowsWhomItDoesNotKnowAndTakesHimOnceTrustedWithoutARestart) {
  std::filesystem::remove(folder_.path() / "server/trusted/client.der");
  start(server(kOpenNodes) + client("plant"));
  const pki::Store store(folder_.path() / "server");
  ASSERT_TRUE(eventually([&] { return !store.rejected().items.empty(); }, kPatience));
  EXPECT_NE(info("plant").state, BP_STATE_UP);
  EXPECT_EQ(store.rejected().items.at(0).peer, "127.0.0.1");
  EXPECT_GE(metric("opcua_certificates_refused_total"), 1);
  EXPECT_TRUE(eventually([&] { return lines_.with("main: a peer is refused") == 1; }));
  static_cast<void>(store.trust(store.rejected().items.at(0).id));
  ASSERT_TRUE(comes_up("plant")) << info("plant").detail;
  EXPECT_EQ(lines_.with("main: a peer is refused"), 1) << "once, however often it came";
}

TEST_F(ASecuredOpcuaServer, MakesItsIdentityAtItsFirstStartAndNamesNamespace1ByIt) {
  start(server_without_credentials(kOpenNodes));
  const auto identity = pki::Store(folder_.path() / "server").identity();
  ASSERT_TRUE(identity);
  const Endpoint namespaces = open("main", "i=2255");
  const auto uris = namespaces.read<std::vector<std::string>>().value();
  ASSERT_GE(uris.size(), 2u);
  EXPECT_THAT(uris[1], HasSubstr("urn:"));
}

TEST_F(ASecuredOpcuaServer, MakesItsIdentityForTheUriThatItIsGiven) {
  start(server_without_credentials(concat("application_uri = \"urn:test:plant\"\n", kOpenNodes)));
  EXPECT_EQ(open("main", "i=2255").read<std::vector<std::string>>().value().at(1),
            "urn:test:plant");
}

TEST_F(ASecuredOpcuaServer, RefusesAUriThatItsCertificateIsNotFor) {
  kernel_
      .load_text("test.toml", concat(server("application_uri = \"urn:test:other\""), credentials()))
      .or_throw();
  const Status status = kernel_.start();
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(status.message()), HasSubstr(kUri));
}

// What is renewed by mistake, or by halves, harms nobody.
TEST_F(ASecuredOpcuaServer, KeepsItsCertificateUntilThereIsAnotherOneThatFits) {
  certificates_.application("another", "urn:test:another");
  start(server(kOpenNodes) + client("first"));
  ASSERT_TRUE(comes_up("first")) << info("first").detail;
  const std::string key = certificates_.path("server.key");
  const std::string kept = certificates_.path("server.key.kept");
  const std::string certificate = certificates_.path("server.pem");
  const std::string certificate_kept = certificates_.path("server.pem.kept");
  std::filesystem::copy_file(key, kept);
  std::filesystem::copy_file(certificate, certificate_kept);
  certificates_.replace("server", "another");  // another application's
  EXPECT_EQ(another_client_reads(), 7);
  EXPECT_EQ(lines_.with("main: the certificate is not renewed"), 1);
  std::filesystem::copy_file(certificate_kept, certificate,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(another_client_reads(), 7) << "the key is not that of the certificate";
  EXPECT_EQ(lines_.with("main: renewed TLS material is broken"), 1);
  std::filesystem::copy_file(kept, key, std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(another_client_reads(), 7);
}

TEST_F(ASecuredOpcuaServer, KeepsTheIdentityThatItHasMadeWhileItsFileIsBroken) {
  start(server_without_credentials(kOpenNodes) + client("first"));
  const pki::Store theirs(folder_.path() / "client");
  ASSERT_TRUE(eventually([&] { return !theirs.rejected().items.empty(); }, kPatience));
  static_cast<void>(theirs.trust(theirs.rejected().items.at(0).id));
  ASSERT_TRUE(comes_up("first")) << info("first").detail;
  folder_.write("server/own/identity.pem", "broken");
  EXPECT_EQ(another_client_reads(), 7);
  EXPECT_EQ(another_client_reads(), 7);
  EXPECT_EQ(lines_.with("main: the certificate is not renewed"), 1);
}

TEST_F(ASecuredOpcuaServer, ShowsARenewedCertificateToTheNextClient) {
  certificates_.application("renewed", std::string(kUri));
  start(server(kOpenNodes) + client("first"));
  ASSERT_TRUE(comes_up("first")) << info("first").detail;
  certificates_.replace("server", "renewed");
  folder_.write("late/trusted/renewed.der", certificates_.der("renewed"));
  EXPECT_EQ(another_client_reads("late"), 7);
  EXPECT_EQ(open("first", kCount).read<int>().value(), 7) << "an open channel goes on";
}

// ---- users and roles ----

class AnOpcuaServersUser : public ASecuredOpcuaServer {
 protected:
  void start_as(std::string_view credential) {
    start(server(concat(kNodes, kUsers)) + client("plant", concat("user = \"", credential, "\"")));
  }
};

TEST_F(AnOpcuaServersUser, DoesWhatItsRoleMay) {
  start_as("operator");
  ASSERT_TRUE(comes_up("plant")) << info("plant").detail;
  const Told told;
  const Endpoint reset = open("main", kReset);
  const auto calls = reset.watch(told);
  EXPECT_TRUE(open("plant", kSetpoint).write(21.5).get().is_ok());
  EXPECT_EQ(open("main", kSetpoint).read<double>().value(), 21.5);
  EXPECT_EQ(open("plant", "ns=1;s=Line1.Recipe").read<std::string>().value(), "secret");
  const auto answer = open("plant", kReset).call().get();
  EXPECT_TRUE(answer) << answer.status().to_string();
}

TEST_F(AnOpcuaServersUser, DoesNotDoWhatItsRoleMayNot) {
  start_as("guest");
  ASSERT_TRUE(comes_up("plant")) << info("plant").detail;
  EXPECT_EQ(open("plant", kCount).read<int>().value(), 7);
  const Told told;
  const Endpoint reset = open("main", kReset);
  const auto calls = reset.watch(told);
  StackArena<> arena;
  const Watched past(open("plant", "ns=1;s=Line1.Recipe"),
                     arena.map({{"start", "1990-01-01T00:00:00Z"}}));
  for (const Status& status :
       {past.end(), open("plant", kSetpoint).write(21.5).get(),
        open("plant", "ns=1;s=Line1.Recipe").read<std::string>().get().status(),
        open("plant", kReset).call().get().status()}) {
    EXPECT_EQ(status.code(), BP_PERMISSION_DENIED) << status.to_string();
    EXPECT_THAT(std::string(status.message()), HasSubstr("BadUserAccessDenied"));
  }
  EXPECT_EQ(open("main", kSetpoint).read<double>().value(), 20.5);
}

TEST_F(AnOpcuaServersUser, WithACertificateIsKnownByIt) {
  start_as("badge");
  ASSERT_TRUE(comes_up("plant")) << info("plant").detail;
  EXPECT_TRUE(open("plant", kSetpoint).write(22.5).get().is_ok());
}

TEST_F(AnOpcuaServersUser, WithAnotherPasswordIsRefusedAndCounted) {
  start_as("thief");
  EXPECT_EQ(open("plant", kCount).read().get().status().code(), BP_PERMISSION_DENIED);
  EXPECT_GE(metric("opcua_logins_refused_total"), 1);
  EXPECT_GE(lines_.with("main: a login is refused \"token\"=\"UserNameIdentityToken\" "
                        "\"peer\"=\"127.0.0.1\" \"user\"=\"operator\" "
                        "\"cause\"=\"the password is another one\""),
            1);
}

// A password that was typed in place of the name is not to be read there.
TEST_F(AnOpcuaServersUser, WhomNobodyKnowsIsNotNamedInTheLog) {
  start_as("stranger");
  EXPECT_EQ(open("plant", kCount).read().get().status().code(), BP_PERMISSION_DENIED);
  EXPECT_GE(lines_.with("\"user\"=\"\" \"cause\"=\"it is of no user\""), 1);
  EXPECT_EQ(lines_.with("hunter2"), 0);
}

TEST_F(AnOpcuaServersUser, ThatHasNoNameIsRefused) {
  start(server(concat(kNodes, kUsers)) + client("plant"));
  EXPECT_EQ(open("plant", kCount).read().get().status().code(), BP_UNAUTHENTICATED);
}

TEST_F(AnOpcuaServersUser, ThatHasNoNameMayDoLittleWhereThatIsSaid) {
  start(server(concat(kNodes, kUsers, "anonymous = true\n")) + client("plant"));
  ASSERT_TRUE(comes_up("plant")) << info("plant").detail;
  EXPECT_EQ(open("plant", kCount).read<int>().value(), 7);
  EXPECT_EQ(open("plant", kSetpoint).write(21.5).get().code(), BP_PERMISSION_DENIED);
}

}  // namespace
}  // namespace backplane::test
