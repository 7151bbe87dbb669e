// SPDX-License-Identifier: Apache-2.0
// The plugin's client and the server of another implementation, node-opcua.
#include "node_opcua.hpp"
#include "support/certificates.hpp"

namespace backplane::test {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;

constexpr auto kServerUri = "urn:test:node";

/// What both servers do, secured or not.
void browse_read_write_call_and_watch(OpcuaSystem& system) {
  system.connected();
  std::vector<std::string> names;
  for (const OwnedMessage& entry : system.open("/").browse().value()) {
    names.push_back(entry.body().find("name")->get<std::string>().value());
  }
  EXPECT_THAT(names, IsSupersetOf({"1:Line1", "1:Tank1", "0:Server"}));

  const Endpoint temperature = system.open("/1:Line1/1:Temperature");
  EXPECT_EQ(temperature.read<double>().value(), 20.5);
  const Told told;
  const auto watching = temperature.watch(told);
  ASSERT_TRUE(told.has(20.5));
  temperature.write(21.5).or_throw();
  EXPECT_TRUE(told.has(21.5));
  EXPECT_EQ(system.open("ns=1;s=Line1.Count").read<int>().value(), 7);
  const std::vector<double> wanted{5, 6, 7, 8};
  const Endpoint profile = system.open("ns=1;s=Line1.Profile");
  profile.write(ValueView::array(std::span<const double>(wanted))).or_throw();
  EXPECT_EQ(profile.read<std::vector<double>>().value(), wanted);
  StackArena listed;
  const auto part = [&](std::string_view range) {
    return listed.map({{"node", "ns=1;s=Line1.Profile"}, {"range", range}});
  };
  const ValueView nodes = listed.list({"/1:Line1/1:Temperature", "ns=1;s=Nothing",
                                       "ns=1;s=Line1.Count", part("1:2"), part("40:41")});
  const OwnedMessage list =
      system.open("/").read({{BP_H_OPTIONS, listed.map({{"nodes", nodes}})}}).value();
  EXPECT_EQ(list.body().at(0).at(0).get<double>(), 21.5);
  EXPECT_EQ(list.body().at(1).at(1).get<uint32_t>(), 0x80340000) << "BadNodeIdUnknown";
  EXPECT_EQ(list.body().at(2).at(0).get<int>(), 7);
  EXPECT_EQ(list.body().at(3).at(0).get<std::vector<double>>(), (std::vector<double>{6, 7}));
  EXPECT_EQ(list.body().at(4).at(1).get<uint32_t>(), 0x80370000) << "BadIndexRangeNoData";

  StackArena arena;
  const auto mixed =
      system.open("ns=1;s=Tank1.Mix").call(arena.list({2.5, 4}, BP_LIST_ARGUMENTS)).value();
  EXPECT_EQ(mixed.body().at(0).get<double>(), 10);
  EXPECT_EQ(mixed.body().at(1).get<std::string>(), "of a session");
}

TEST(OpcuaForeignServer, IsBrowsedReadWrittenCalledAndWatched) {
  const ForeignServer server;
  OpcuaSystem system(server.port());
  browse_read_write_call_and_watch(system);
}

TEST(OpcuaForeignServer, SaysWhatItRefuses) {
  const ForeignServer server;
  OpcuaSystem system(server.port());
  system.connected();
  const Status fixed = system.open("ns=1;s=Line1.Fixed").write("pump").get();
  EXPECT_EQ(fixed.code(), BP_PERMISSION_DENIED) << fixed.message();
  EXPECT_THAT(std::string(fixed.message()), HasSubstr("BadNotWritable"));
  const Status nothing = system.open("ns=1;s=Nothing").read().get().status();
  EXPECT_EQ(nothing.code(), BP_NOT_FOUND) << nothing.message();
  StackArena arena;
  const Status few =
      system.open("ns=1;s=Tank1.Mix").call(arena.list({2.5}, BP_LIST_ARGUMENTS)).get().status();
  EXPECT_EQ(few.code(), BP_INVALID_ARGUMENT) << few.message();
}

TEST(OpcuaForeignServer, HasAPastAndEvents) {
  const ForeignServer server;
  OpcuaSystem system(server.port());
  const Endpoint temperature = system.connected().open(kTemperature);
  for (const double value : {1.0, 2.0, 3.0}) {
    temperature.write(value).or_throw();
  }
  StackArena<> arena;
  const Watched past(temperature, arena.map({{"start", "1990-01-01T00:00:00Z"}}));
  EXPECT_TRUE(past.end().is_ok()) << past.end().message();
  EXPECT_THAT(past.told.numbers(), testing::ElementsAre(20.5, 1, 2, 3));

  const auto seen = std::make_shared<Guarded<std::vector<OwnedMessage>>>();
  const Endpoint line = system.open("ns=1;s=Line1@EventNotifier");
  const Pair options(BP_H_OPTIONS, arena.map({{"select", arena.list({"Severity", "Message"})},
                                              {"where", arena.list({">=", "Severity", 500})}}));
  WatchOptions watching;
  watching.headers = {static_cast<const bp_pair*>(&options), 1};
  const auto watch = line.watch(
      [seen](MessageView message) { seen->lock()->emplace_back(message); }, std::move(watching));
  const Watched behind(system.open("ns=1;s=Line1.Count"));
  ASSERT_TRUE(behind.told.reaches(1));
  const Endpoint alarm = system.open("ns=1;s=Line1.Alarm");
  for (const int severity : {499, 500}) {
    alarm.write(severity).or_throw();
  }
  ASSERT_TRUE(eventually([&] { return !seen->lock()->empty(); }, kPatience));
  EXPECT_EQ(seen->copy()[0].body().find("Severity")->get<int>(), 500);
  EXPECT_THAT(seen->copy()[0].body().find("Message")->to_text(100), HasSubstr("it is 500"));
}

class ASecuredForeignServer : public testing::Test {
 protected:
  ASecuredForeignServer() {
    certificates_.application("server", kServerUri);
    certificates_.application("own", "urn:test:own");
    folder_.write("pki/trusted/server.der", certificates_.der("server"));
  }
  ForeignServer server(const std::string& trusted = "own") const {
    return ForeignServer({"--uri", kServerUri, "--certificate", certificates_.path("server.pem"),
                          "--key", certificates_.path("server.key"), "--trusted",
                          certificates_.path(trusted + ".pem"), "--user", "operator", "--password",
                          "secret"});
  }
  OpcuaSystem system(const ForeignServer& server, const std::string& password) const {
    return OpcuaSystem(
        server.port(),
        concat("security_mode = \"sign_and_encrypt\"\nsecurity_policy = \"Basic256Sha256\"\n",
               "pki = \"", (folder_.path() / "pki").string(),
               "\"\ncredentials = \"own\"\nuser = \"operator\""),
        "127.0.0.1",
        concat("[credentials.own]\n", certificates_.own("own"),
               "[credentials.operator]\nuser = \"operator\"\npassword = \"", password, "\"\n"));
  }

  Certificates certificates_;
  ScratchFolder folder_;
};

TEST_F(ASecuredForeignServer, TakesAUserByHisNameOverBasic256Sha256) {
  const ForeignServer there = server();
  OpcuaSystem here = system(there, "secret");
  here.connected();
  EXPECT_THAT(here.info().detail, HasSubstr("sign_and_encrypt Basic256Sha256"));
  browse_read_write_call_and_watch(here);
}

TEST_F(ASecuredForeignServer, RefusesAnotherPassword) {
  const ForeignServer there = server();
  OpcuaSystem here = system(there, "secreT");
  const Status status = here.open(kTemperature).read().get().status();
  EXPECT_EQ(status.code(), BP_PERMISSION_DENIED) << status.message();
}

// It answers with a fault, which the library reads and does not tell.
TEST_F(ASecuredForeignServer, ThatDoesNotKnowUsIsNamedWithWhatToDo) {
  const ForeignServer there = server("server");
  OpcuaSystem here = system(there, "secret");
  const Status status = here.open(kTemperature).read().get().status();
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.message();
  EXPECT_THAT(std::string(status.message()), HasSubstr("that of the credential 'own'"));
}

// A credential may have only authorities: then the certificate is the folder's.
TEST_F(ASecuredForeignServer, ThatDoesNotKnowTheIdentityInOurFolderIsToldHowToPrintIt) {
  const ForeignServer there = server();
  OpcuaSystem here(
      there.port(),
      concat("security_policy = \"Basic256Sha256\"\npki = \"", (folder_.path() / "pki").string(),
             "\"\ncredentials = \"own\"\nuser = \"operator\""),
      "127.0.0.1",
      concat("[credentials.own]\n", certificates_.line("ca", "ca.pem"),
             "[credentials.operator]\nuser = \"operator\"\npassword = \"secret\"\n"));
  const Status status = here.open(kTemperature).read().get().status();
  EXPECT_EQ(status.code(), BP_UNAUTHENTICATED) << status.message();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(concat("backplane cert show --pki ", (folder_.path() / "pki").string())));
}

}  // namespace
}  // namespace backplane::test
