// SPDX-License-Identifier: Apache-2.0
// The plugin's server and the client of another implementation, node-opcua.
#include "node_opcua.hpp"
#include "server_fixture.hpp"
#include "support/certificates.hpp"

namespace backplane::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(OpcuaForeignClient, BrowsesReadsAndWrites) {
  OpcuaPair pair;
  ForeignClient client(
      pair.url(),
      {"browse ns=1;s=Line1", "read ns=1;s=Line1.Temperature",
       "attributes ns=1;s=Line1.Temperature", "write ns=1;s=Line1.Temperature Double 21.5",
       "read ns=1;s=Line1.Temperature", "write ns=1;s=Line1.Fixed String \"pump\"",
       "write ns=1;s=Line1.Count String \"nine\"", "write ns=1;s=Line1.Profile Double [5,6,7,8]",
       "read ns=1;s=Line1.Profile", "read ns=1;s=Line1.Empty", "read ns=1;s=Nothing"});
  const std::string all = client.all();
  EXPECT_THAT(all, HasSubstr("1:Temperature"));
  EXPECT_THAT(all,
              HasSubstr(R"({"read":"ns=1;s=Line1.Temperature","value":20.5,"status":"Good"})"));
  EXPECT_THAT(all, HasSubstr(R"("title":"Temperature of line 1")"));
  EXPECT_THAT(all, HasSubstr(R"("unit":"Cel","range":[0,100])"));
  EXPECT_THAT(all, HasSubstr(R"({"write":"ns=1;s=Line1.Temperature","status":"Good"})"));
  EXPECT_THAT(all,
              HasSubstr(R"({"read":"ns=1;s=Line1.Temperature","value":21.5,"status":"Good"})"));
  EXPECT_THAT(all, HasSubstr(R"({"write":"ns=1;s=Line1.Fixed","status":"BadNotWritable"})"));
  EXPECT_THAT(all, HasSubstr(R"({"write":"ns=1;s=Line1.Count","status":"BadTypeMismatch"})"));
  EXPECT_THAT(all,
              HasSubstr(R"({"read":"ns=1;s=Line1.Profile","value":[5,6,7,8],"status":"Good"})"));
  EXPECT_THAT(all, HasSubstr(R"("status":"BadWaitingForInitialData")"));
  EXPECT_THAT(all, HasSubstr(R"("status":"BadNodeIdUnknown")"));
  EXPECT_EQ(pair.open("main:ns=1;s=Line1.Temperature").read<double>().value(), 21.5);
}

TEST(OpcuaForeignClient, IsToldOfChanges) {
  OpcuaPair pair;
  ForeignClient client(pair.url(), {"watch ns=1;s=Line1.Temperature", "stay"});
  ASSERT_TRUE(client.says(R"("value":20.5)")) << client.so_far();
  const Endpoint inside = pair.open("main:ns=1;s=Line1.Temperature");
  inside.write(21.5).or_throw();
  EXPECT_TRUE(client.says(R"("value":21.5)")) << client.so_far();
  MessageBuilder bad;
  bad.header(BP_H_STATUS, uint32_t{0x808C0000});
  inside.write(MessageView(bad)).or_throw();
  EXPECT_TRUE(client.says("BadSensorFailure")) << client.so_far();
}

TEST(OpcuaForeignClient, CallsMethods) {
  OpcuaPair pair;
  const Endpoint mix = pair.open("main:ns=1;s=Tank1.Mix");
  const auto registration = mix.serve([](const ServedOp& request) -> Status {
    StackArena arena;
    const ValueView inputs = request.in().body();
    const double product = inputs.at(0).get<double>().value() * inputs.at(1).get<int>().value();
    Op op = request;
    return op.reply(arena.list({product, "mixed"}, BP_LIST_ARGUMENTS));
  });
  const Endpoint valve = pair.open("main:ns=1;s=Tank1.SetValve");
  const auto watching = valve.watch([](MessageView) { return Status::ok(); });
  ForeignClient client(pair.url(), {"call ns=1;s=Tank1 ns=1;s=Tank1.Mix Double 2.5 Int32 4",
                                    "call ns=1;s=Tank1 ns=1;s=Tank1.SetValve Double 50",
                                    "call ns=1;s=Tank1 ns=1;s=Tank1.SetValve",
                                    "call ns=1;s=Tank1 ns=1;s=Tank1.SetValve String \"wide\"",
                                    "call ns=1;s=Line1 ns=1;s=Tank1.SetValve Double 50"});
  const std::string all = client.all();
  EXPECT_THAT(all,
              HasSubstr(R"("call":"ns=1;s=Tank1.Mix","status":"Good","outputs":[10,"mixed"])"));
  EXPECT_THAT(all, HasSubstr(R"("call":"ns=1;s=Tank1.SetValve","status":"Good","outputs":[])"));
  EXPECT_THAT(all, HasSubstr("BadArgumentsMissing"));
  EXPECT_THAT(all, HasSubstr("BadInvalidArgument"));
  EXPECT_THAT(all, HasSubstr("BadMethodInvalid"));
}

TEST(OpcuaForeignClient, ReadsThePastAndIsToldOfEvents) {
  OpcuaPair pair("nodes = [{ id = \"ns=1;s=Line1.Level\", type = \"Double\", history = 3 }]\n");
  const Endpoint level = pair.open("main:ns=1;s=Line1.Level");
  for (const double value : {1.0, 2.0, 3.0, 4.0}) {
    level.write(value).or_throw();
  }
  ForeignClient client(pair.url(), {"history ns=1;s=Line1.Level", "events ns=1;s=Line1", "stay"});
  // It asks for bounds, which there are not so long ago, nor after now.
  EXPECT_TRUE(client.says(R"({"history":[null,2,3,4,null],"status":"Good"})")) << client.so_far();
  ASSERT_TRUE(client.says(R"({"watching":"ns=1;s=Line1"})")) << client.so_far();
  StackArena<> arena;
  pair.open("main:ns=1;s=Line1@EventNotifier")
      .write(arena.map({{"Message", "it is too hot"}, {"Severity", 700}}))
      .or_throw();
  EXPECT_TRUE(client.says(R"({"event":"ns=1;s=Line1","message":"it is too hot","severity":700})"))
      << client.so_far();
}

TEST(OpcuaForeignClient, IsAUserOfASecuredServer) {
  Certificates certificates;
  certificates.application("server", "urn:test:server");
  certificates.application("client", "urn:test:client");
  const ScratchFolder folder;
  folder.write("pki/trusted/client.der", certificates.der("client"));
  const uint16_t port = free_port_base();
  Kernel kernel = opcua_kernel();
  kernel
      .load_text(
          "test.toml",
          concat("[instances.main]\nplugin = \"opcua\"\nlisten = \"opc.tcp://127.0.0.1:", port,
                 "\"\npki = \"", (folder.path() / "pki").string(),
                 "\"\ncredentials = \"server\"\nusers = [{ credentials = \"operator\", roles = "
                 "[\"Operator\"] }]\nnodes = [{ id = \"ns=1;s=Line1.Setpoint\", type = "
                 "\"Double\", access = \"read_write\", initial = 20.5, writers = "
                 "[\"Operator\"] }]\n[credentials.server]\n",
                 certificates.own("server"),
                 "[credentials.operator]\nuser = \"op\"\npassword = \"secret\"\n"),
          [](const Diagnostic& found) { ADD_FAILURE() << found.line << ": " << found.message; })
      .or_throw();
  kernel.start().or_throw();
  const auto arguments = [&](const std::string& password) {
    return std::vector<std::string>{"--policy",
                                    "Basic256Sha256",
                                    "--certificate",
                                    certificates.path("client.pem"),
                                    "--key",
                                    certificates.path("client.key"),
                                    "--uri",
                                    "urn:test:client",
                                    "--trusted",
                                    certificates.path("server.pem"),
                                    "--user",
                                    "op",
                                    "--password",
                                    password,
                                    "write ns=1;s=Line1.Setpoint Double 21.5",
                                    "read ns=1;s=Line1.Setpoint"};
  };
  const std::string url = concat("opc.tcp://127.0.0.1:", port);
  ForeignClient client(url, arguments("secret"));
  EXPECT_THAT(client.all(), AllOf(HasSubstr(R"("status":"Good"})"), HasSubstr(R"("value":21.5)")));
  ForeignClient thief(url, arguments("secreT"));
  EXPECT_TRUE(thief.says("BadUserAccessDenied")) << thief.so_far();
}

}  // namespace
}  // namespace backplane::test
