// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"

#include <gtest/gtest.h>

namespace backplane::kernel {
namespace {

TEST(Address, OfAnInstanceKeepsTheRestVerbatim) {
  const auto sut = parse_address("main:ns=1;s=Line1.Temperature:x");
  ASSERT_TRUE(sut);
  EXPECT_FALSE(sut->is_url());
  EXPECT_EQ(sut->target, "main");
  EXPECT_EQ(sut->rest, "ns=1;s=Line1.Temperature:x");
}

TEST(Address, OfAUrlEndsTheAuthorityAtTheSlash) {
  const auto sut = parse_address("mqtt://localhost:1883/plant/#");
  ASSERT_TRUE(sut);
  EXPECT_EQ(sut->scheme, "mqtt");
  EXPECT_EQ(sut->target, "mqtt://localhost:1883");
  EXPECT_EQ(sut->rest, "plant/#");
}

TEST(Address, OfAUrlMayLackAPath) {
  EXPECT_EQ(parse_address("coap://[::1]:5683")->target, "coap://[::1]:5683");
  EXPECT_EQ(parse_address("coap://[::1]:5683")->rest, "");
  EXPECT_EQ(parse_address("coap://host?x=1")->rest, "?x=1");
  EXPECT_EQ(parse_address("unix:///run/x.sock")->target, "unix://");
  EXPECT_EQ(parse_address("unix:///run/x.sock")->rest, "run/x.sock");
}

TEST(Address, IsNothingElse) {
  for (const char* text : {"", "plain", ":x", "a b:x", "MQTT://host/x", "://host", "-a:x", "ä:x"}) {
    EXPECT_FALSE(parse_address(text)) << text;
  }
}

TEST(AddressPattern, MatchesOneAddressOrAPrefix) {
  EXPECT_TRUE(AddressPattern::parse("*").matches("mqtt://host/x"));
  EXPECT_TRUE(AddressPattern::parse("sensors:*").matches("sensors:/line1"));
  EXPECT_FALSE(AddressPattern::parse("sensors:*").matches("sensor:/line1"));
  EXPECT_TRUE(AddressPattern::parse("sensors:/a").matches("sensors:/a"));
  EXPECT_FALSE(AddressPattern::parse("sensors:/a").matches("sensors:/ab"));
  EXPECT_FALSE(AddressPattern::exactly("cloud:plant/*").matches("cloud:plant/x"));
}

TEST(AddressPattern, OfAnInstanceMatchesNoUrlOfAScheme) {
  for (const char* prefix : {"mqtt:*", "mqtt:/*"}) {
    const AddressPattern sut = AddressPattern::parse(prefix);
    EXPECT_TRUE(sut.matches("mqtt:/plant")) << prefix;
    EXPECT_FALSE(sut.matches("mqtt://elsewhere/plant")) << prefix;
    EXPECT_FALSE(intersection(sut, AddressPattern::parse("mqtt://*"))) << prefix;
    EXPECT_FALSE(intersection(sut, AddressPattern::parse("mqtt://h/x"))) << prefix;
  }
  EXPECT_TRUE(AddressPattern::parse("mqtt://h*").matches("mqtt://h/a:b"));
  EXPECT_TRUE(AddressPattern::parse("mqtt*").matches("mqtt://h/x"));
}

TEST(AddressPattern, IntersectsToTheNarrower) {
  const auto both = [](const char* a, const char* b) -> std::string {
    const auto found = intersection(AddressPattern::parse(a), AddressPattern::parse(b));
    return found ? to_string(*found) : "none";
  };
  EXPECT_EQ(both("*", "sensors:*"), "sensors:*");
  EXPECT_EQ(both("sensors:/a*", "sensors:*"), "sensors:/a*");
  EXPECT_EQ(both("sensors:/a", "sensors:*"), "sensors:/a");
  EXPECT_EQ(both("*", "sensors:/a"), "sensors:/a");
  EXPECT_EQ(both("a:*", "b:*"), "none");
  EXPECT_EQ(both("a:x", "a:y"), "none");
  EXPECT_EQ(both("a:x", "b:*"), "none");
}

TEST(InstanceName, HasLettersDigitsUnderscoresDashesAndDots) {
  for (const char* good : {"a", "line1-temperature", "A.b_2", "1"})
    EXPECT_TRUE(is_instance_name(good));
  for (const char* bad : {"", "a:b", "a/b", ".a", "-a", "a b"}) EXPECT_FALSE(is_instance_name(bad));
  EXPECT_FALSE(is_instance_name(std::string(65, 'a')));
}

}  // namespace
}  // namespace backplane::kernel
