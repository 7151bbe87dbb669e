// SPDX-License-Identifier: Apache-2.0
// What tests of channels have in common.
#pragma once

#include "backplane/sdk/channel.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <string>
#include <unistd.h>
#include <vector>

namespace backplane {

using namespace std::chrono_literals;
using Which = Channel::Which;
using Options = Channel::Options;

inline constexpr auto kAlways = std::chrono::nanoseconds::max();  // it spins

inline NativeKey key_of(uint32_t type, const std::string& name = "channel") {
  return NativeKey::safe(NativeKey::Use::kSharedMemory, concat("bp-test-", getpid(), "-", name),
                         type)
      .value();
}

/// A sample that shows when it is not one: each word is the first.
template <size_t Words>
struct Block {
  explicit Block(uint64_t number = 0) { words.fill(number); }
  bool is_whole() const {
    return std::all_of(words.begin(), words.end(), [this](uint64_t w) { return w == words[0]; });
  }
  std::array<uint64_t, Words> words;
};
using Small = Block<3>;   // is in the head of its slot
using Large = Block<40>;  // is not

inline uint64_t number_of(const Sample& sample) {
  return *reinterpret_cast<const uint64_t*>(sample.data().data());
}

/// All that a subscriber has now.
inline std::vector<uint64_t> all_of(Subscriber& subscriber) {
  std::vector<uint64_t> out;
  for (;;) {
    const Result<Sample> next = subscriber.try_receive();
    if (!next) return out;
    out.push_back(number_of(*next));
  }
}
inline std::vector<uint64_t> from_to(uint64_t from, uint64_t to) {
  std::vector<uint64_t> out(to - from);
  std::iota(out.begin(), out.end(), from);
  return out;
}

class AChannel : public testing::Test {
 protected:
  ~AChannel() override { static_cast<void>(Channel::remove(key_)); }

  Channel open(const Options& options) const { return Channel::open(key_, options).value(); }
  template <class Object>
  Channel of(Options options = {}) const {
    options.sample_size = sizeof(Object);
    return open(options);
  }

  const NativeKey key_ = key_of(BP_KEY_POSIX);
};

}  // namespace backplane
