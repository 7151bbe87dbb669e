// SPDX-License-Identifier: Apache-2.0
// The plugin's server and the client of another implementation, node-opcua.
#include "server_fixture.hpp"
#include "support/scratch_folder.hpp"

namespace backplane::test {
namespace {

using testing::HasSubstr;

/// node-opcua, with a home of its own: it makes itself a certificate.
class ForeignClient {
 public:
  ForeignClient(const OpcuaPair& pair, std::vector<std::string> commands)
      : child_(arguments(pair, std::move(commands)), {{"NODE_PATH", BP_TEST_NODE_PATH},
                                                      {"HOME", home_.path().string()},
                                                      {"XDG_CONFIG_HOME", home_.path().string()}}) {
  }
  bool says(std::string_view line) { return child_.wait_for_output(line, 60s); }
  /// All that it said, when it is done.
  std::string all() {
    EXPECT_EQ(child_.wait(60s), 0) << child_.err();
    return child_.out();
  }
  std::string so_far() const { return child_.out() + child_.err(); }

 private:
  static std::vector<std::string> arguments(const OpcuaPair& pair,
                                            std::vector<std::string> commands) {
    std::vector<std::string> out = {
        BP_TEST_NODE, BP_TEST_SOURCE_DIR "/tests/support/node_opcua/client.js", pair.url()};
    out.insert(out.end(), commands.begin(), commands.end());
    return out;
  }
  const ScratchFolder home_;
  ChildProcess child_;
};

TEST(OpcuaForeignClient, BrowsesReadsAndWrites) {
  OpcuaPair pair;
  ForeignClient client(
      pair,
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
  ForeignClient client(pair, {"watch ns=1;s=Line1.Temperature", "stay"});
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
  const auto registration = mix.serve([](const Request& request) -> Status {
    StackArena arena;
    const ValueView inputs = request.in().body();
    const double product = inputs.at(0).get<double>().value() * inputs.at(1).get<int>().value();
    Op op = request;
    return op.reply(arena.list({product, "mixed"}, BP_LIST_ARGUMENTS));
  });
  const Endpoint valve = pair.open("main:ns=1;s=Tank1.SetValve");
  const auto watching = valve.watch([](MessageView) { return Status::ok(); });
  ForeignClient client(pair, {"call ns=1;s=Tank1 ns=1;s=Tank1.Mix Double 2.5 Int32 4",
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

}  // namespace
}  // namespace backplane::test
