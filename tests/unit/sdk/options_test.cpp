// SPDX-License-Identifier: Apache-2.0
#include "backplane/sdk/options.hpp"

#include <gmock/gmock.h>

namespace backplane {
namespace {

using testing::HasSubstr;

class RequestOptions : public testing::Test {
 protected:
  MessageView with(ValueView options) { return message_.header(BP_H_OPTIONS, options); }
  std::string refusal(ValueView options, std::initializer_list<std::string_view> known) {
    MessageBuilder message;
    message.header(BP_H_OPTIONS, options);
    try {
      options_of(message, known);
    } catch (const Error& error) {
      EXPECT_EQ(error.status().code(), BP_INVALID_ARGUMENT);
      return std::string(error.status().message());
    }
    return "not refused";
  }

  StackArena<> arena_;
  MessageBuilder message_;
};

TEST_F(RequestOptions, AreThoseOfTheRequest) {
  const ValueView sut = options_of(with(arena_.map({{"queue", 5}})), {"deadband", "queue"});
  EXPECT_EQ(sut.find("queue")->get<int>(), 5);
}

TEST_F(RequestOptions, AreNullWhereThereAreNone) {
  EXPECT_TRUE(options_of(MessageView()).is_null());
  EXPECT_TRUE(options_of(with(ValueView())).is_null());
}

TEST_F(RequestOptions, AreRefusedByTheirNameWithWhatThereIs) {
  EXPECT_EQ(refusal(arena_.map({{"queue", 5}, {"quue", 5}}), {"deadband", "queue"}),
            "there is no option 'quue'; there are 'deadband', 'queue'");
  EXPECT_EQ(refusal(arena_.map({{"quue", 5}}), {"queue"}),
            "there is no option 'quue'; there is 'queue'");
  EXPECT_EQ(refusal(arena_.map({{"queue", 5}}), {}),
            "there is no option 'queue'; there are none here");
  EXPECT_THAT(refusal(arena_.map({{7, 5}}), {"queue"}), HasSubstr("'7'"));
  EXPECT_LT(refusal(arena_.map({{std::string(1000, 'x'), 5}}), {}).size(), 200u);
}

TEST_F(RequestOptions, AreAMap) {
  EXPECT_THAT(refusal("queue", {"queue"}), HasSubstr("expected a map, got \"queue\""));
  EXPECT_THAT(refusal(arena_.list({"queue"}), {"queue"}), HasSubstr("expected a map"));
}

}  // namespace
}  // namespace backplane
