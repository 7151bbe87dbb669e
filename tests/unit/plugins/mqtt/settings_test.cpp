// SPDX-License-Identifier: Apache-2.0
#include "settings.hpp"

#include <gtest/gtest.h>

namespace backplane::mqtt {
namespace {

TEST(BrokerUrl, HasTheProtocolsPortUnlessItNamesOne) {
  const BrokerUrl plain = BrokerUrl::parse("mqtt://broker");
  EXPECT_EQ(plain.host, "broker");
  EXPECT_EQ(plain.port, 1883);
  EXPECT_FALSE(plain.tls);

  const BrokerUrl tls = BrokerUrl::parse("mqtts://127.0.0.1");
  EXPECT_EQ(tls.port, 8883);
  EXPECT_TRUE(tls.tls);

  EXPECT_EQ(BrokerUrl::parse("mqtt://broker:17/").port, 17);
}

TEST(BrokerUrl, TakesAddressesOfVersion6InBrackets) {
  const BrokerUrl url = BrokerUrl::parse("mqtt://[::1]:1884");
  EXPECT_EQ(url.host, "::1");
  EXPECT_EQ(url.port, 1884);
  EXPECT_EQ(url.to_string(), "mqtt://[::1]:1884");
}

TEST(BrokerUrl, RefusesWhatItIsNot) {
  for (const char* url : {"", "broker", "http://broker", "mqtt://", "mqtt://:1883",
                          "mqtt://broker:0", "mqtt://broker:65536", "mqtt://broker:1883x",
                          "mqtt://broker/path", "mqtt://[::1", "mqtt://[::1]x"}) {
    EXPECT_THROW(BrokerUrl::parse(url), Error) << url;
  }
}

TEST(BrokerUrl, KeepsSecretsOut) {
  try {
    BrokerUrl::parse("mqtt://user@broker");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.status().message().find("credential"), std::string_view::npos) << error.what();
  }
}

TEST(ClientIdentifier, StaysTheSameForAnInstanceOfAManifest) {
  EXPECT_EQ(default_client_id("works", "cloud"), default_client_id("works", "cloud"));
  EXPECT_NE(default_client_id("works", "cloud"), default_client_id("works", "plant"));
  EXPECT_TRUE(default_client_id("works", "cloud").starts_with("backplane-works-cloud-"));
  EXPECT_TRUE(default_client_id("", "cloud").starts_with("backplane-cloud-"));
}

TEST(ClientIdentifier, DiffersBetweenTwoSystemsOfOneMachine) {
  EXPECT_NE(default_client_id("east", "cloud"), default_client_id("west", "cloud"));
  EXPECT_NE(default_client_id("a-b", "c"), default_client_id("a", "b-c"));
  const std::string longest(64, 'x');
  EXPECT_NE(default_client_id(longest, "cloud"), default_client_id(longest + "y", "cloud"));
}

TEST(ClientIdentifier, HasOnlyCharactersThatEveryBrokerTakes) {
  const std::string id = default_client_id("look://works", "mqtt://localhost:1883");
  EXPECT_EQ(id.find_first_of(":/+#$"), std::string::npos) << id;
}

TEST(AnInstance, IsPassingIfItIsOfAUrlOrOfASystemThatOnlyLooks) {
  EXPECT_FALSE(is_passing("works", "cloud"));
  EXPECT_FALSE(is_passing("", "cloud"));
  EXPECT_TRUE(is_passing("", "mqtt://localhost:1883"));
  EXPECT_TRUE(is_passing("look://works", "cloud"));
}

}  // namespace
}  // namespace backplane::mqtt
