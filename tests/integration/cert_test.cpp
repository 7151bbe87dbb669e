// SPDX-License-Identifier: Apache-2.0
// backplane cert, on a store that the test fills.
#include "support/certificates.hpp"
#include "support/child_process.hpp"
#include <backplane/sdk/pki_store.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace backplane::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class TheCommandCert : public testing::Test {
 protected:
  struct Result {
    int code;
    std::string out;
    std::string err;
  };

  TheCommandCert() {
    certificates_.application("press", "urn:plant:press");
    certificates_.application("robot", "urn:plant:robot");
  }
  Result run(std::vector<std::string> args) const {
    args.insert(args.begin(), {BP_TEST_BUILD_DIR "/bin/backplane", "cert"});
    args.insert(args.end(), {"--pki", store_.folder()});
    ChildProcess child(std::move(args));
    const int code = child.wait();
    return {code, child.out(), child.err()};
  }
  void reject(const std::string& name, std::string_view cause = "BadCertificateUntrusted: it") {
    store_.reject(certificates_.certificate(name), cause, "opc.tcp://plant:4840");
  }
  std::string id(const std::string& name) const {
    return tls::thumbprint(certificates_.certificate(name));
  }

  Certificates certificates_;
  ScratchFolder folder_;
  const pki::Store store_{folder_.path() / "pki"};
};

TEST_F(TheCommandCert, ShowsWhoWasRefusedAndWhy) {
  reject("press");
  const Result result = run({"pending"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(
      result.out,
      AllOf(HasSubstr(id("press")), HasSubstr("cause    BadCertificateUntrusted: it"),
            HasSubstr("peer     opc.tcp://plant:4840"), HasSubstr("uri      urn:plant:press"),
            HasSubstr("hosts    localhost, 127.0.0.1"), HasSubstr("subject  CN=press"),
            HasSubstr(concat("backplane cert trust ", id("press").substr(0, 8), " --pki ",
                             store_.folder().string()))));
}

TEST_F(TheCommandCert, ShowsTheSameToPrograms) {
  reject("press");
  const Result result = run({"pending", "--json"});
  const json line = json::parse(result.out);
  EXPECT_EQ(line["id"], id("press"));
  EXPECT_EQ(line["uri"], "urn:plant:press");
  EXPECT_EQ(line["cause"], "BadCertificateUntrusted: it");
  EXPECT_THAT(line["not_after"].get<std::string>(), testing::EndsWith("UTC"));
}

TEST_F(TheCommandCert, SaysWhenNobodyWasRefused) {
  const Result result = run({"pending"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("nobody was refused"));
}

TEST_F(TheCommandCert, TrustsOneByTheBeginningOfItsId) {
  reject("press");
  reject("robot");
  const Result result = run({"trust", id("press").substr(0, 8)});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, concat("trusted ", id("press"), ", CN=press\n"));
  EXPECT_EQ(store_.trusted().items.size(), 1u);
  EXPECT_EQ(store_.rejected().items.size(), 1u);
  const Result list = run({"list"});
  EXPECT_THAT(list.out, testing::ContainsRegex("trusted +" + id("press").substr(0, 8)));
  EXPECT_THAT(list.out, testing::ContainsRegex("rejected +" + id("robot").substr(0, 8)));
}

TEST_F(TheCommandCert, WarnsWhenTrustDoesNotMendIt) {
  reject("press", "BadCertificateTimeInvalid: it expired");
  EXPECT_THAT(run({"trust", id("press")}).err,
              HasSubstr("another reason, which stays: BadCertificateTimeInvalid: it expired"));
}

TEST_F(TheCommandCert, NamesAnIdThatNobodyHas) {
  const Result result = run({"trust", "0123"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("no refused certificate '0123' in"));
  EXPECT_EQ(run({"trust"}).code, 2);
  EXPECT_EQ(run({}).code, 2);
}

TEST_F(TheCommandCert, PrintsOurOwnCertificateWithoutItsKey) {
  EXPECT_THAT(run({"show"}).err, HasSubstr("there is no identity yet"));
  std::string both;
  for (const char* const end : {".key", ".pem"}) {
    std::ifstream in(certificates_.path(std::string("press") + end));
    both.append(std::istreambuf_iterator<char>(in), {});
  }
  ASSERT_TRUE(store_.keep_identity(both));
  const Result result = run({"show"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("uri      urn:plant:press"),
                                HasSubstr("-----BEGIN CERTIFICATE-----"), Not(HasSubstr("KEY"))));
}

TEST_F(TheCommandCert, PrintsAnyByItsId) {
  reject("robot");
  EXPECT_THAT(run({"show", id("robot").substr(0, 6)}).out, HasSubstr("urn:plant:robot"));
  EXPECT_EQ(json::parse(run({"show", id("robot"), "--json"}).out)["place"], "rejected");
  EXPECT_EQ(run({"show", "0123"}).code, 1);
}

TEST_F(TheCommandCert, RefusesAStoreThatOthersCanWrite) {
  reject("press");
  ScratchFolder::set_mode(store_.folder(), 0777);
  const Result result = run({"trust", id("press")});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("chmod go-w"));
}

}  // namespace
}  // namespace backplane::test
