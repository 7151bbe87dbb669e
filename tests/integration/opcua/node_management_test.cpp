// SPDX-License-Identifier: Apache-2.0
// Nodes and references that a client adds to a server, and deletes.
#include "fixture.hpp"

namespace backplane::test {
namespace {

using testing::HasSubstr;

class OpcuaNodeManagement : public Opcua {
 protected:
  Result<OwnedMessage> call(const std::string& node, const char* method, ValueView body = {}) {
    return system_.open(node).call(body, {{BP_H_METHOD, method}}).get();
  }
  std::string why(const std::string& node, const char* method, ValueView body = {}) {
    return std::string(call(node, method, body).status().message());
  }
  bool has(const std::string& node, const std::string& path) {
    for (const OwnedMessage& entry : system_.open(node).browse().value()) {
      if (entry.view().header<std::string>(BP_H_PATH) == path) {
        return true;
      }
    }
    return false;
  }
  StackArena<> arena_;
};

TEST_F(OpcuaNodeManagement, AVariableIsAddedUsedAndDeleted) {
  const auto added = call("ns=1;s=Line1", "add_node",
                          arena_.map({{"id", "ns=1;s=Line1.New"},
                                      {"name", "1:New"},
                                      {"class", "Variable"},
                                      {"type", "Double"},
                                      {"value", 5},
                                      {"description", "for a while"}}));
  ASSERT_TRUE(added) << added.status().message();
  EXPECT_EQ(added->body().get<std::string>(), "ns=1;s=Line1.New");
  EXPECT_TRUE(has("ns=1;s=Line1", "ns=1;s=Line1.New"));
  const Endpoint node = system_.open("/1:Line1/1:New");
  EXPECT_EQ(node.read<double>().value(), 5);
  node.write(6).or_throw();
  EXPECT_EQ(node.read<double>().value(), 6);
  ASSERT_TRUE(call("ns=1;s=Line1.New", "delete_node"));
  EXPECT_FALSE(has("ns=1;s=Line1", "ns=1;s=Line1.New"));
  EXPECT_EQ(node.read().get().status().code(), BP_NOT_FOUND);
}

TEST_F(OpcuaNodeManagement, TheServerMayChooseTheId) {
  const auto added =
      call("i=85", "add_node",
           arena_.map({{"name", "1:Line9"}, {"class", "Object"}, {"reference", "i=35"}}));
  ASSERT_TRUE(added) << added.status().message();
  EXPECT_TRUE(has("i=85", added->body().get<std::string>().value()));
}

TEST_F(OpcuaNodeManagement, AReferenceIsAddedAndDeleted) {
  const ValueView reference =
      arena_.map({{"reference", "i=35"}, {"target", "ns=1;s=Line1.Temperature"}});
  ASSERT_TRUE(call("ns=1;s=Line2", "add_reference", reference));
  EXPECT_TRUE(has("ns=1;s=Line2", "ns=1;s=Line1.Temperature"));
  ASSERT_TRUE(call("ns=1;s=Line2", "delete_reference", reference));
  EXPECT_FALSE(has("ns=1;s=Line2", "ns=1;s=Line1.Temperature"));
}

TEST_F(OpcuaNodeManagement, TheClassOfAReferencesTargetMayBeSaid) {
  const auto add = [&](const char* target_class) {
    return call("ns=1;s=Line2", "add_reference",
                arena_.map({{"reference", "i=35"},
                            {"target", "ns=1;s=Line1.Temperature"},
                            {"target_class", target_class}}));
  };
  EXPECT_TRUE(add("Variable"));
  EXPECT_EQ(add("Object").status().code(), BP_PERMISSION_DENIED) << "by the server";
  EXPECT_THAT(std::string(add("Thing").status().message()),
              HasSubstr("'target_class': expected a class of nodes"));
}

TEST_F(OpcuaNodeManagement, WhatIsWrongIsNamed) {
  EXPECT_THAT(why("ns=1;s=Line1", "rename"), HasSubstr("there are add_node, delete_node"));
  EXPECT_THAT(why("ns=1;s=Line1", "add_node", arena_.map({{"class", "Method"}})),
              HasSubstr("expected Object or Variable"));
  EXPECT_THAT(why("ns=1;s=Line1", "add_node", arena_.map({{"class", "Object"}})),
              HasSubstr("'name': expected a browse name"));
  EXPECT_THAT(why("ns=1;s=Line1", "add_node", ValueView(7)), HasSubstr("expected a map"));
  EXPECT_THAT(why("ns=1;s=Line1", "add_reference", arena_.map({{"reference", "i=35"}})),
              HasSubstr("'target' is absent"));
  EXPECT_THAT(why("ns=1;s=Line1", "add_reference",
                  arena_.map({{"reference", "i=35"}, {"target", "ns=1;s=Nothing"}})),
              HasSubstr("its target: BadNodeIdUnknown"));
  EXPECT_THAT(why("ns=1;s=Line1", "add_node",
                  arena_.map({{"id", "ns=1;s=Line1.Temperature"},
                              {"name", "1:Temperature"},
                              {"class", "Object"}})),
              HasSubstr("BadNodeIdExists"));
  EXPECT_THAT(why("ns=1;s=Nothing", "delete_node"), HasSubstr("BadNodeIdUnknown"));
}

}  // namespace
}  // namespace backplane::test
