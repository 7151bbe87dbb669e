// SPDX-License-Identifier: Apache-2.0
#include "did_you_mean.hpp"

#include <gtest/gtest.h>

namespace backplane::kernel {
namespace {

const std::vector<std::string> kKeys{"url", "listen", "client_id", "keep_alive_s"};

TEST(DidYouMean, FindsOneLetterTooManyTooFewOrSwapped) {
  EXPECT_EQ(nearest("urll", kKeys), "url");
  EXPECT_EQ(nearest("lsiten", kKeys), "listen");
  EXPECT_EQ(nearest("clientid", kKeys), "client_id");
  EXPECT_EQ(nearest("Keep_Alive_S", kKeys), "keep_alive_s");
}

TEST(DidYouMean, OffersNothingFarAway) {
  EXPECT_EQ(nearest("password", kKeys), std::nullopt);
  EXPECT_EQ(nearest("x", kKeys), std::nullopt);
  EXPECT_EQ(nearest("", kKeys), std::nullopt);
  EXPECT_EQ(nearest(std::string(100000, 'u'), kKeys), std::nullopt);
}

TEST(DidYouMean, PrefersTheNearest) {
  EXPECT_EQ(nearest("route2", {"route1x", "router", "route-2"}), "router");
}

TEST(DidYouMean, MakesASentence) {
  EXPECT_EQ(unknown_word("key", "urll", kKeys), "unknown key 'urll', did you mean 'url'?");
  EXPECT_EQ(unknown_word("key", "foo", {"a", "b"}), "unknown key 'foo', expected one of 'a', 'b'");
  EXPECT_EQ(unknown_word("key", "foo", {}), "unknown key 'foo', there is none to choose from");
}

TEST(DidYouMean, CutsLongLists) {
  std::vector<std::string> words(20, "w");
  EXPECT_EQ(quoted_list(words),
            "'w', 'w', 'w', 'w', 'w', 'w', 'w', 'w', 'w', 'w', 'w', 'w' and 8 more");
}

}  // namespace
}  // namespace backplane::kernel
