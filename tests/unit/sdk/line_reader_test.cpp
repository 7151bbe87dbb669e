// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/line_reader.hpp"

#include <gmock/gmock.h>

#include <vector>

namespace backplane {
namespace {

using testing::ElementsAre;

struct Lines {
  std::vector<std::string> texts;
  std::vector<bool> cuts;
  void operator()(std::string text, bool cut) {
    texts.push_back(std::move(text));
    cuts.push_back(cut);
  }
};

TEST(LineReader, JoinsPiecesAndSplitsLines) {
  LineReader sut(80);
  Lines lines;
  sut.feed("one\ntw", lines);
  sut.feed("o\r\n\nthree", lines);
  EXPECT_THAT(lines.texts, ElementsAre("one", "two", ""));
  sut.finish(lines);
  EXPECT_THAT(lines.texts, ElementsAre("one", "two", "", "three"));
  sut.finish(lines);
  EXPECT_EQ(lines.texts.size(), 4U);
}

TEST(LineReader, LeavesOutWhatIsAboveTheBound) {
  LineReader sut(4);
  Lines lines;
  sut.feed("1234\n12345\n", lines);
  for (int i = 0; i < 10'000; ++i) {
    sut.feed("abcdefgh", lines);
  }
  sut.feed("\nnext\n", lines);
  EXPECT_THAT(lines.texts, ElementsAre("1234", "1234", "abcd", "next"));
  EXPECT_THAT(lines.cuts, ElementsAre(false, true, true, false));
}

TEST(CleanText, KeepsUtf8AndReplacesTheRest) {
  EXPECT_EQ(clean_text("gr\xC3\xBC\xC3\x9F\t\xF0\x9F\x98\x80"),
            "gr\xC3\xBC\xC3\x9F\t\xF0\x9F\x98\x80");
  EXPECT_EQ(clean_text("a\xFFz"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(clean_text("\xC3"), "\xEF\xBF\xBD") << "a character that was cut";
  EXPECT_EQ(clean_text("\x1B[31mred\x07"), " [31mred ");
  EXPECT_EQ(clean_text("\xC2\x9B"), " ") << "a control character of two bytes";
}

}  // namespace
}  // namespace backplane
