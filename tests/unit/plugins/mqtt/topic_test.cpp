// SPDX-License-Identifier: Apache-2.0
#include "topic.hpp"

#include <gtest/gtest.h>

namespace backplane::mqtt {
namespace {

TEST(TopicName, IsAcceptedAsMqttHasIt) {
  for (const char* topic :
       {"a", "/", "a//b", "plant/line1/temperature", "$SYS/broker/uptime", "größe/°C", " "}) {
    EXPECT_TRUE(check_topic_name(topic).is_ok()) << topic;
  }
}

TEST(TopicName, RefusesWildcardsAndSaysWhere) {
  const Status status = check_topic_name("plant/+/temperature");
  EXPECT_EQ(status.code(), BP_INVALID_ARGUMENT);
  EXPECT_NE(status.message().find("'+' at offset 6"), std::string_view::npos) << status.message();
}

TEST(TopicName, RefusesWhatNoBrokerTakes) {
  EXPECT_EQ(check_topic_name("").code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(check_topic_name("a/#").code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(check_topic_name(std::string_view("a\0b", 3)).code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(check_topic_name("a\xff").code(), BP_INVALID_ARGUMENT);
  EXPECT_EQ(check_topic_name(std::string(65536, 'a')).code(), BP_INVALID_ARGUMENT);
  EXPECT_TRUE(check_topic_name(std::string(65535, 'a')).is_ok());
}

TEST(TopicFilter, IsAcceptedAsMqttHasIt) {
  for (const char* filter : {"#", "+", "+/+", "a/#", "a/+/b", "/+", "$share/group/a/#", "a"}) {
    EXPECT_TRUE(check_topic_filter(filter).is_ok()) << filter;
  }
}

TEST(TopicFilter, RefusesWildcardsThatAreNoWholeLevel) {
  for (const char* filter :
       {"a+", "a/b#", "#/a", "a/+b/c", "$share//a", "$share/group", "$share/g+/a", "$share/g/"}) {
    EXPECT_EQ(check_topic_filter(filter).code(), BP_INVALID_ARGUMENT) << filter;
  }
}

TEST(TopicFilter, MatchesByLevels) {
  EXPECT_TRUE(matches("a/+/c", "a/b/c"));
  EXPECT_TRUE(matches("a/#", "a"));
  EXPECT_TRUE(matches("a/#", "a/b/c"));
  EXPECT_TRUE(matches("a/b", "a/b"));
  EXPECT_FALSE(matches("a/+", "a/b/c"));
  EXPECT_FALSE(matches("a/b", "a/b/c"));
  EXPECT_FALSE(matches("+/b", "/a/b"));
}

TEST(TopicFilter, MatchesNoDollarTopicByAWildcardAtItsBeginning) {
  EXPECT_FALSE(matches("#", "$SYS/x"));
  EXPECT_FALSE(matches("+/x", "$SYS/x"));
  EXPECT_TRUE(matches("$SYS/#", "$SYS/x"));
}

TEST(TopicFilter, OfAGroupMatchesWithoutTheGroup) {
  EXPECT_TRUE(matches("$share/workers/jobs/+", "jobs/1"));
  EXPECT_FALSE(matches("$share/workers/jobs/+", "workers/jobs/1"));
}

}  // namespace
}  // namespace backplane::mqtt
