// SPDX-License-Identifier: Apache-2.0
// Calling methods of a real server.
#include "fixture.hpp"

namespace backplane::test {
namespace {

using testing::HasSubstr;

TEST_F(Opcua, AMethodHasSeveralOutputsOfTheirOwnTypes) {
  StackArena arena;
  for (const char* path : {"ns=1;s=Line1.Mix", "/1:Line1/1:Mix"}) {
    const auto answer =
        system_.open(path).call(arena.list({2.5, int32_t{4}}, BP_LIST_ARGUMENTS)).get();
    ASSERT_TRUE(answer) << answer.status().to_string();
    const ValueView outputs = answer->body();
    ASSERT_EQ(outputs.size(), 3u);
    EXPECT_EQ(outputs.aux, BP_LIST_ARGUMENTS);
    EXPECT_EQ(outputs.at(0).get<double>(), 10.0);
    EXPECT_EQ(outputs.at(1).aux, 32);
    EXPECT_EQ(outputs.at(1).get<int>(), 8);
    EXPECT_EQ(outputs.at(2).get<std::string>(), "mixed");
  }
}

TEST_F(Opcua, TheObjectOfAMethodMayBeNamed) {
  StackArena arena;
  const ValueView named = arena.map({{"object", "ns=1;s=Line1"}});
  const ValueView other = arena.map({{"object", "ns=1;s=Many"}});
  const ValueView inputs = arena.list({2.5, int32_t{4}}, BP_LIST_ARGUMENTS);
  const Endpoint mix = system_.open("ns=1;s=Line1.Mix");
  EXPECT_TRUE(mix.call(inputs, {{BP_H_OPTIONS, named}}).get());
  EXPECT_EQ(mix.call(inputs, {{BP_H_OPTIONS, other}}).get().status().code(), BP_NOT_FOUND);
  const Status unknown =
      mix.call(inputs, {{BP_H_OPTIONS, arena.map({{"objekt", "ns=1;s=Line1"}})}}).get().status();
  EXPECT_EQ(unknown.code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("there is 'object'"));
}

TEST_F(Opcua, ARefusedMethodSaysWhy) {
  StackArena arena;
  const Endpoint mix = system_.open("ns=1;s=Line1.Mix");
  const Status wrong = mix.call(arena.list({2.5, "four"}, BP_LIST_ARGUMENTS)).get().status();
  EXPECT_EQ(wrong.code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(wrong.message()), HasSubstr("a status for each argument"));
  const Status few = mix.call(2.5).get().status();
  EXPECT_THAT(std::string(few.message()), HasSubstr("BadArgumentsMissing"));
  const Status none = system_.open(kTemperature).call().get().status();
  EXPECT_EQ(none.code(), BP_NOT_FOUND) << none.to_string();
}

}  // namespace
}  // namespace backplane::test
