// SPDX-License-Identifier: Apache-2.0
#include "message_copy.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vector>

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

TEST(MessageCopy, OwnsItsDescriptorsInBodyHeadersAndKeys) {
  const int original = eventfd(0, EFD_CLOEXEC);
  bp_value descriptor{};
  descriptor.tag = BP_T_FD;
  descriptor.as.i = original;
  const bp_pair header = {descriptor, descriptor};
  bp_message message{};
  message.body = descriptor;
  message.headers = &header;
  message.n_headers = 1;
  const bp_message* const copy = keep_messages(&message, 1);
  ASSERT_NE(copy, nullptr);
  std::vector<int> kept;
  for (const bp_value& each : {copy->body, copy->headers[0].key, copy->headers[0].val}) {
    kept.push_back(static_cast<int>(each.as.i));
    EXPECT_NE(kept.back(), original);
    EXPECT_EQ(eventfd_write(kept.back(), 1), 0);
  }
  free_messages(copy, 1);
  for (const int each : kept) EXPECT_NE(fcntl(each, F_GETFD), 0) << "closed";
  close(original);
  EXPECT_EQ(keep_messages(&message, 1), nullptr) << "what is closed cannot be kept";
}

}  // namespace
}  // namespace backplane::kernel
