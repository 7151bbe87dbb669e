// SPDX-License-Identifier: Apache-2.0
// What does it take to lock a segment, copy into it, and unlock it: beside QSharedMemory, and
// beside a mutex of the C library in the same memory, which knows nothing of dead owners?
#include "backplane/sdk/shared_memory.hpp"

#include "bench.hpp"
#include "one_core.hpp"
#ifdef BP_BENCH_QT
#include "qt_side.hpp"
#endif

#include <array>
#include <cstring>
#include <memory>
#include <pthread.h>
#include <sys/mman.h>

namespace backplane::benchmark {
namespace {

constexpr int kSize = 1024;
constexpr int kCopies = 200'000;
constexpr int kTogether = 20;  // copies between two looks at the clock, which takes as long as one

struct Content {
  std::array<char, kSize> bytes{};
};

std::vector<Metric> measured(const std::function<void()>& locked_copy) {
  const OneCore one_core;
  std::vector<std::int64_t> latencies;
  latencies.reserve(kCopies / kTogether);
  const std::int64_t begin = now_ns();
  std::int64_t before = begin;
  for (int i = 0; i < kCopies; i += kTogether) {
    for (int j = 0; j < kTogether; ++j) locked_copy();
    const std::int64_t now = now_ns();
    latencies.push_back((now - before) / kTogether);
    before = now;
  }
  std::vector<Metric> out = percentiles("locked_copy_1KiB", latencies);
  out.push_back({"locked_copy_1KiB_rate", kCopies * 1e9 / static_cast<double>(before - begin), {}});
  return out;
}

std::function<void()> our_side(const Content& content) {
  const NativeKey key("bench", BP_KEY_ANONYMOUS);
  auto memory = std::make_shared<SharedMemory>(SharedMemory::open(key, {.size = kSize}).value());
  return [memory, &content] {
    const ProcessLock lock = memory->lock().value();
    std::memcpy(memory->data().data(), content.bytes.data(), kSize);
  };
}

struct Mutexed {
  pthread_mutex_t mutex;
  Content content;
};

std::function<void()> mutex_side(const Content& content) {
  void* const memory =
      mmap(nullptr, sizeof(Mutexed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const std::shared_ptr<Mutexed> shared(static_cast<Mutexed*>(memory),
                                        [](Mutexed* at) { munmap(at, sizeof(Mutexed)); });
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &attributes);
  return [shared, &content] {
    pthread_mutex_lock(&shared->mutex);
    std::memcpy(&shared->content, content.bytes.data(), kSize);
    pthread_mutex_unlock(&shared->mutex);
  };
}

}  // namespace

std::vector<Experiment> shared_memory_experiments() {
  const auto prepare = [] {
    auto content = std::make_shared<Content>();
    const auto side = [&](const char* name, const std::function<void()>& copy) {
      return Side{name, [content, copy] { return measured(copy); }};
    };
    std::vector<Side> out{side("", our_side(*content)), side("futex", mutex_side(*content))};
#ifdef BP_BENCH_QT
    out.push_back(side("qt_shared_memory", qt_locked_copy(content.get(), kSize)));
#endif
    return out;
  };
  return {{"shared_memory",
           {"locked_copy_1KiB_p50", "locked_copy_1KiB_p99", "locked_copy_1KiB_p999",
            "locked_copy_1KiB_rate"},
           prepare}};
}

}  // namespace backplane::benchmark
