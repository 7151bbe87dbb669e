// SPDX-License-Identifier: Apache-2.0
#include "block.hpp"

#include "test_pdu.hpp"

#include <gmock/gmock.h>

namespace backplane::coap::test {
namespace {

using Step = Assembly::Step;

coap_block_t block(unsigned number, bool more, unsigned szx) {
  coap_block_t out{};
  out.num = number;
  out.m = more ? 1 : 0;
  out.szx = szx & 7U;
  return out;
}

TEST(CoapAssembly, PutsBlocksTogetherInOrder) {
  Assembly assembly;
  EXPECT_EQ(assembly.add(block(0, true, 0), bytes(std::string(16, 'a')), 100), Step::kMore);
  EXPECT_EQ(assembly.next_number(0), 1u);
  EXPECT_EQ(assembly.add(block(1, true, 0), bytes(std::string(16, 'b')), 100), Step::kMore);
  EXPECT_EQ(assembly.add(block(2, false, 0), bytes("c"), 100), Step::kComplete);
  EXPECT_EQ(text(assembly.body()), std::string(16, 'a') + std::string(16, 'b') + "c");
}

TEST(CoapAssembly, TakesACopyOfABlockOnce) {
  Assembly assembly;
  EXPECT_EQ(assembly.add(block(0, true, 0), bytes(std::string(16, 'a')), 100), Step::kMore);
  EXPECT_EQ(assembly.add(block(1, true, 0), bytes(std::string(16, 'b')), 100), Step::kMore);
  EXPECT_EQ(assembly.add(block(1, true, 0), bytes(std::string(16, 'b')), 100), Step::kMore);
  EXPECT_EQ(assembly.add(block(2, false, 0), bytes("c"), 100), Step::kComplete);
  EXPECT_EQ(assembly.add(block(2, false, 0), bytes("c"), 100), Step::kComplete);
  EXPECT_EQ(assembly.body().size(), 33u);
}

TEST(CoapAssembly, StartsOverAtBlockZero) {
  Assembly assembly;
  EXPECT_EQ(assembly.add(block(0, true, 0), bytes(std::string(16, 'a')), 100), Step::kMore);
  EXPECT_EQ(assembly.add(block(0, false, 0), bytes("z"), 100), Step::kComplete);
  EXPECT_EQ(text(assembly.body()), "z");
}

TEST(CoapAssembly, RefusesGapsAndBadSizes) {
  Assembly assembly;
  EXPECT_EQ(assembly.add(block(1, true, 0), bytes(std::string(16, 'a')), 100), Step::kOutOfOrder);
  EXPECT_EQ(assembly.add(block(0, true, 0), bytes("short"), 100), Step::kBadSize);
  EXPECT_EQ(assembly.add(block(0, true, 0), bytes(std::string(17, 'a')), 100), Step::kBadSize);
  EXPECT_EQ(assembly.add(block(0, true, 7), bytes("a"), 100), Step::kBadSize);
  EXPECT_EQ(assembly.add(block(0, true, 0), bytes(std::string(16, 'a')), 100), Step::kMore);
  EXPECT_EQ(assembly.add(block(3, false, 0), bytes("a"), 100), Step::kOutOfOrder);
  // A last block in the middle of what is there would cut it short.
  EXPECT_EQ(assembly.add(block(1, true, 0), bytes(std::string(16, 'b')), 100), Step::kMore);
  EXPECT_EQ(assembly.add(block(1, false, 0), bytes("b"), 100), Step::kOutOfOrder);
}

TEST(CoapAssembly, KeepsItsBound) {
  Assembly assembly;
  EXPECT_EQ(assembly.add(block(0, true, 0), bytes(std::string(16, 'a')), 20), Step::kMore);
  EXPECT_EQ(assembly.add(block(1, false, 0), bytes("12345"), 20), Step::kTooLarge);
  EXPECT_EQ(assembly.add(block(1, false, 0), bytes("1234"), 20), Step::kComplete);
  EXPECT_EQ(assembly.body().size(), 20u);
}

TEST(CoapBlock, CutsABodyThatAnAssemblyPutsTogether) {
  std::string body;
  for (int i = 0; i < 1000; ++i) {
    body += static_cast<char>(i);
  }
  for (const unsigned szx : {0u, 2u, 6u}) {
    Assembly assembly;
    Step step = Step::kMore;
    for (uint32_t number = 0; step == Step::kMore; ++number) {
      const Pdu pdu = make_pdu(COAP_RESPONSE_CODE_CONTENT, {});
      ASSERT_TRUE(add_body(pdu.get(), COAP_OPTION_BLOCK2, bytes(body), number, szx, true));
      const auto option = block_option(pdu.get(), COAP_OPTION_BLOCK2);
      ASSERT_TRUE(option);
      EXPECT_EQ(option->num, number);
      EXPECT_EQ(option_uint(pdu.get(), COAP_OPTION_SIZE2),
                number == 0 ? std::optional(1000u) : std::nullopt);
      step = assembly.add(*option, payload_of(pdu.get()), 1000);
    }
    EXPECT_EQ(step, Step::kComplete);
    EXPECT_EQ(text(assembly.body()), body);
  }
}

TEST(CoapBlock, SendsASmallBodyWithoutOption) {
  const Pdu pdu = make_pdu(COAP_REQUEST_CODE_PUT, {});
  ASSERT_TRUE(add_body(pdu.get(), COAP_OPTION_BLOCK1, bytes("abc"), 0, 6, false));
  EXPECT_FALSE(block_option(pdu.get(), COAP_OPTION_BLOCK1));
  EXPECT_EQ(text(payload_of(pdu.get())), "abc");
  EXPECT_FALSE(add_body(pdu.get(), COAP_OPTION_BLOCK1, bytes("abc"), 1, 6, true)) << "no block 1";
}

TEST(CoapBlock, KnowsTheSizesOfBlocks) {
  EXPECT_EQ(szx_of(16), 0u);
  EXPECT_EQ(szx_of(1024), 6u);
  EXPECT_EQ(szx_of(1023), 5u);
  EXPECT_EQ(szx_of(1'000'000), 6u);
  EXPECT_EQ(szx_of(0), 0u);
}

TEST(CoapRecent, ForgetsWhatWasNotUsedForLongest) {
  Recent<int> recent(2);
  size_t evicted = 0;
  recent.at("a", &evicted) = 1;
  recent.at("b", &evicted) = 2;
  EXPECT_EQ(*recent.find("a"), 1);
  recent.at("c", &evicted) = 3;
  EXPECT_EQ(evicted, 1u);
  EXPECT_EQ(recent.find("b"), nullptr);
  EXPECT_EQ(recent.size(), 2u);
  recent.erase_if([](const std::string& key) { return key == "a"; });
  EXPECT_EQ(recent.find("a"), nullptr);
  recent.erase("c");
  EXPECT_EQ(recent.size(), 0u);
}

}  // namespace
}  // namespace backplane::coap::test
