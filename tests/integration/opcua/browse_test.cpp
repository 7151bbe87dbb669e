// SPDX-License-Identifier: Apache-2.0
// Browsing a real server, in pages, by credit.
#include "fixture.hpp"

#include <atomic>
#include <set>
#include <vector>

namespace backplane::test {
namespace {

TEST(OpcuaBrowse, AnEntrySaysWhatItIsAndMayBeOpened) {
  OpcuaServer server;
  OpcuaSystem system(server.port());
  system.connected();
  const auto entries = system.open("ns=1;s=Line1").browse().value();
  std::set<std::string> paths;
  for (const OwnedMessage& entry : entries) {
    const auto path = entry.view().header<std::string>(BP_H_PATH).value();
    paths.insert(path);
    if (path == "ns=1;s=Line1.Temperature") {
      EXPECT_EQ(entry.view().header<std::string>(BP_H_TYPE), "Variable");
      EXPECT_EQ(entry.view().header<std::string>(BP_H_TITLE), "Temperature");
      EXPECT_EQ(entry.body().find("reference")->get<std::string>(), "i=47");
      EXPECT_EQ(entry.body().find("name")->get<std::string>(), "1:Temperature");
      EXPECT_EQ(system.open(path).read<double>().value(), 20.5);
    }
  }
  EXPECT_EQ(paths.size(), 7u);
  EXPECT_TRUE(paths.contains("ns=1;s=Line1.Mix"));
}

TEST(OpcuaBrowse, TheRootIsTheFolderOfObjects) {
  OpcuaServer server;
  OpcuaSystem system(server.port());
  system.connected();
  for (const char* path : {"", "/"}) {
    bool has_line = false;
    for (const OwnedMessage& entry : system.open(path).browse().value()) {
      has_line |= entry.view().header<std::string>(BP_H_PATH) == "ns=1;s=Line1";
    }
    EXPECT_TRUE(has_line) << path;
  }
}

TEST(OpcuaBrowse, ThousandsOfReferencesComeInPages) {
  constexpr int kReferences = 2500;
  OpcuaServer server({concat("references=", kReferences)});
  OpcuaSystem system(server.port());
  system.connected();
  const auto entries = system.open("ns=1;s=Many").browse().get();
  ASSERT_TRUE(entries) << entries.status().to_string();
  std::set<std::string> paths;
  for (const OwnedMessage& entry : *entries) {
    paths.insert(entry.view().header<std::string>(BP_H_PATH).value());
  }
  EXPECT_EQ(entries->size(), size_t{kReferences});
  EXPECT_EQ(paths.size(), size_t{kReferences}) << "each once";
}

TEST(OpcuaBrowse, NoMoreComesThanTheCreditAndNothingAfterTheEnd) {
  OpcuaServer server({"references=1200"});
  OpcuaSystem system(server.port());
  const Endpoint many = system.connected().open("ns=1;s=Many");
  Look look(system.kernel(), many, 10);
  ASSERT_TRUE(look.reaches(10));
  EXPECT_TRUE(many.browse().get()) << "another one in between";
  EXPECT_EQ(look.entries, 10);
  look.op().credit(600);  // beyond the first page
  ASSERT_TRUE(look.reaches(610));
  look.op().cancel();
  ASSERT_TRUE(look.end());
  EXPECT_EQ(look.end()->code(), BP_CANCELLED);
  EXPECT_EQ(look.entries, 610);
}

TEST(OpcuaBrowse, OneThatWaitsForCreditEndsWithTheSystem) {
  OpcuaServer server({"references=1200"});
  OpcuaSystem system(server.port());
  const Endpoint many = system.connected().open("ns=1;s=Many");
  Look look(system.kernel(), many, 10);
  ASSERT_TRUE(look.reaches(10));
  static_cast<void>(system.kernel().stop());
  ASSERT_TRUE(look.end());
  EXPECT_EQ(look.end()->code(), BP_UNAVAILABLE) << "by the plugin: the kernel says CANCELLED";
}

// In one turn of the loop: the first request is too large, and what follows would not be.
TEST(OpcuaPaths, WritesOfOneEndpointKeepTheirOrderWhileAServersLimitIsFound) {
  constexpr int kReads = 260;
  std::atomic<int> good{0};
  OpcuaServer server({"paths_a_call=90", "hides_limits=1"});
  OpcuaSystem system(server.port());
  const Endpoint first = system.connected().open("ns=1;s=Line1.Fixed");
  const Endpoint node = system.open("/1:Line1/1:Temperature");
  std::vector<Endpoint> others;
  for (int i = 0; i < kReads; ++i) {
    others.push_back(system.open("/1:Line1/1:Fixed"));
  }
  const auto count_write = [&](const Status& status) { good += status.is_ok() ? 1 : 0; };
  first.read<int>().then([&](const Result<int>&) {
    node.write(1.0).then(count_write);
    for (const Endpoint& each : others) {
      each.read<int>().then([&](const Result<int>& value) { good += value ? 1 : 0; });
    }
    node.write(2.0).then(count_write);
  });
  ASSERT_TRUE(eventually([&] { return good == kReads + 2; }, kPatience));
  EXPECT_EQ(node.read<double>().value(), 2.0);
}

TEST(OpcuaBrowse, AnUnknownNodeIsNamed) {
  OpcuaServer server;
  OpcuaSystem system(server.port());
  system.connected();
  EXPECT_EQ(system.open("ns=1;s=Nothing").browse().get().status().code(), BP_NOT_FOUND);
}

}  // namespace
}  // namespace backplane::test
