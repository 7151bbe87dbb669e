// SPDX-License-Identifier: Apache-2.0
// A sample of a channel that shows when it is not the whole of one.
#pragma once

#include "backplane/sdk/channel.hpp"

#include <algorithm>
#include <array>

namespace backplane::test {

template <size_t Words>
struct Block {
  explicit Block(uint64_t number) { words.fill(number); }
  std::array<uint64_t, Words> words;
};
using SmallBlock = Block<5>;   // a copy is received
using LargeBlock = Block<64>;  // it is held while it is read

/// Who publishes is in the upper half of the number, and counts in the lower.
inline uint64_t block_number(uint64_t publisher, uint64_t count) {
  return publisher << 32U | count;
}

/// DATA_LOSS: it is half of one and half of another.
inline Result<uint64_t> number_of(const Sample& sample) {
  const auto* const words = reinterpret_cast<const uint64_t*>(sample.data().data());
  const size_t n = sample.data().size() / sizeof(uint64_t);
  if (n == 0 || !std::all_of(words, words + n, [&](uint64_t word) { return word == *words; })) {
    return Status(BP_DATA_LOSS, "sample ", sample.sequence(), " is not whole");
  }
  return *words;
}

inline Status publish_block(Publisher& publisher, uint64_t number) {
  return number % 2 == 0 ? publisher.send(LargeBlock(number)) : publisher.send(SmallBlock(number));
}

inline Channel::Options block_channel(bool is_lossless) {
  return {.sample_size = sizeof(LargeBlock),
          .capacity = 4,
          .held = 1,
          .publishers = 3,
          .subscribers = 3,
          .lossless = is_lossless};
}

}  // namespace backplane::test
