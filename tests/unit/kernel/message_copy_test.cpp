// SPDX-License-Identifier: Apache-2.0
#include "message_copy.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>

namespace backplane::kernel {
namespace {

/// On the heap and exactly as long as it says, so that a sanitizer sees each byte too many.
template <class T>
void expect_copied(std::array<T, 3> numbers, std::uint16_t type) {
  const auto heap = std::make_unique<std::array<T, 3>>(numbers);
  bp_message message{};
  message.body.tag = BP_T_ARRAY;
  message.body.aux = type;
  message.body.len = 3;
  message.body.as.p = heap->data();
  const bp_message* const copy = keep_messages(&message, 1);
  ASSERT_NE(copy, nullptr);
  EXPECT_NE(copy->body.as.p, message.body.as.p);
  // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): a copy is bit by bit
  EXPECT_EQ(std::memcmp(copy->body.as.p, numbers.data(), sizeof numbers), 0);
  free_messages(copy, 1);
}

TEST(MessageCopy, CopiesPackedNumbersByTheSizesOfTheAbi) {
  expect_copied<std::uint8_t>({0, 1, 1}, BP_TYPE(BP_T_BOOL, 0));
  expect_copied<std::int8_t>({1, 2, 3}, BP_TYPE(BP_T_INT, 8));
  expect_copied<std::uint16_t>({1, 2, 3}, BP_TYPE(BP_T_UINT, 16));
  expect_copied<float>({1, 2, 3}, BP_TYPE(BP_T_FLOAT, 32));
  expect_copied<double>({1, 2, 3}, BP_TYPE(BP_T_FLOAT, 64));
  expect_copied<std::int32_t>({1, 2, 3}, BP_TYPE(BP_T_INT, BP_INT_ENUM));
  expect_copied<std::uint32_t>({1, 2, 3}, BP_TYPE(BP_T_UINT, BP_UINT_STATUS));
  expect_copied<std::int64_t>({1, 2, 3}, BP_TYPE(BP_T_INT, BP_INT_DURATION_NS));
  expect_copied<std::int64_t>({1, 2, 3}, BP_TYPE(BP_T_TIME, BP_TIME_100NS));
}

}  // namespace
}  // namespace backplane::kernel
