// SPDX-License-Identifier: Apache-2.0
// What an instance's endpoints do, counted. Each counter is spread over cache lines by thread, so
// that two cores that use one instance do not share a line; reading adds up.
#pragma once

#include "thread_registry.hpp"

#include <array>
#include <atomic>
#include <cstdint>

namespace backplane::kernel {

enum class Count : std::uint32_t {
  kOperations,
  kFailed,
  kDelivered,
  kPending,
  kLiveOperations,
  kEnd
};

class Counters {
 public:
  void add(Count what, std::int64_t n, const ThreadState& thread) noexcept {
    shards_[thread.shard].values[static_cast<std::size_t>(what)].fetch_add(
        n, std::memory_order_relaxed);
  }
  // A sum over shards that others may be writing: exact once they are quiet.
  [[nodiscard]] std::int64_t value(Count what) const noexcept {
    std::int64_t sum = 0;
    for (const Shard& shard : shards_)
      sum += shard.values[static_cast<std::size_t>(what)].load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(64) Shard {
    std::array<std::atomic<std::int64_t>, static_cast<std::size_t>(Count::kEnd)> values{};
  };
  std::array<Shard, kCounterShards> shards_{};
};

}  // namespace backplane::kernel
