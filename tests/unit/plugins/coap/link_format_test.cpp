// SPDX-License-Identifier: Apache-2.0
#include "link_format.hpp"

#include <gmock/gmock.h>

namespace backplane::coap {
namespace {

using testing::Eq;
using testing::Optional;

const std::vector<Link> kLinks = {
    {"/line1/temperature", "Line \"1\"", "temperature sensor", "core.s", "50", 4, true},
    {"/line1/name", "", "", "", "0 50", std::nullopt, false},
    {"/", "", "", "", "", std::nullopt, false},
};

TEST(CoapLinkFormat, WritesWhatItReads) {
  const std::string text = write_links(kLinks, "");
  EXPECT_EQ(text,
            "</line1/temperature>;title=\"Line \\\"1\\\"\";rt=\"temperature sensor\";if=\"core.s\";"
            "ct=50;sz=4;obs,</line1/name>;ct=\"0 50\",</>");
  EXPECT_THAT(read_links(text, 10), Optional(Eq(kLinks)));
}

TEST(CoapLinkFormat, SelectsByQuery) {
  EXPECT_EQ(write_links(kLinks, "rt=temp*").find("/line1/name"), std::string::npos);
  EXPECT_NE(write_links(kLinks, "rt=sensor"), "");
  EXPECT_EQ(write_links(kLinks, "rt=sens"), "");
  EXPECT_EQ(write_links(kLinks, "href=/line1/name"), "</line1/name>;ct=\"0 50\"");
  EXPECT_NE(write_links(kLinks, "href=/line1/*").find("/line1/name"), std::string::npos);
  EXPECT_NE(write_links(kLinks, "ct=50").find("/line1/name"), std::string::npos);
  EXPECT_EQ(write_links(kLinks, "if=x"), "");
  EXPECT_EQ(write_links(kLinks, "colour=red"), "");
}

TEST(CoapLinkFormat, ReadsOthersLists) {
  const auto links = read_links(
      " </a>;rt=x;sz=12 , </b>;title=\"a, b; c\";hreflang=en;obs,<coap://other/c>;rt=y,<//x/y>",
      10);
  ASSERT_TRUE(links);
  ASSERT_EQ(links->size(), 3u);
  EXPECT_EQ((*links)[0], (Link{"/a", "", "x", "", "", 12, false}));
  EXPECT_EQ((*links)[1], (Link{"/b", "a, b; c", "", "", "", std::nullopt, true}));
}

TEST(CoapLinkFormat, WritesAgainWhatIsNoContentFormat) {
  const auto links = read_links("</a>;ct=\"A,\\\"B\\\"\",</b>", 10);
  ASSERT_TRUE(links.has_value());
  EXPECT_EQ(links->front().ct, "A,\"B\"");
  EXPECT_EQ(read_links(write_links(*links, ""), 10), links);
}

TEST(CoapLinkFormat, RefusesWhatIsNoList) {
  for (const char* bad : {"x", "<", "</a", "</a>x", "</a>;rt=\"x", "</a>,x", "{\"a\":1}"}) {
    EXPECT_FALSE(read_links(bad, 10)) << bad;
  }
  EXPECT_THAT(read_links("", 10), Optional(testing::IsEmpty()));
  EXPECT_EQ(read_links("</a>,</b>,</c>", 2)->size(), 2u);
}

}  // namespace
}  // namespace backplane::coap
