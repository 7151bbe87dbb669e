// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backplane::opcua {
namespace {

using testing::HasSubstr;

std::string why_not(std::string_view text) {
  const auto address = parse_address(text);
  return address ? "it is one" : std::string(address.status().message());
}

TEST(Address, IsANodeIdWithOrWithoutANamespace) {
  const auto address = parse_address("ns=1;s=Line1.Temperature");
  ASSERT_TRUE(address);
  EXPECT_EQ(to_text(**node_id_of(*address, {})), "ns=1;s=Line1.Temperature");
  EXPECT_EQ(address->attribute, UA_UInt32{UA_ATTRIBUTEID_VALUE});
  EXPECT_EQ(to_text(**node_id_of(*parse_address("i=2258"), {})), "i=2258");
}

TEST(Address, NamesAnotherAttributeBehindAnAt) {
  const auto address = parse_address("ns=1;s=a@b@DisplayName");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->id, "ns=1;s=a@b");
  EXPECT_EQ(attribute_name(address->attribute), "DisplayName");
}

TEST(Address, TakesAnAtThatNamesNoAttributeAsPartOfTheName) {
  EXPECT_EQ(parse_address("ns=1;s=a@b")->id, "ns=1;s=a@b");
}

TEST(Address, FindsANamespaceByItsUri) {
  const auto address = parse_address("nsu=urn:plant;s=Line1");
  ASSERT_TRUE(address);
  EXPECT_EQ(to_text(**node_id_of(*address, {"urn:ua", "urn:other", "urn:plant"})), "ns=2;s=Line1");
  EXPECT_EQ(node_id_of(*address, {"urn:ua"}).status().code(), BP_NOT_FOUND);
}

TEST(Address, IsABrowsePathFromObjects) {
  const auto address = parse_address("/2:Line1/2:a&/b&:c/Plain@Description");
  ASSERT_TRUE(address);
  ASSERT_EQ(address->path.size(), 3u);
  EXPECT_EQ(address->path[0].ns, 2);
  EXPECT_EQ(address->path[1].name, "a/b:c");
  EXPECT_EQ(address->path[2].ns, 0);
  EXPECT_EQ(address->attribute, UA_UInt32{UA_ATTRIBUTEID_DESCRIPTION});
  EXPECT_TRUE(parse_address("/")->path.empty());
}

// The library takes the number modulo 2^16 or 2^32: another node.
TEST(Address, TakesNoNumberThatDoesNotFit) {
  EXPECT_TRUE(parse_address("ns=65535;i=4294967295"));
  EXPECT_THAT(why_not("ns=65536;i=85"), HasSubstr("a namespace's number is at most 65535"));
  EXPECT_THAT(why_not("ns=65537;s=a"), HasSubstr("a namespace's number is at most 65535"));
  EXPECT_THAT(why_not("i=4294967381"), HasSubstr("a node's number is at most 4294967295"));
  EXPECT_THAT(why_not("ns=1;i=4294967296"), HasSubstr("a node's number is at most"));
  EXPECT_THAT(why_not("nsu=urn:a;i=4294967296"), HasSubstr("a node's number is at most"));
  EXPECT_THAT(why_not("/65536:a"), HasSubstr("is no number of a namespace"));
  EXPECT_TRUE(parse_address("ns=1;s=i=4294967296")) << "it is a name";
}

TEST(Address, ASegmentMayHaveItsNamespaceByItsUri) {
  const auto address = parse_address("/nsu=http://plant.example/a:b;Line1:x/2:Valve");
  ASSERT_TRUE(address) << address.status().to_string();
  ASSERT_EQ(address->path.size(), 2u);
  EXPECT_EQ(address->path[0].namespace_uri, "http://plant.example/a:b");
  EXPECT_EQ(address->path[0].name, "Line1:x");
  EXPECT_EQ(address->path[1].ns, 2);
  EXPECT_EQ(parse_address("/&nsu=a")->path[0].name, "nsu=a");
}

TEST(Address, SaysWhatIsWrongWithIt) {
  EXPECT_THAT(why_not("Line1"), HasSubstr("'Line1' is no node id; one is like ns=1;s="));
  EXPECT_THAT(why_not("/x:Line1"), HasSubstr("'x' is no number of a namespace"));
  EXPECT_THAT(why_not("/2:Line1//a"), HasSubstr("a segment has no name"));
  EXPECT_THAT(why_not("/nsu=urn:a"), HasSubstr("expected nsu=URI;NAME"));
  EXPECT_THAT(why_not("nsu=urn:a"), HasSubstr("expected nsu=URI;s=NAME"));
  EXPECT_THAT(why_not("nsu=urn:a;ns=1;s=b"), HasSubstr("by its URI and by its number"));
}

}  // namespace
}  // namespace backplane::opcua
