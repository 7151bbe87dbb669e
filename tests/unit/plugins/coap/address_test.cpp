// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"

#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string refusal(std::string_view path) {
  try {
    parse_target(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.status().code(), BP_INVALID_ARGUMENT);
    return std::string(error.status().message());
  }
  return "taken";
}

TEST(CoapTarget, SplitsPathAndQuery) {
  const Target target = parse_target("/line1/a%2Fb%20c?unit=c&raw");
  EXPECT_THAT(target.segments, ElementsAre("line1", "a/b c"));
  EXPECT_THAT(target.queries, ElementsAre("unit=c", "raw"));
  EXPECT_EQ(target.path, "line1/a%2Fb%20c");
  EXPECT_EQ(parse_target("/line1/a%2fb%20c").path, target.path);
  EXPECT_THAT(parse_target("/").segments, IsEmpty());
  EXPECT_THAT(parse_target("/?x").queries, ElementsAre("x"));
  EXPECT_THAT(parse_target("/a/").segments, ElementsAre("a", ""));
}

TEST(CoapTarget, RefusesWhatIsNoPath) {
  EXPECT_THAT(refusal("a"), HasSubstr("must begin with a slash"));
  EXPECT_THAT(refusal(""), HasSubstr("must begin with a slash"));
  for (const char* bad : {"/%", "/%4", "/%zz", "/a%2"}) {
    EXPECT_THAT(refusal(bad), HasSubstr("two hexadecimal digits")) << bad;
  }
  EXPECT_THAT(refusal("/" + std::string(256, 'a')), HasSubstr("256 bytes"));
  for (const char* bad : {"/..", "/a/../b", "/a/.", "/a/%2e%2E/b"}) {
    EXPECT_THAT(refusal(bad), HasSubstr("is no part of a path in CoAP")) << bad;
  }
  EXPECT_EQ(parse_target("/.a/...").path, ".a/...");
  std::string long_path;
  for (int i = 0; i < 10; ++i) {
    long_path += "/" + std::string(200, 'a');
  }
  EXPECT_THAT(refusal(long_path), HasSubstr("too long"));
}

TEST(CoapTarget, IsThePathOfItsOwnRequest) {
  const Target target = parse_target("/line1/a%2Fb");
  const Pdu request = make_pdu(COAP_REQUEST_CODE_GET,
                               {{COAP_OPTION_URI_PATH, "line1"}, {COAP_OPTION_URI_PATH, "a/b"}});
  EXPECT_EQ(path_of(request.get()), "/" + target.path);
}

TEST(CoapAuthority, TakesAddressesAndNames) {
  const Authority plain = parse_authority("coap://127.0.0.1", "url");
  EXPECT_EQ(plain.host, "127.0.0.1");
  EXPECT_EQ(plain.port, 5683);
  EXPECT_EQ(plain.text, "coap://127.0.0.1:5683");
  const Authority six = parse_authority("coap://[::1]:7000", "url");
  EXPECT_EQ(six.host, "::1");
  EXPECT_EQ(six.text, "coap://[::1]:7000");
  EXPECT_FALSE(address_of(parse_authority("coap://sensor.example", "url").host, 5683));
  EXPECT_EQ(to_text(address_of(plain.host, plain.port).value()), "127.0.0.1:5683");
  EXPECT_EQ(to_text(address_of(six.host, six.port).value()), "[::1]:7000");
}

TEST(CoapAuthority, SaysWhatIsWrong) {
  const auto refused = [](std::string_view url) {
    try {
      parse_authority(url, "listen");
    } catch (const Error& error) {
      return error.status();
    }
    return Status();
  };
  EXPECT_EQ(refused("coap+tcp://127.0.0.1").code(), BP_UNIMPLEMENTED);
  for (const char* bad : {"", "127.0.0.1", "mqtt://h", "coap://", "coap://127.0.0.1/path"}) {
    EXPECT_EQ(refused(bad).code(), BP_INVALID_ARGUMENT) << bad;
    EXPECT_THAT(std::string(refused(bad).message()), HasSubstr("'listen'")) << bad;
  }
}

TEST(CoapAuthority, OfCoapsIsSecureAndHasAPortOfItsOwn) {
  const Authority secure = parse_authority("coaps://peer.test", "url");
  EXPECT_TRUE(secure.is_secure);
  EXPECT_EQ(secure.port, 5684);
  EXPECT_EQ(secure.text, "coaps://peer.test:5684");
  EXPECT_EQ(secure.protocol(), COAP_PROTO_DTLS);
  const Authority plain = parse_authority("coap://peer.test", "url");
  EXPECT_FALSE(plain.is_secure);
  EXPECT_EQ(plain.protocol(), COAP_PROTO_UDP);
}

}  // namespace
}  // namespace backplane::coap::test
