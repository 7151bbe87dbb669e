// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/config.hpp"

#include "backplane/sdk/arena.hpp"

#include <gtest/gtest.h>

namespace backplane {
namespace {

std::string mistake(const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    EXPECT_EQ(error.status().code(), BP_INVALID_ARGUMENT);
    return std::string(error.status().message());
  }
  return "none";
}

class AConfig : public ::testing::Test {
 protected:
  StackArena<> arena_;
  Config sut_{arena_.map(
      {{"url", "mqtt://localhost"},
       {"keep_alive_s", 1.5},
       {"poll_ms", 250},
       {"qos", 1},
       {"clean", true},
       {"topics", arena_.list({"a", "b"})},
       {"will", arena_.map({{"topic", "t"}, {"qos", "high"}})},
       {"resources", arena_.list({arena_.map({{"path", "/a"}}), arena_.map({{"size", 1}})})}})};
};

TEST_F(AConfig, GivesTypedValues) {
  EXPECT_EQ(sut_.string("url"), "mqtt://localhost");
  EXPECT_EQ(sut_.integer("qos"), 1);
  EXPECT_EQ(sut_.integer<uint8_t>("qos"), 1);
  EXPECT_EQ(sut_.number("qos"), 1.0);
  EXPECT_TRUE(sut_.boolean("clean"));
  EXPECT_EQ(sut_.seconds("keep_alive_s"), std::chrono::milliseconds(1500));
  EXPECT_EQ(sut_.milliseconds("poll_ms"), std::chrono::milliseconds(250));
  EXPECT_EQ(sut_.strings("topics"), (std::vector<std::string>{"a", "b"}));
}

TEST_F(AConfig, GivesSubTables) {
  EXPECT_EQ(sut_.table("will").string("topic"), "t");
  EXPECT_FALSE(sut_.table("absent").has("topic"));
  EXPECT_EQ(sut_.tables("resources").size(), 2u);
  EXPECT_EQ(sut_.tables("resources")[0].string("path"), "/a");
  EXPECT_TRUE(sut_.tables("absent").empty());
}

TEST_F(AConfig, GivesNothingForAnOptionalKeyThatIsAbsent) {
  EXPECT_EQ(sut_.find<std::string>("user"), std::nullopt);
  EXPECT_EQ(sut_.find<std::string>("url"), "mqtt://localhost");
}

TEST_F(AConfig, NamesThePathOfAMistake) {
  EXPECT_EQ(mistake([&] { sut_.string("user"); }), "configuration: 'user' is missing");
  EXPECT_EQ(mistake([&] { sut_.integer("url"); }),
            "configuration: 'url': expected an int of 64 bits, got string");
  EXPECT_EQ(mistake([&] { sut_.table("will").integer("qos"); }),
            "configuration: 'will.qos': expected an int of 64 bits, got string");
  EXPECT_EQ(mistake([&] { sut_.tables("resources")[1].string("path"); }),
            "configuration: 'resources[1].path' is missing");
  EXPECT_EQ(mistake([&] { sut_.find<bool>("url"); }),
            "configuration: 'url': expected bool, got string");
  EXPECT_EQ(mistake([&] { sut_.table("url"); }),
            "configuration: 'url': expected a table, got string");
}

}  // namespace
}  // namespace backplane
